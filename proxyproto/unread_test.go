//go:build unix

package proxyproto_test

import (
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/seed-94e48765/portico/proxyproto"
	"github.com/seed-94e48765/portico/trustnet"
	"github.com/stretchr/testify/require"
)

// A download is a connection on which the client sends its first bytes and then reads to the
// end.
func download(t *testing.T, cfg proxyproto.Config, first string) (client net.Conn, server net.Conn, rejected func() []proxyproto.Rejection) {
	var mu sync.Mutex
	var rejections []proxyproto.Rejection
	cfg.OnReject = func(r proxyproto.Rejection) {
		mu.Lock()
		defer mu.Unlock()
		rejections = append(rejections, r)
	}
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	l, err := proxyproto.New(inner, cfg)
	require.NoError(t, err)
	t.Cleanup(func() { l.Close() })
	client, err = net.Dial("tcp", inner.Addr().String())
	require.NoError(t, err)
	t.Cleanup(func() { client.Close() })
	_, err = io.WriteString(client, first)
	require.NoError(t, err)
	server, err = l.Accept()
	require.NoError(t, err)
	t.Cleanup(func() { server.Close() })
	return client, server, func() []proxyproto.Rejection {
		mu.Lock()
		defer mu.Unlock()
		return rejections
	}
}

func TestUnreadHeaderAtClose(t *testing.T) {
	elsewhere := trustnet.MustParse("192.0.2.10")
	const v1 = "PROXY TCP4 203.0.113.7 198.51.100.1 5000 20\r\n"
	for name, tt := range map[string]struct {
		untrusted proxyproto.Policy
		first     string
		served    bool // the header is dropped, and the client gets everything
		reported  bool
	}{
		"ignored, version 1":              {untrusted: proxyproto.Ignore, first: v1, served: true, reported: true},
		"ignored, version 2":              {untrusted: proxyproto.Ignore, first: proxy4(), served: true, reported: true},
		"ignored, longer than one Read":   {untrusted: proxyproto.Ignore, first: proxy4(tlv(0xe0, string(make([]byte, 1000)))), served: true, reported: true},
		"not allowed":                     {untrusted: proxyproto.ServeDirect, first: v1, reported: true},
		"nothing under Ignore":            {untrusted: proxyproto.Ignore, served: true},
		"nothing":                         {untrusted: proxyproto.ServeDirect, served: true},
		"data of the application":         {untrusted: proxyproto.ServeDirect, first: "x"},
		"ignored, an incomplete header":   {untrusted: proxyproto.Ignore, first: v1[:20]},
		"ignored, a header with mistakes": {untrusted: proxyproto.Ignore, first: "PROXY TCP4 203.0.113.7 none 5000 20\r\n", reported: true},
	} {
		t.Run(name, func(t *testing.T) {
			client, server, rejected := download(t, proxyproto.Config{Trusted: elsewhere, Untrusted: tt.untrusted}, tt.first)
			_, err := io.WriteString(server, "hello")
			require.NoError(t, err)
			require.NoError(t, server.Close())
			got, err := io.ReadAll(client)
			if tt.served {
				require.NoError(t, err)
				require.Equal(t, "hello", string(got))
			}
			if !tt.reported {
				require.Empty(t, rejected())
				return
			}
			require.Len(t, rejected(), 1)
			require.ErrorIs(t, rejected()[0].Err, proxyproto.ErrUntrustedHeader)
			require.Equal(t, tt.served, rejected()[0].Served)
		})
	}
}

func TestCloseDoesNotWaitForRead(t *testing.T) {
	for name, untrusted := range map[string]proxyproto.Policy{"ServeDirect": proxyproto.ServeDirect, "Ignore": proxyproto.Ignore} {
		t.Run(name, func(t *testing.T) {
			_, server, _ := download(t, proxyproto.Config{Trusted: trustnet.MustParse("192.0.2.10"), Untrusted: untrusted}, "")
			reading, ended := make(chan struct{}), make(chan error)
			go func() {
				close(reading)
				_, err := server.Read(make([]byte, 1))
				ended <- err
			}()
			<-reading // Read and Close may come in either order
			require.NoError(t, server.Close())
			require.ErrorIs(t, <-ended, net.ErrClosed)
		})
	}
}

func TestClosingListenerReportsNoHeader(t *testing.T) {
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	l, err := proxyproto.New(inner, proxyproto.Config{OnReject: func(r proxyproto.Rejection) { t.Errorf("reported: %v", r.Err) }})
	require.NoError(t, err)
	l.Start()
	client, err := net.Dial("tcp", inner.Addr().String())
	require.NoError(t, err)
	defer client.Close()
	_, err = io.WriteString(client, "PROXY UNKNOWN\r\n")
	require.NoError(t, err)
	require.Eventually(t, func() bool { return l.Stats().Ready > 0 }, time.Minute, time.Millisecond)
	require.NoError(t, l.Close())
}
