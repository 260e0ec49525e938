// Echo shows how to replace type assertions to *net.TCPConn. A *proxyproto.Conn is not a
// *net.TCPConn, so such an assertion fails or panics. A Conn has the following instead:
//
//   - CloseWrite is a method of Conn. Assert interface{ CloseWrite() error }.
//   - SetNoDelay, SetKeepAlivePeriod and SetLinger are methods of the socket, which NetConn
//     returns. Use the socket only for options. Bytes that were read along with the header
//     are no longer in the socket, so its Read and File lose the client's first bytes.
//   - ReadFrom and WriteTo are methods of Conn, so that io.Copy still uses splice(2).
//   - SyscallConn is a method of Conn.
//
// The program is the echo service of RFC 862:
//
//	go run ./examples/recipes/echo -trusted 127.0.0.1
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"strings"
	"sync"
	"syscall"
	"time"

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
	flags := flag.NewFlagSet("echo", flag.ExitOnError)
	addr := flags.String("addr", "127.0.0.1:10007", "`address` for the proxy's connections")
	trusted := flags.String("trusted", "", "comma-separated `networks` of the proxies")
	flags.Parse(args)
	proxies, err := trustnet.Parse(strings.Split(*trusted, ",")...)
	if err != nil {
		return fmt.Errorf("echo: -trusted %q: use the addresses that the proxies connect from, such as 127.0.0.1: %w", *trusted, err)
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
	defer context.AfterFunc(ctx, func() { // no accepted connection is lost
		grace, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		l.Shutdown(grace)
	})()
	var open sync.WaitGroup
	defer open.Wait()
	for {
		conn, err := l.Accept() // every error is final
		if ctx.Err() != nil && errors.Is(err, net.ErrClosed) {
			return nil
		}
		if err != nil {
			return err
		}
		open.Go(func() {
			defer conn.Close()
			defer context.AfterFunc(ctx, func() { conn.SetDeadline(time.Now().Add(10 * time.Second)) })()
			if err := echo(conn); err != nil {
				slog.Info("echo", "client", conn.RemoteAddr(), "err", err)
			}
		})
	}
}

func echo(conn net.Conn) error {
	if below, ok := conn.(interface{ NetConn() net.Conn }); ok {
		if tcp, ok := below.NetConn().(*net.TCPConn); ok {
			if err := tcp.SetKeepAlivePeriod(time.Minute); err != nil {
				return err
			}
		}
	}
	if _, err := io.Copy(conn, conn); err != nil {
		return err
	}
	half, ok := conn.(interface{ CloseWrite() error })
	if !ok {
		return errors.New("the connection cannot be half closed")
	}
	return half.CloseWrite()
}
