package proxyproto_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-94e48765/portico/proxyproto"
	"github.com/seed-94e48765/portico/trustnet"
	"github.com/stretchr/testify/require"
)

func TestBadConfigurationIsRefusedByName(t *testing.T) {
	for field, c := range map[string]proxyproto.Config{
		"Config.Untrusted is 9":                                          {Untrusted: 9},
		"Config.TLS is 9":                                                {TLS: 9},
		"Config.HeaderTimeout is -1s":                                    {HeaderTimeout: -time.Second},
		"Config.MaxHeaderSize is -1":                                     {MaxHeaderSize: -1},
		"Config.MaxHeaderSize is 11":                                     {MaxHeaderSize: 11},
		"Config.MaxHeaderSize is 65":                                     {MaxHeaderSize: 65536},
		"Config.MaxPending is -1":                                        {MaxPending: -1},
		"Config.OptionalWait is -1s":                                     {OptionalWait: -time.Second},
		"Config.OptionalWait is 6s, longer than HeaderTimeout, 5s":       {OptionalWait: 6 * time.Second},
		"Config.OptionalWait is 2s, longer than HeaderTimeout, 1s":       {OptionalWait: 2 * time.Second, HeaderTimeout: time.Second},
		"Config.Untrusted is Ignore, but no peer is trusted or optional": {Untrusted: proxyproto.Ignore},
		"use ServeDirect, which reports headers":                         {Untrusted: proxyproto.Ignore, Trusted: new(trustnet.Set), Optional: (*trustnet.Set)(nil)},
	} {
		t.Run(field, func(t *testing.T) {
			mem := newMemListener()
			l, err := proxyproto.New(mem, c)
			require.Nil(t, l)
			require.ErrorContains(t, err, field)
			require.Regexp(t, "^proxyproto: ", err.Error())
		})
	}
	_, err := proxyproto.New(nil, proxyproto.Config{})
	require.Error(t, err)
}

func TestNoDeadlineIsLeftBehindByHeader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, proxyproto.Config{})
		client := f.mem.dial(proxyAddr)
		go func() {
			elapse(4 * time.Second)
			io.WriteString(client, proxy4())
			elapse(time.Hour)
			io.WriteString(client, "late")
		}()
		c, err := f.Accept()
		require.NoError(t, err)
		require.Equal(t, "late", read(t, c))
	})
}

func TestProbesAreCountedAndNotReported(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, proxyproto.Config{})
		for range 3 {
			f.mem.dial(proxyAddr).Close()
		}
		synctest.Wait()
		require.Empty(t, f.rejected())
		require.Equal(t, proxyproto.Stats{Probes: 3}, f.Stats())
	})
}

func TestEOFInHeaderIsReported(t *testing.T) {
	for name, tt := range map[string]struct {
		sent string
		err  error
	}{
		"one letter":               {sent: "P", err: proxyproto.ErrNoHeader},
		"an empty line":            {sent: "\r\n", err: proxyproto.ErrNoHeader},
		"v2 signature but its end": {sent: signature[:11], err: proxyproto.ErrNoHeader},
		"PROXY":                    {sent: "PROXY", err: proxyproto.ErrMalformed},
		"v1 without LF":            {sent: "PROXY UNKNOWN\r", err: proxyproto.ErrMalformed},
		"v2 signature":             {sent: signature + "\x21", err: proxyproto.ErrMalformed},
		"v2 less a byte":           {sent: proxy4()[:27], err: proxyproto.ErrMalformed},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFixture(t, proxyproto.Config{})
				client := f.mem.dial(proxyAddr)
				io.WriteString(client, tt.sent)
				client.Close()
				synctest.Wait()
				require.Len(t, f.rejected(), 1)
				require.ErrorIs(t, f.rejected()[0].Err, tt.err)
				require.Equal(t, tt.sent, string(f.rejected()[0].Prefix))
			})
		})
	}
}

func TestErrorsQuoteNoLogin(t *testing.T) {
	for sent, says := range map[string]string{
		"a LOGIN me pw\r\n":     `"a"`,
		"PROXY LOGIN me pw\r\n": `"PROXY LOGIN"`,
		"\r\nlogin":             `"\r\nlogin"`,
		"\x00AUTHPLAINme\x00pw": `"\x00AUTHPLAINme"`,
	} {
		_, rej := offer(t, proxyproto.Config{}, sent)
		require.ErrorContains(t, rej.Err, says)
		require.NotContains(t, rej.Err.Error(), "pw")
	}
}

func TestEveryRejectionCountsOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, proxyproto.Config{})
		for _, s := range []string{
			"EHLO x\r\n", "PROXY \r\n", signature + "\x31", v2(0x21, 0x12, strings.Repeat("x", 12)),
			signature + "\x21\x11\xff\xff", proxy4(tlv(3, "\x00\x00\x00\x00")), proxy4(), v2(0x20, 0), "PROXY UNKNOWN\r\n",
		} {
			send(t, f.mem.dial(proxyAddr), s)
			synctest.Wait()
		}
		require.Equal(t, proxyproto.Stats{Proxied: 1, Local: 2, NoHeader: 1, Malformed: 3, TooLarge: 1, Checksum: 1, Ready: 3}, f.Stats())
	})
}

type temporaryError struct{}

func (temporaryError) Error() string { return "passes" }

func (temporaryError) Timeout() bool { return false }

func (temporaryError) Temporary() bool { return true }

func TestTemporaryAcceptErrors(t *testing.T) {
	for name, temporary := range temporaryErrors {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFixture(t, proxyproto.Config{})
				start := time.Now()
				for range 12 {
					f.mem.errs <- temporary
				}
				synctest.Wait()
				require.InDelta(t, 4, time.Since(start).Seconds(), 1, "backs off, to a second at most")
				direct(t, f)
			})
		})
	}
}

func TestBrokenListenerEndsAccept(t *testing.T) {
	for name, broken := range map[string]error{
		"EINVAL":           syscall.EINVAL,
		"unknown":          errors.New("broken"),
		"closed elsewhere": net.ErrClosed,
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFixture(t, proxyproto.Config{})
				slow := f.mem.dial(proxyAddr)
				f.mem.dial(clientAddr)
				f.mem.errs <- broken
				_, err := f.Accept()
				require.NoError(t, err)
				go func() {
					elapse(time.Second)
					io.WriteString(slow, proxy4())
				}()
				_, err = f.Accept()
				require.NoError(t, err)
				for range 2 {
					_, err = f.Accept()
					require.ErrorIs(t, err, broken)
				}
			})
		})
	}
}

func TestPrefixIsTheReceivers(t *testing.T) {
	var mu sync.Mutex
	var got []proxyproto.Rejection
	l := wrapped(t, proxyproto.Config{Trusted: trustnet.MustParse("127.0.0.1"), OnReject: func(r proxyproto.Rejection) {
		mu.Lock()
		defer mu.Unlock()
		got = append(got, r)
	}})
	for i := range 200 {
		connect(t, l, 1, fmt.Sprintf("EHLO %05d", i))
		eventually(t, func() bool { mu.Lock(); defer mu.Unlock(); return len(got) == i+1 })
	}
	for i, r := range got {
		require.Equal(t, fmt.Sprintf("EHLO %05d", i), string(r.Prefix))
	}
}

func TestAcceptKeepsTheOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, proxyproto.Config{})
		next, want := 0, 0
		in := func() {
			next++
			f.mem.dial(fmt.Sprintf("203.0.113.7:%d", next))
		}
		out := func() {
			want++
			c, err := f.Accept()
			require.NoError(t, err)
			require.Equal(t, want, c.RemoteAddr().(*net.TCPAddr).Port)
		}
		for range 16 {
			in()
		}
		for range 5 {
			out() // so that the head is in the middle when the ring grows
		}
		for range 40 {
			in()
		}
		synctest.Wait()
		for range 51 {
			out()
		}
	})
}

func TestBackoffStartsAnewAndCloseEndsIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, proxyproto.Config{})
		for range 12 {
			f.mem.errs <- temporaryError{}
		}
		f.mem.dial(clientAddr)
		f.mem.errs <- temporaryError{}
		start := time.Now()
		f.mem.dial(clientAddr)
		require.Equal(t, 5*time.Millisecond, time.Since(start))
		for range 12 {
			f.mem.errs <- temporaryError{}
		}
		start = time.Now()
		f.Close()
		require.NoError(t, f.Shutdown(context.Background()))
		require.Zero(t, time.Since(start))
	})
}
