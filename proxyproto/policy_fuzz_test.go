package proxyproto_test

import (
	"encoding/binary"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-94e48765/portico/proxyproto"
	"github.com/stretchr/testify/require"
)

// An attempt is the result of one stream under one policy.
type attempt struct {
	accepted bool
	version  int
	remote   string
	payload  string
	err      error // of Read, or why the connection was refused
	stats    proxyproto.Stats
}

func (a attempt) kinds() (kinds []error) {
	for _, kind := range []error{proxyproto.ErrNoHeader, proxyproto.ErrMalformed, proxyproto.ErrUnsupported, proxyproto.ErrTooLarge, proxyproto.ErrChecksum} {
		if errors.Is(a.err, kind) {
			kinds = append(kinds, kind)
		}
	}
	return kinds
}

// try sends a stream that ends, cut into chunks, with a pause between two. The server
// has a read buffer of size bytes and speaks first if it can.
func try(t *testing.T, c proxyproto.Config, chunks []string, pause time.Duration, size int) (a attempt) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, c)
		client := f.mem.dial(proxyAddr)
		done := make(chan struct{})
		defer func() { client.Close(); <-done }()
		go func() {
			defer close(done)
			for i, s := range chunks {
				if i > 0 {
					elapse(pause)
				}
				if _, err := io.WriteString(client, s); err != nil {
					return
				}
			}
			client.Close()
		}()
		require.NoError(t, f.SetDeadline(time.Now().Add(time.Hour)))
		if conn, err := f.Accept(); err == nil {
			a.accepted = true
			a.version = conn.(*proxyproto.Conn).Info().Version
			a.remote = conn.RemoteAddr().String()
			b := make([]byte, size)
			for a.err == nil {
				var n int
				n, a.err = conn.Read(b)
				a.payload += string(b[:n])
			}
			if a.err == io.EOF {
				a.err = nil
			}
			conn.Close()
		} else if r := f.rejected(); len(r) == 1 {
			a.err = r[0].Err
		}
		synctest.Wait()
		a.stats = f.Stats()
	})
	return a
}

// All policies must find the same end of a header, for all chunks, and must not lose other
// bytes.
func FuzzEveryPolicyAgreesOnWhatHeaderIs(f *testing.F) {
	for _, s := range seeds(f) {
		f.Add([]byte(s), []byte{0}, uint16(0), uint8(200))
		f.Add([]byte(s), []byte{5, 6, 0, 0, 0, 0, 3}, uint16(40), uint8(0))
	}
	f.Add([]byte(v2(0x21, 0x12, strings.Repeat("x", 12))+"EHLO"), []byte{3}, uint16(4), uint8(3))
	f.Add([]byte("PROXY TCP4 1.2.3.4"), []byte{2, 2}, uint16(4000), uint8(3))
	f.Fuzz(func(t *testing.T, stream, cuts []byte, pauseMS uint16, size uint8) {
		if len(stream) == 0 || len(stream) > 5000 {
			return
		}
		whole, bufSize := string(stream), 1+int(size)
		chunks := cut(stream, cuts)
		// All of them come within the header's time.
		pause := time.Duration(pauseMS) * time.Millisecond % (4 * time.Second / time.Duration(len(chunks)))

		required := try(t, proxyproto.Config{}, chunks, pause, bufSize)
		direct := try(t, proxyproto.Config{Trusted: set("198.51.100.99")}, []string{whole}, 0, 8192)
		optional := try(t, optionalConfig(proxyproto.Config{}), chunks, pause, bufSize)
		ignored := try(t, proxyproto.Config{Trusted: set("198.51.100.99"), Untrusted: proxyproto.Ignore}, chunks, pause, bufSize)

		begins := errors.Is(direct.err, proxyproto.ErrUntrustedHeader) // with a signature
		if !begins {
			require.Equal(t, whole, direct.payload)
			for _, a := range []attempt{optional, ignored} {
				require.NoError(t, a.err)
				require.Equal(t, whole, a.payload)
				require.Equal(t, proxyproto.Stats{Direct: 1}, a.stats)
				require.Equal(t, proxyAddr, a.remote)
			}
			require.False(t, required.accepted)
			return
		}
		// An optional peer with a header is a trusted one.
		require.Equal(t, required.accepted, optional.accepted)
		require.Equal(t, required.payload, optional.payload)
		require.Equal(t, required.remote, optional.remote)
		require.Equal(t, required.version, optional.version)
		require.Equal(t, required.kinds(), optional.kinds())
		require.Equal(t, required.stats, optional.stats)
		// Ignore drops the header that counts for a trusted peer.
		require.True(t, ignored.accepted)
		require.Zero(t, ignored.version)
		require.Equal(t, proxyAddr, ignored.remote)
		if errors.Is(required.err, proxyproto.ErrUnsupported) && !errors.Is(required.err, proxyproto.ErrMalformed) {
			// A header that is not for TCP does not count and is dropped.
			size := 16
			if len(whole) >= size {
				size += int(binary.BigEndian.Uint16(stream[14:]))
			}
			if size > len(whole) || size > 16+4096 {
				require.ErrorIs(t, ignored.err, proxyproto.ErrUntrustedHeader)
				require.Empty(t, ignored.payload)
			} else {
				require.NoError(t, ignored.err)
				require.Equal(t, whole[size:], ignored.payload)
			}
			return
		}
		require.Equal(t, required.payload, ignored.payload)
		require.Equal(t, required.kinds(), ignored.kinds())
		if required.accepted {
			require.True(t, strings.HasSuffix(whole, required.payload))
			require.NoError(t, ignored.err)
			require.Equal(t, proxyproto.Stats{Direct: 1, Untrusted: 1, Ignored: 1}, ignored.stats)
		} else {
			require.ErrorIs(t, ignored.err, proxyproto.ErrUntrustedHeader)
			require.Equal(t, proxyproto.Stats{Direct: 1, Untrusted: 1}, ignored.stats)
		}
	})
}
