package main

import (
	"bytes"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed-94e48765/portico/proxyproto"
)

// waiting starts a relay with room for one session, and a client that waits for room. Everything
// that the client sends has arrived when its session begins.
func waiting(t *testing.T, send func(*net.TCPConn), settings ...string) (b *backend, r *relay, log *logBuffer, client *net.TCPConn, begin func()) {
	b = startBackend(t)
	r, log = startRelay(t, []string{b.address()}, append(settings, "MAX_SESSIONS=1", "LOG=debug")...)
	first := dial(t, r)
	if len(settings) == 0 {
		require.NoError(t, proxyproto.WriteHeader(first, ofClient(2, nil)))
	}
	server := b.accept()
	client = dial(t, r)
	send(client)
	log.await(t, "no room for another session")
	return b, r, log, client, func() {
		require.NoError(t, first.Close())
		require.NoError(t, server.Close())
	}
}

func TestAForgedHeaderThatHasArrivedCostsTheBackendNothing(t *testing.T) {
	b, r, log, client, begin := waiting(t, func(c *net.TCPConn) {
		require.NoError(t, proxyproto.WriteHeader(c, ofClient(2, nil)))
		write(t, c, "EHLO\r\n")
	}, "TRUSTED_PROXIES=192.0.2.1")
	begin()
	rest, err := io.ReadAll(client)
	require.Empty(t, rest)
	require.True(t, err == nil || errors.Is(err, syscall.ECONNRESET), "%v", err)
	log.await(t, `msg="connection refused"`, "untrusted peer")
	log.await(t, `msg="client turned away"`, "untrusted peer")
	r.sessions.Wait()
	require.EqualValues(t, 1, b.Stats().Proxied, "the first session only")
}

func TestAClientThatEndsItsDirectionAtOnceIsServed(t *testing.T) {
	b, _, _, client, begin := waiting(t, func(c *net.TCPConn) {
		require.NoError(t, proxyproto.WriteHeader(c, ofClient(2, nil)))
		require.NoError(t, c.CloseWrite())
	})
	begin()
	server := b.accept()
	requireEOF(t, server)
	write(t, server, "220 hello\r\n")
	require.NoError(t, server.Close())
	requireRead(t, client, "220 hello\r\n")
	requireEOF(t, client)
}

// The records that follow a handshake belong to it, not to the first bytes for the backend.
func TestTLSBytesThatFollowTheHandshakeAtOnceArrive(t *testing.T) {
	certFile, keyFile, config := certificate(t)
	b := startBackend(t)
	r, _ := startRelay(t, []string{b.address()}, "TLS_CERT="+certFile, "TLS_KEY="+keyFile)
	sent := make([]byte, 100_000)
	rand.Read(sent)
	for range 10 {
		client := tls.Client(dialAsProxy(t, r, ofClient(1, nil)), config)
		go func() {
			client.Write(sent) // with the end of the handshake
			client.CloseWrite()
		}()
		server := b.accept()
		got, err := io.ReadAll(server)
		require.NoError(t, err)
		require.True(t, bytes.Equal(sent, got), "%d bytes", len(got))
		require.NoError(t, server.Close())
		requireEOF(t, client)
	}
}

func TestASessionThatBeginsAfterTheGraceIsCut(t *testing.T) {
	b := startBackend(t)
	r, log := startRelay(t, []string{b.address()})
	r.watch.mu.Lock()
	r.watch.closed = true
	r.watch.mu.Unlock()
	c := dialAsProxy(t, r, ofClient(2, nil))
	_, err := io.ReadAll(c)
	require.ErrorIs(t, err, syscall.ECONNRESET)
	log.await(t, `msg="session ended"`, `reason="cut at shutdown, when the time in RELAY_GRACE had passed"`)
}
