package proxyproto_test

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/netip"
	"testing"
	"testing/synctest"

	"github.com/seed-94e48765/portico/internal/proxymark"
	"github.com/seed-94e48765/portico/proxyproto"
	"github.com/stretchr/testify/require"
)

func TestConnContextMarksRequests(t *testing.T) {
	for name, tt := range map[string]struct {
		from, header string
		mark         proxymark.Mark
	}{
		"proxied": {from: proxyAddr, header: proxy4(), mark: proxymark.Mark{Client: tcpAddr(clientAddr).AddrPort().Addr(), Peer: tcpAddr(proxyAddr).AddrPort().Addr(), Known: true}},
		"direct":  {from: clientAddr, header: "", mark: proxymark.Mark{Client: tcpAddr(clientAddr).AddrPort().Addr(), Peer: tcpAddr(clientAddr).AddrPort().Addr(), Known: true, Direct: true}},
		"LOCAL":   {from: proxyAddr, header: v2(0x20, 0), mark: proxymark.Mark{Client: tcpAddr(proxyAddr).AddrPort().Addr(), Peer: tcpAddr(proxyAddr).AddrPort().Addr()}},
		"UNKNOWN": {from: proxyAddr, header: "PROXY UNKNOWN\r\n", mark: proxymark.Mark{Client: tcpAddr(proxyAddr).AddrPort().Addr(), Peer: tcpAddr(proxyAddr).AddrPort().Addr()}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFixture(t, proxyproto.Config{})
				var mark *proxymark.Mark
				var info *proxyproto.Info
				srv := &http.Server{
					ConnContext: proxyproto.ConnContext,
					Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
						mark = proxymark.FromContext(r.Context())
						info, _ = proxyproto.FromContext(r.Context())
					}),
				}
				go srv.Serve(f)
				defer srv.Close()
				client := f.mem.dial(tt.from)
				send(t, client, tt.header+"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
				_, err := io.ReadAll(client)
				require.NoError(t, err)
				require.NotNil(t, mark)
				require.NotNil(t, info)
				tt.mark.Info = info
				require.Equal(t, tt.mark, *mark)
				require.Equal(t, tt.mark.Client, info.Client.(*net.TCPAddr).AddrPort().Addr())
			})
		})
	}
	a, b := net.Pipe()
	defer b.Close()
	ctx := proxyproto.ConnContext(t.Context(), a)
	require.Equal(t, t.Context(), ctx, "a connection of no Listener is not marked")
	_, ok := proxyproto.FromContext(ctx)
	require.False(t, ok)
}

func TestNewContextMarks(t *testing.T) {
	client, peer := netip.MustParseAddr("203.0.113.7"), netip.MustParseAddr("192.0.2.10")
	for name, tt := range map[string]struct {
		info proxyproto.Info
		want *proxymark.Mark
	}{
		"a header": {
			info: proxyproto.Info{Version: 2, Client: tcpAddr(clientAddr), Proxy: tcpAddr(proxyAddr)},
			want: &proxymark.Mark{Client: client, Peer: peer, Known: true},
		},
		"direct": {
			info: proxyproto.Info{Client: tcpAddr(clientAddr)},
			want: &proxymark.Mark{Client: client, Peer: client, Known: true, Direct: true},
		},
		"LOCAL": {
			info: proxyproto.Info{Version: 2, Local: true, Client: tcpAddr(proxyAddr), Proxy: tcpAddr(proxyAddr)},
			want: &proxymark.Mark{Client: peer, Peer: peer},
		},
		"a client on a unix socket": {
			info: proxyproto.Info{Client: &net.UnixAddr{Net: "unix", Name: "@"}},
			want: &proxymark.Mark{Known: true, Direct: true},
		},
		"a listener without trusted peers": {info: proxyproto.Unmarked(proxyproto.Info{Client: tcpAddr(clientAddr)})},
	} {
		t.Run(name, func(t *testing.T) {
			ctx := proxyproto.NewContext(t.Context(), &tt.info)
			if tt.want != nil {
				tt.want.Info = &tt.info
			}
			require.Equal(t, tt.want, proxymark.FromContext(ctx))
			got, ok := proxyproto.FromContext(ctx)
			require.True(t, ok, "with or without a mark")
			require.Same(t, &tt.info, got)
		})
	}
}

func TestContextWithoutInfoHasNone(t *testing.T) {
	ctx := proxyproto.NewContext(t.Context(), nil)
	require.Equal(t, t.Context(), ctx)
	info, ok := proxyproto.FromContext(ctx)
	require.False(t, ok)
	require.Nil(t, info)
	_, ok = proxyproto.FromContext(context.Background())
	require.False(t, ok)
}
