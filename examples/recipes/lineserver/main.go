// Lineserver is a server for a line protocol, without a library. It sends a greeting first,
// supports STARTTLS, and accepts passwords only on TLS. The protocol is a part of ManageSieve
// (RFC 5804).
//
//	go run ./examples/recipes/lineserver -trusted 127.0.0.1 -cert cert.pem -key key.pem
package main

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"flag"
	"fmt"
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
	flags := flag.NewFlagSet("lineserver", flag.ExitOnError)
	addr := flags.String("addr", "127.0.0.1:14190", "`address` for the proxy's connections")
	certFile := flags.String("cert", "cert.pem", "`file` of the certificate")
	keyFile := flags.String("key", "key.pem", "`file` of its key")
	trusted := flags.String("trusted", "", "comma-separated `networks` of the proxies")
	flags.Parse(args)
	proxies, err := trustnet.Parse(strings.Split(*trusted, ",")...)
	if err != nil {
		return fmt.Errorf("lineserver: -trusted %q: use the addresses that the proxies connect from, such as 127.0.0.1: %w", *trusted, err)
	}
	cert, err := tls.LoadX509KeyPair(*certFile, *keyFile)
	if err != nil {
		return fmt.Errorf("lineserver: -cert and -key: %w", err)
	}
	l, err := listen(*addr, proxies)
	if err != nil {
		return err
	}
	started(l.Addr())
	served := make(chan error, 1)
	go func() { served <- serve(ctx, l, &tls.Config{Certificates: []tls.Certificate{cert}}) }()
	select {
	case err := <-served:
		return err
	case <-ctx.Done():
	}
	grace, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	err = l.Shutdown(grace) // no accepted connection is lost
	<-served                // each session ends after its command
	return err
}

func listen(addr string, proxies *trustnet.Set) (*proxyproto.Listener, error) {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, err
	}
	return proxyproto.New(l, proxyproto.Config{
		Trusted: proxies,
		OnReject: func(r proxyproto.Rejection) {
			slog.Warn("connection refused: compare -trusted with the proxy's settings", "rejection", r)
		},
	})
}

// serve returns when Accept fails and all sessions have ended.
func serve(ctx context.Context, l net.Listener, config *tls.Config) error {
	var sessions sync.WaitGroup
	defer sessions.Wait()
	for {
		conn, err := l.Accept() // every error is final
		if err != nil {
			return err
		}
		sessions.Go(func() {
			s := &session{conn: conn, r: bufio.NewReader(conn), config: config}
			defer func() { s.conn.Close() }()
			if info, ok := proxyproto.FromConn(conn); ok && info.ClientKnown() {
				s.client = info.Client
			}
			defer context.AfterFunc(ctx, func() { conn.SetReadDeadline(time.Now()) })()
			s.serve(ctx)
		})
	}
}

// session is one client.
type session struct {
	conn   net.Conn // a *tls.Conn after STARTTLS
	r      *bufio.Reader
	config *tls.Config
	client net.Addr // nil if the client is not known
}

func (s *session) serve(ctx context.Context) {
	if !s.reply(s.capabilities() + "OK\r\n") { // the server sends first
		return
	}
	for {
		s.conn.SetReadDeadline(time.Now().Add(30 * time.Minute)) // RFC 5804 section 1.2
		if ctx.Err() != nil {
			s.reply("BYE \"shutting down\"\r\n")
			return
		}
		line, err := s.r.ReadSlice('\n') // at most the 4096 bytes of s.r
		if err != nil {
			switch {
			case ctx.Err() != nil:
				s.reply("BYE \"shutting down\"\r\n")
			case errors.Is(err, os.ErrDeadlineExceeded):
				s.reply("BYE \"timeout\"\r\n")
			case errors.Is(err, bufio.ErrBufferFull):
				s.reply("BYE \"line too long\"\r\n")
			}
			return
		}
		answer := "NO \"unknown command\"\r\n"
		switch words := strings.Fields(string(line)); {
		case len(words) == 0:
		case strings.EqualFold(words[0], "CAPABILITY"):
			answer = s.capabilities() + "OK\r\n"
		case strings.EqualFold(words[0], "STARTTLS"):
			if s.secure() {
				answer = "NO \"already on TLS\"\r\n"
				break
			}
			if !s.startTLS(ctx) {
				return
			}
			answer = s.capabilities() + "OK\r\n" // RFC 5804 section 2.2
		case strings.EqualFold(words[0], "AUTHENTICATE"):
			answer = s.authenticate(words[1:])
		case strings.EqualFold(words[0], "LOGOUT"):
			s.reply("OK\r\n")
			return
		}
		if !s.reply(answer) {
			return
		}
	}
}

func (s *session) reply(text string) bool {
	s.conn.SetWriteDeadline(time.Now().Add(time.Minute))
	_, err := s.conn.Write([]byte(text))
	return err == nil
}

// secure reports whether the client's connection is known to be encrypted, here or at the
// proxy.
func (s *session) secure() bool {
	secure, _ := proxyproto.Secure(s.conn)
	return secure
}

func (s *session) capabilities() string {
	if s.secure() {
		return "\"IMPLEMENTATION\" \"lineserver\"\r\n\"SASL\" \"PLAIN\"\r\n"
	}
	return "\"IMPLEMENTATION\" \"lineserver\"\r\n\"SASL\" \"\"\r\n\"STARTTLS\"\r\n"
}

// startTLS answers STARTTLS. It reports whether the session continues.
func (s *session) startTLS(ctx context.Context) bool {
	if s.r.Buffered() > 0 { // commands in clear text must not run on TLS
		s.reply("BYE \"bytes after STARTTLS\"\r\n")
		return false
	}
	if !s.reply("OK\r\n") {
		return false
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	conn := tls.Server(s.conn, s.config)
	if err := conn.HandshakeContext(ctx); err != nil {
		slog.Info("no TLS", "client", s.client, "err", err)
		return false
	}
	s.conn, s.r = conn, bufio.NewReader(conn)
	return true
}

func (s *session) authenticate(words []string) string {
	if !s.secure() {
		return "NO (ENCRYPT-NEEDED) \"use STARTTLS\"\r\n"
	}
	if len(words) != 2 || !strings.EqualFold(words[0], `"PLAIN"`) {
		return "NO \"want AUTHENTICATE \\\"PLAIN\\\" and an initial response\"\r\n"
	}
	plain, _ := base64.StdEncoding.DecodeString(strings.Trim(words[1], `"`))
	if parts := strings.Split(string(plain), "\x00"); len(parts) != 3 || parts[1] != "demo" || parts[2] != "correct horse" { // look the user up here
		slog.Warn("wrong password", "client", s.client) // limit this address, unless it is nil
		return "NO \"wrong password\"\r\n"
	}
	slog.Info("signed in", "client", s.client)
	return "OK\r\n"
}
