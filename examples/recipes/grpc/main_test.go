package main

import (
	"context"
	"net"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/types/known/emptypb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/seed-94e48765/portico/examples/recipes/internal/recipetest"
	"github.com/seed-94e48765/portico/proxyproto"
)

func TestHandlerGetsClient(t *testing.T) {
	certFile, keyFile, pool := recipetest.Certificate(t)
	plain := recipetest.Start(t, run, "-trusted", "127.0.0.1", "-addr", "127.0.0.1:0")[0]
	tls := recipetest.Start(t, run, "-trusted", "127.0.0.1", "-addr", "127.0.0.1:0", "-cert", certFile, "-key", keyFile)[0]
	withTenant := recipetest.Header(&proxyproto.TLS{Client: true})
	withTenant.TLVs = []proxyproto.TLV{{Type: 0xe1, Value: []byte("acme")}}
	for name, tt := range map[string]struct {
		addr   string
		header proxyproto.Header
		want   string
	}{
		"the proxy ended TLS": {
			addr: plain, header: withTenant, want: `client: 203.0.113.7:50000 TLS: true tenant: "acme"`,
		},
		"a client without TLS": {
			addr: plain, header: recipetest.Header(&proxyproto.TLS{}), want: `client: 203.0.113.7:50000 TLS: false tenant: ""`,
		},
		"a proxy that does not report TLS": {
			addr: plain, header: recipetest.Header(nil), want: `client: 203.0.113.7:50000 TLS: false tenant: ""`,
		},
		"a health check": {
			addr: plain, header: proxyproto.Header{Local: true}, want: `client: invalid AddrPort TLS: false tenant: ""`,
		},
		"TLS through the proxy": {
			addr: tls, header: recipetest.Header(nil), want: `client: 203.0.113.7:50000 TLS: true tenant: ""`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			creds := insecure.NewCredentials()
			if tt.addr == tls {
				creds = credentials.NewTLS(recipetest.TLSClient(pool))
			}
			conn, err := grpc.NewClient("passthrough:///"+tt.addr, grpc.WithTransportCredentials(creds),
				grpc.WithContextDialer(func(ctx context.Context, addr string) (net.Conn, error) {
					return new(proxyproto.Dialer).DialContext(ctx, "tcp", addr, tt.header)
				}))
			require.NoError(t, err)
			defer conn.Close()
			var got wrapperspb.StringValue
			require.NoError(t, conn.Invoke(t.Context(), "/recipes.Demo/Whoami", &emptypb.Empty{}, &got))
			require.Equal(t, tt.want, got.GetValue())
		})
	}
}

func TestMissingWithClient(t *testing.T) {
	_, _, err := clientOf(t.Context())
	require.ErrorContains(t, err, "not a gRPC call")
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	server := grpc.NewServer()
	server.RegisterService(&service, nil)
	go server.Serve(l)
	defer server.Stop()
	conn, err := grpc.NewClient("passthrough:///"+l.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	require.NoError(t, err)
	defer conn.Close()
	err = conn.Invoke(t.Context(), "/recipes.Demo/Whoami", &emptypb.Empty{}, &wrapperspb.StringValue{})
	require.ErrorContains(t, err, "withClient")
}

func TestInvalidSettings(t *testing.T) {
	recipetest.RequireRefused(t, run, `-trusted "": use the addresses`)
	recipetest.RequireRefused(t, run, "-cert and -key", "-trusted", "127.0.0.1", "-cert", "does-not-exist.pem")
}
