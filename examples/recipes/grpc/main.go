// Grpc is a gRPC server behind a proxy that sends PROXY headers. A handler gets the
// client's address, its TLS and the other entries of the header (TLVs).
//
//	go run ./examples/recipes/grpc -trusted 127.0.0.1
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/emptypb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/seed-94e48765/portico/proxyproto"
	"github.com/seed-94e48765/portico/trustnet"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:], func(addrs ...net.Addr) { slog.Info("serving", "addresses", addrs) }); err != nil {
		slog.Error(err.Error())
		os.Exit(1)
	}
}

// run serves until ctx ends.
func run(ctx context.Context, args []string, started func(...net.Addr)) error {
	flags := flag.NewFlagSet("grpc", flag.ExitOnError)
	addr := flags.String("addr", "127.0.0.1:18050", "`address` for the proxy's connections")
	certFile := flags.String("cert", "", "`file` of the certificate; if unset, the proxy ends TLS")
	keyFile := flags.String("key", "", "`file` of its key")
	trusted := flags.String("trusted", "", "comma-separated `networks` of the proxies")
	flags.Parse(args)
	proxies, err := trustnet.Parse(strings.Split(*trusted, ",")...)
	if err != nil {
		return fmt.Errorf("grpc: -trusted %q: use the addresses that the proxies connect from, such as 127.0.0.1: %w", *trusted, err)
	}
	creds := insecure.NewCredentials()
	if *certFile != "" {
		if creds, err = credentials.NewServerTLSFromFile(*certFile, *keyFile); err != nil {
			return fmt.Errorf("grpc: -cert and -key: %w", err)
		}
	}
	inner, err := net.Listen("tcp", *addr)
	if err != nil {
		return err
	}
	l, err := proxyproto.New(inner, proxyproto.Config{
		Trusted: proxies,
		OnReject: func(r proxyproto.Rejection) {
			slog.Warn("connection refused: compare -trusted with the proxy's settings", "rejection", r)
		},
	})
	if err != nil {
		return err
	}
	started(l.Addr())
	server := grpc.NewServer(grpc.Creds(withClient{creds}))
	server.RegisterService(&service, nil)
	served := make(chan error, 1)
	go func() { served <- server.Serve(l) }()
	select {
	case err := <-served:
		return err
	case <-ctx.Done():
	}
	grace, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	err = l.Shutdown(grace) // before the server, so that no accepted connection is lost
	<-served
	defer context.AfterFunc(grace, server.Stop)()
	server.GracefulStop()
	return err
}

// withClient adds the proxyproto.Info of the client to the AuthInfo of other credentials.
type withClient struct {
	credentials.TransportCredentials
}

func (w withClient) ServerHandshake(c net.Conn) (net.Conn, credentials.AuthInfo, error) {
	info, ok := proxyproto.FromConn(c)
	if !ok {
		return nil, nil, errors.New("grpc: not a connection of package proxyproto")
	}
	conn, auth, err := w.TransportCredentials.ServerHandshake(c)
	if err != nil {
		return nil, nil, err
	}
	return conn, authInfo{auth, info}, nil
}

func (w withClient) Clone() credentials.TransportCredentials {
	return withClient{w.TransportCredentials.Clone()}
}

type authInfo struct {
	credentials.AuthInfo
	client *proxyproto.Info
}

// clientOf returns the client of a call. secure reports whether its connection is known
// to be encrypted.
func clientOf(ctx context.Context) (client *proxyproto.Info, secure bool, err error) {
	p, _ := peer.FromContext(ctx)
	if p == nil {
		return nil, false, status.Error(codes.Internal, "not a gRPC call")
	}
	auth, ok := p.AuthInfo.(authInfo)
	if !ok {
		return nil, false, status.Error(codes.Internal, "the server does not use withClient")
	}
	secure, _ = auth.client.Secure(auth.AuthType() == "tls")
	return auth.client, secure, nil
}

// whoami is a handler that uses the client's address, its TLS, and the entry of HAProxy's
// "set-proxy-v2-tlv-fmt(0xE1)", for example a tenant.
func whoami(ctx context.Context, _ *emptypb.Empty) (*wrapperspb.StringValue, error) {
	client, secure, err := clientOf(ctx)
	if err != nil {
		return nil, err
	}
	tenant, _ := client.TLV(0xe1)
	return wrapperspb.String(fmt.Sprintf("client: %v TLS: %v tenant: %q", client.ClientAddr(), secure, tenant)), nil
}

// service describes the service. protoc-gen-go-grpc generates it in a real program.
var service = grpc.ServiceDesc{
	ServiceName: "recipes.Demo",
	Methods: []grpc.MethodDesc{{MethodName: "Whoami", Handler: func(_ any, ctx context.Context, decode func(any) error, _ grpc.UnaryServerInterceptor) (any, error) {
		in := new(emptypb.Empty)
		if err := decode(in); err != nil {
			return nil, err
		}
		return whoami(ctx, in)
	}}},
}
