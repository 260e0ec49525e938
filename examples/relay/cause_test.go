package main

import (
	"context"
	"crypto/tls"
	"io"
	"net"
	"os"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed-94e48765/portico/proxyproto"
)

// What the log reports if a client gets no session, or if a session ends early.

func TestADialCutByShutdownIsNotTheBackendsFault(t *testing.T) {
	b := startBackend(t)
	r, log := startRelay(t, []string{b.address()})
	dialing := make(chan struct{})
	r.dial = func(ctx context.Context, network, address string) (net.Conn, error) {
		close(dialing)
		<-ctx.Done()
		return nil, &net.OpError{Op: "dial", Net: network, Err: ctx.Err()}
	}
	c := dialAsProxy(t, r, ofClient(2, nil))
	<-dialing
	require.NoError(t, r.shutdown(0))
	requireEOF(t, c)
	log.await(t, "level=INFO", `msg="client turned away"`, "client_ip="+clientIP+" ", "cut at shutdown", "RELAY_GRACE")
	require.NotContains(t, log.String(), "does not answer")
}

func TestClientsCutByShutdownBeforeTheirSessionAreLogged(t *testing.T) {
	certFile, keyFile, _ := certificate(t)
	b := startBackend(t)
	r, log := startRelay(t, []string{b.address()}, "MAX_SESSIONS=1", "TLS_CERT="+certFile, "TLS_KEY="+keyFile)
	dialAsProxy(t, r, ofClient(2, nil)) // and no handshake
	second := dialAsProxy(t, r, ofClient(2, nil))
	log.await(t, "no room for another session", "RELAY_MAX_SESSIONS")
	require.NoError(t, r.shutdown(0))
	log.await(t, "level=INFO", `msg="client turned away"`, "client_ip="+clientIP+" ", `RELAY_GRACE had passed"`)
	log.await(t, "level=INFO", `msg="client turned away"`, "client_ip="+clientIP+" ", "cut at shutdown", "RELAY_MAX_SESSIONS")
	require.NotContains(t, log.String(), "no TLS handshake")
	requireEOF(t, second)
}

func TestAHandshakeThatTakesTooLongNamesTheSetting(t *testing.T) {
	certFile, keyFile, _ := certificate(t)
	b := startBackend(t)
	r, log := startRelay(t, []string{b.address()}, "DIAL_TIMEOUT=50ms", "LOG=debug", "TLS_CERT="+certFile, "TLS_KEY="+keyFile)
	dialAsProxy(t, r, ofClient(2, nil))
	log.await(t, "level=DEBUG", `msg="no TLS handshake"`, "50ms (RELAY_DIAL_TIMEOUT)")
}

func TestDialErrorsAreLoggedWithTheirCause(t *testing.T) {
	for _, tt := range []struct {
		name string
		err  error
		want []string
	}{
		{name: "refused", err: os.NewSyscallError("connect", syscall.ECONNREFUSED), want: []string{"backend does not answer", "connection refused"}},
		{name: "timeout", err: os.ErrDeadlineExceeded, want: []string{"backend does not answer", "no connection in 5s (RELAY_DIAL_TIMEOUT)"}},
		{name: "open files", err: os.NewSyscallError("socket", syscall.EMFILE), want: []string{"cannot dial the backend", "ulimit -n", "RELAY_MAX_SESSIONS"}},
		{name: "open files of the system", err: os.NewSyscallError("socket", syscall.ENFILE), want: []string{"cannot dial the backend", "RELAY_MAX_SESSIONS"}},
		{name: "ports", err: os.NewSyscallError("connect", syscall.EADDRNOTAVAIL), want: []string{"cannot dial the backend", "net.ipv4.ip_local_port_range"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := startBackend(t)
			r, log := startRelay(t, []string{b.address()})
			r.dial = func(_ context.Context, network, _ string) (net.Conn, error) {
				return nil, &net.OpError{Op: "dial", Net: network, Err: tt.err}
			}
			requireEOF(t, dialAsProxy(t, r, ofClient(2, nil)))
			log.await(t, append(tt.want, "level=WARN", "client turned away", "client_ip="+clientIP+" ")...)
		})
	}
}

func TestAClientThatLeavesBeforeTheDialIsNotTurnedAway(t *testing.T) {
	b, r, log, _, begin := waiting(t, func(c *net.TCPConn) {
		require.NoError(t, proxyproto.WriteHeader(c, ofClient(2, nil)))
		reset(c)
	})
	begin()
	log.await(t, `msg="client left"`, "connection reset")
	require.NotContains(t, log.String(), "turned away")
	r.sessions.Wait()
	require.EqualValues(t, 1, b.Stats().Proxied, "the first session only")
}

func TestTheEndOfASessionHasAReason(t *testing.T) {
	certFile, keyFile, config := certificate(t)
	certs := []string{"TLS_CERT=" + certFile, "TLS_KEY=" + keyFile}
	const noAnswer = "the backend ended the session without an answer"
	for _, tt := range []struct {
		name     string
		settings []string
		end      func(t *testing.T, client, server net.Conn)
		want     []string
		not      string
	}{
		{name: "backend closes", end: func(t *testing.T, client, server net.Conn) {
			server.Close()
			requireEOF(t, client)
		}, want: []string{noAnswer, "RELAY_SEND", "it closed"}},
		{name: "backend resets", end: func(t *testing.T, client, server net.Conn) {
			reset(server)
			_, err := io.ReadAll(client)
			require.ErrorIs(t, err, syscall.ECONNRESET)
		}, want: []string{noAnswer, "RELAY_SEND", "connection reset"}},
		{name: "backend answers and closes", end: func(t *testing.T, client, server net.Conn) {
			write(t, server, "554 no")
			requireRead(t, client, "554 no")
			server.Close()
			requireEOF(t, client)
		}, want: []string{`reason="both sides closed"`}},
		{name: "client closes", end: func(t *testing.T, client, server net.Conn) {
			client.Close()
			requireEOF(t, server)
			server.Close()
		}, want: []string{`reason="both sides closed"`}},
		{name: "client resets", end: func(_ *testing.T, client, _ net.Conn) { reset(client) }, want: []string{"connection reset"}, not: noAnswer},
		{name: "TLS ends in a record", settings: certs, end: func(t *testing.T, client, server net.Conn) {
			write(t, server, "220 hello")
			requireRead(t, client, "220 hello")
			below := client.(*tls.Conn).NetConn()
			write(t, below, "\x17\x03\x03\x00\x10")
			below.Close()
		}, want: []string{"ended within a TLS record"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := startBackend(t)
			r, log := startRelay(t, []string{b.address()}, tt.settings...)
			var client net.Conn = dialAsProxy(t, r, ofClient(2, nil))
			if tt.settings != nil {
				tc := tls.Client(client, config)
				require.NoError(t, tc.Handshake())
				client = tc
			}
			tt.end(t, client, b.accept())
			client.Close()
			log.await(t, append(tt.want, `msg="session ended"`)...)
			if tt.not != "" {
				require.NotContains(t, log.String(), tt.not)
			}
		})
	}
}
