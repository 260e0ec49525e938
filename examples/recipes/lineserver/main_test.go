package main

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/base64"
	"io"
	"net"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed-94e48765/portico/examples/recipes/internal/recipetest"
	"github.com/seed-94e48765/portico/proxyproto"
	"github.com/seed-94e48765/portico/trustnet"
)

const (
	offersTLS      = "\"IMPLEMENTATION\" \"lineserver\"\r\n\"SASL\" \"\"\r\n\"STARTTLS\"\r\nOK\r\n"
	offersPassword = "\"IMPLEMENTATION\" \"lineserver\"\r\n\"SASL\" \"PLAIN\"\r\nOK\r\n"
)

var (
	signIn = `AUTHENTICATE "PLAIN" "` + base64.StdEncoding.EncodeToString([]byte("\x00demo\x00correct horse")) + `"`
	wrong  = `AUTHENTICATE "PLAIN" "` + base64.StdEncoding.EncodeToString([]byte("\x00demo\x00wrong")) + `"`
)

func start(t *testing.T) (addr string, config *tls.Config) {
	certFile, keyFile, pool := recipetest.Certificate(t)
	return recipetest.Start(t, run, "-trusted", "127.0.0.1", "-addr", "127.0.0.1:0", "-cert", certFile, "-key", keyFile)[0], recipetest.TLSClient(pool)
}

func TestPasswordsOnlyOnTLS(t *testing.T) {
	addr, config := start(t)
	for name, tt := range map[string]struct {
		header   proxyproto.Header
		greeting string
		client   string
	}{
		"the proxy ended TLS":              {header: recipetest.Header(&proxyproto.TLS{Client: true}), greeting: offersPassword, client: "203.0.113.7:50000"},
		"a client without TLS":             {header: recipetest.Header(&proxyproto.TLS{}), greeting: offersTLS, client: "203.0.113.7:50000"},
		"a proxy that does not report TLS": {header: recipetest.Header(nil), greeting: offersTLS, client: "203.0.113.7:50000"},
		"a client that is not known":       {header: proxyproto.Header{Local: true}, greeting: offersTLS, client: "<nil>"},
	} {
		t.Run(name, func(t *testing.T) {
			log := recipetest.CaptureLog(t)
			conn := recipetest.Dial(t, addr, tt.header)
			requireRead(t, conn, tt.greeting) // before a byte of the client
			if tt.greeting == offersTLS {
				requireAnswer(t, conn, signIn, "NO (ENCRYPT-NEEDED) \"use STARTTLS\"\r\n")
				requireAnswer(t, conn, "STARTTLS", "OK\r\n")
				conn = tls.Client(conn, config)
				requireRead(t, conn, offersPassword)
			}
			requireAnswer(t, conn, "STARTTLS", "NO \"already on TLS\"\r\n")
			requireAnswer(t, conn, "capability", offersPassword)
			requireAnswer(t, conn, wrong, "NO \"wrong password\"\r\n")
			requireAnswer(t, conn, signIn, "OK\r\n")
			requireAnswer(t, conn, "LOGOUT", "OK\r\n")
			requireEOF(t, conn)
			log.Await(t, "signed in\" client="+tt.client)
		})
	}
}

// A connection may also begin with TLS. The PROXY header comes before TLS, and
// proxyproto.Secure accepts a *tls.Conn.
func TestTLSFirst(t *testing.T) {
	certFile, keyFile, pool := recipetest.Certificate(t)
	cert, err := tls.LoadX509KeyPair(certFile, keyFile)
	require.NoError(t, err)
	runTLS := func(ctx context.Context, _ []string, started func(...net.Addr)) error {
		l, err := listen("127.0.0.1:0", trustnet.MustParse("127.0.0.1"))
		if err != nil {
			return err
		}
		started(l.Addr())
		defer context.AfterFunc(ctx, func() { l.Close() })()
		serve(ctx, tls.NewListener(l, &tls.Config{Certificates: []tls.Certificate{cert}}), nil)
		return nil
	}
	log := recipetest.CaptureLog(t)
	addr := recipetest.Start(t, runTLS)[0]
	conn := tls.Client(recipetest.Dial(t, addr, recipetest.Header(nil)), recipetest.TLSClient(pool))
	requireRead(t, conn, offersPassword)
	requireAnswer(t, conn, signIn, "OK\r\n")
	log.Await(t, "signed in\" client=203.0.113.7:50000")
}

func TestSessionErrors(t *testing.T) {
	addr, _ := start(t)
	for name, tt := range map[string]struct{ sent, want string }{
		"commands in clear text after STARTTLS": {sent: "STARTTLS\r\n" + signIn + "\r\n", want: "BYE \"bytes after STARTTLS\"\r\n"},
		"a line without an end":                 {sent: strings.Repeat("a", 4096), want: "BYE \"line too long\"\r\n"},
	} {
		t.Run(name, func(t *testing.T) {
			conn := recipetest.Dial(t, addr, recipetest.Header(nil))
			requireRead(t, conn, offersTLS)
			_, err := io.WriteString(conn, tt.sent)
			require.NoError(t, err)
			requireRead(t, conn, tt.want)
		})
	}
}

func TestShutdownEndsSessions(t *testing.T) {
	var conn net.Conn
	t.Run("server", func(t *testing.T) {
		addr, _ := start(t) // ends with this subtest
		var err error
		conn, err = new(proxyproto.Dialer).DialContext(t.Context(), "tcp", addr, recipetest.Header(nil))
		require.NoError(t, err)
		requireRead(t, conn, offersTLS)
		requireAnswer(t, conn, "unknown", "NO \"unknown command\"\r\n")
	})
	defer conn.Close()
	requireRead(t, conn, "BYE \"shutting down\"\r\n")
	requireEOF(t, conn)
}

func TestInvalidSettings(t *testing.T) {
	recipetest.RequireRefused(t, run, `-trusted "": use the addresses`)
	recipetest.RequireRefused(t, run, "-cert and -key", "-trusted", "127.0.0.1", "-cert", "does-not-exist.pem")
}

func requireAnswer(t *testing.T, conn net.Conn, command, want string) {
	t.Helper()
	_, err := io.WriteString(conn, command+"\r\n")
	require.NoError(t, err)
	requireRead(t, conn, want)
}

func requireRead(t *testing.T, conn net.Conn, want string) {
	t.Helper()
	b := make([]byte, len(want))
	_, err := io.ReadFull(conn, b)
	require.NoError(t, err, "read %q", b)
	require.Equal(t, want, string(b))
}

func requireEOF(t *testing.T, conn net.Conn) {
	t.Helper()
	_, err := bufio.NewReader(conn).ReadByte()
	require.ErrorIs(t, err, io.EOF)
}
