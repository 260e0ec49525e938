package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-94e48765/portico/proxyproto"
)

func TestTheBackendLearnsWhoTheClientIsAndBytesGoBothWays(t *testing.T) {
	facts := &proxyproto.TLS{Client: true, Version: "TLSv1.3", Cipher: "TLS_AES_128_GCM_SHA256"}
	for _, send := range []string{"v1", "v2"} {
		t.Run(send, func(t *testing.T) {
			b := startBackend(t)
			r, log := startRelay(t, []string{b.address()}, "SEND="+send)
			h := ofClient(2, facts)
			h.ServerName, h.UniqueID = "mail.example.com", []byte("id-1")
			c := dialAsProxy(t, r, h)
			server := b.accept()
			info := server.Info()
			require.True(t, info.ClientKnown())
			require.Equal(t, clientIP+":50000", info.Client.String())
			require.Equal(t, "198.51.100.1:25", info.Server.String())
			if send == "v2" {
				require.Equal(t, facts, info.TLS)
				require.Equal(t, "mail.example.com", info.ServerName)
				require.Equal(t, []byte("id-1"), info.UniqueID)
			} else {
				require.Nil(t, info.TLS)
			}
			write(t, server, "220 hello\r\n")
			requireRead(t, c, "220 hello\r\n")
			write(t, c, "QUIT\r\n")
			requireRead(t, server, "QUIT\r\n")
			require.NoError(t, server.Close())
			requireEOF(t, c)
			require.NoError(t, c.Close())
			log.await(t, `msg="session ended"`, "client_ip="+clientIP+" ", "client_known=true", "proxy="+proxyIP+" ", "version=2",
				"tls=true", "backend="+b.address(), `reason="both sides closed"`, "up=6 ", "down=11 ")
			r.sessions.Wait()
			r.watch.mu.Lock()
			defer r.watch.mu.Unlock()
			require.Empty(t, r.watch.sessions, "of a session that has ended nothing is left")
		})
	}
}

// The first bytes are sent with the header, and counted.
func TestBytesThatCameBeforeTheBackendWasDialedAreForwarded(t *testing.T) {
	b := startBackend(t)
	r, log := startRelay(t, []string{b.address()})
	c := dial(t, r)
	var first bytes.Buffer
	require.NoError(t, proxyproto.WriteHeader(&first, ofClient(2, nil)))
	first.WriteString("EHLO\r\n")
	write(t, c, first.String())
	server := b.accept()
	requireRead(t, server, "EHLO\r\n")
	write(t, c, "QUIT\r\n")
	require.NoError(t, c.CloseWrite())
	requireRead(t, server, "QUIT\r\n")
	requireEOF(t, server)
	require.NoError(t, server.Close())
	requireEOF(t, c)
	log.await(t, `msg="session ended"`, "up=12 ", "down=0 ")
}

func TestADirectClientIsServedAtOnceAsWhoItIs(t *testing.T) {
	b := startBackend(t)
	r, log := startRelay(t, []string{b.address()}, "TRUSTED_PROXIES=192.0.2.1")
	c := dial(t, r)
	server := b.accept()
	require.Equal(t, c.LocalAddr().String(), server.Info().Client.String())
	require.Equal(t, &proxyproto.TLS{}, server.Info().TLS, "that there is no TLS")
	write(t, server, "220 hello\r\n")
	requireRead(t, c, "220 hello\r\n")

	forged := new(bytes.Buffer)
	require.NoError(t, proxyproto.WriteHeader(forged, ofClient(2, nil)))
	write(t, c, forged.String()+"EHLO\r\n")
	rest, err := io.ReadAll(server)
	require.Empty(t, rest, "of a forged header, and what follows it, nothing is passed on")
	require.ErrorIs(t, err, syscall.ECONNRESET)
	log.await(t, `msg="connection refused"`, "untrusted peer")
}

func TestPeersThatAreNotTrustedAreRefusedIfThatIsSaid(t *testing.T) {
	b := startBackend(t)
	r, log := startRelay(t, []string{b.address()}, "TRUSTED_PROXIES=192.0.2.1", "UNTRUSTED=refuse")
	_, err := io.ReadAll(dial(t, r))
	require.True(t, err == nil || errors.Is(err, syscall.ECONNRESET), "%v", err)
	log.await(t, `msg="connection refused"`, "setting=RELAY_TRUSTED_PROXIES")
	require.Zero(t, b.Stats().Proxied)
}

// The end of one direction is forwarded, and the other direction continues.
func TestHalfCloseIsKeptBothWays(t *testing.T) {
	certFile, keyFile, config := certificate(t)
	for name, c := range map[string]struct {
		settings []string
		wrap     func(*net.TCPConn) duplex
	}{
		"TCP": {wrap: func(c *net.TCPConn) duplex { return c }},
		"TLS": {settings: []string{"TLS_CERT=" + certFile, "TLS_KEY=" + keyFile}, wrap: func(c *net.TCPConn) duplex { return tls.Client(c, config) }},
	} {
		t.Run(name, func(t *testing.T) {
			b := startBackend(t)
			r, log := startRelay(t, []string{b.address()}, c.settings...)
			for _, clientFirst := range []bool{true, false} {
				client := c.wrap(dialAsProxy(t, r, ofClient(1, nil)))
				if tc, ok := client.(*tls.Conn); ok {
					require.NoError(t, tc.Handshake())
				}
				server := b.accept()
				first, second := client, duplex(server)
				if !clientFirst {
					first, second = second, first
				}
				write(t, first, "last words")
				require.NoError(t, first.CloseWrite())
				requireRead(t, second, "last words")
				requireEOF(t, second)
				write(t, second, strings.Repeat("a long answer ", 10_000))
				require.NoError(t, second.CloseWrite())
				requireRead(t, first, strings.Repeat("a long answer ", 10_000))
				requireEOF(t, first)
				log.await(t, `msg="session ended"`, `reason="both sides closed"`)
			}
		})
	}
}

// After a reset, neither the server nor the client may take the stream for complete.
func TestAResetIsPassedOnAsOne(t *testing.T) {
	b := startBackend(t)
	r, _ := startRelay(t, []string{b.address()})
	for _, byClient := range []bool{true, false} {
		c := dialAsProxy(t, r, ofClient(2, nil))
		server := b.accept()
		var first, second net.Conn = c, server
		if !byClient {
			first, second = server, c
		}
		write(t, first, "half a mess")
		requireRead(t, second, "half a mess")
		reset(first)
		_, err := io.ReadAll(second)
		require.ErrorIs(t, err, syscall.ECONNRESET)
	}
}

func TestTheBackendLearnsOfTLSThatEndsHere(t *testing.T) {
	certFile, keyFile, config := certificate(t)
	b := startBackend(t)
	r, log := startRelay(t, []string{b.address()}, "TLS_CERT="+certFile, "TLS_KEY="+keyFile, "LOG=debug")
	tc := tls.Client(dialAsProxy(t, r, ofClient(1, nil)), config)
	require.NoError(t, tc.Handshake())
	server := b.accept()
	secure, known := proxyproto.Secure(server)
	require.True(t, secure && known)
	want := proxyproto.TLSFromState(tc.ConnectionState()) // the same as seen here, except for the certificate
	want.ClientCert, want.Verified = false, false
	require.Equal(t, want, server.Info().TLS)
	require.Equal(t, "mail.example.com", server.Info().ServerName)
	require.Equal(t, clientIP+":50000", server.Info().Client.String())
	log.await(t, `msg="session begins"`, " tls=true ")

	// A failed handshake makes no connection to the backend.
	c := dialAsProxy(t, r, ofClient(1, nil))
	write(t, c, "EHLO client.example.com\r\n")
	_, err := io.ReadAll(c) // an alert, perhaps
	require.True(t, err == nil || errors.Is(err, syscall.ECONNRESET), "%v", err)
	require.EqualValues(t, 1, b.Stats().Proxied)
}

func TestAHealthCheckReachesTheBackendAsOneAndOneWithoutAByteEndsHere(t *testing.T) {
	b := startBackend(t)
	r, log := startRelay(t, []string{b.address()})
	probe := dial(t, r)
	require.NoError(t, probe.CloseWrite())
	requireEOF(t, probe)

	for version := 1; version <= 2; version++ {
		check := dialAsProxy(t, r, proxyproto.Header{Version: version, Local: true})
		server := b.accept()
		require.True(t, server.Info().Local)
		require.False(t, server.Info().ClientKnown())
		write(t, server, "220 hello\r\n")
		requireRead(t, check, "220 hello\r\n")
		require.NoError(t, check.Close())
		require.NoError(t, server.Close())
	}
	require.EqualValues(t, 1, r.listeners[0].Stats().Probes)
	require.EqualValues(t, 2, b.Stats().Local)
	require.Zero(t, b.Stats().Probes+b.Stats().Proxied)
	log.await(t, `msg="session ended"`, "client_known=false", "version=1") // UNKNOWN may be a client
	require.NotContains(t, log.String(), "version=2", "a check is not in the log")
}

func TestABackendThatIsDownSendsClientsAwayAtOnce(t *testing.T) {
	r, log := startRelay(t, []string{closedAddress(t)})
	requireEOF(t, dialAsProxy(t, r, ofClient(2, nil)))
	log.await(t, "level=WARN", "backend does not answer", "client_ip="+clientIP+" ", "proxy="+proxyIP+" ", "tls=false", "connection refused")
}

// Every address on loopback answers, so the dialer blocks.
func TestABackendThatDoesNotAnswerIsGivenUpInTime(t *testing.T) {
	b := startBackend(t)
	r, log := startRelay(t, []string{b.address()}, "DIAL_TIMEOUT=50ms")
	r.dial = func(ctx context.Context, network, address string) (net.Conn, error) {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	requireEOF(t, dialAsProxy(t, r, ofClient(2, nil)))
	log.await(t, "level=WARN", "backend does not answer", "deadline exceeded")
}

func TestClientsWaitWhileThereIsNoRoom(t *testing.T) {
	b := startBackend(t)
	r, log := startRelay(t, []string{b.address()}, "MAX_SESSIONS=1")
	first := dialAsProxy(t, r, ofClient(2, nil))
	server := b.accept()
	second := dialAsProxy(t, r, ofClient(2, nil))
	log.await(t, "level=WARN", "no room for another session")
	require.EqualValues(t, 1, b.Stats().Proxied)
	require.NoError(t, first.Close())
	require.NoError(t, server.Close())
	write(t, b.accept(), "220 hello\r\n")
	requireRead(t, second, "220 hello\r\n")
}

func TestEachListenerHasItsBackend(t *testing.T) {
	b1, b2 := startBackend(t), startBackend(t)
	r, _ := startRelay(t, []string{b1.address(), b2.address()}, "MAX_SESSIONS=1")
	for i, b := range []*backend{b2, b1} { // the room for one session is enough for both, in turn
		c := dialAddress(t, r.listeners[1-i].Addr().String())
		require.NoError(t, proxyproto.WriteHeader(c, ofClient(2, nil)))
		server := b.accept()
		require.NoError(t, c.Close())
		requireEOF(t, server)
		require.NoError(t, server.Close())
	}
}

func TestShutdownWaitsForSessionsAndThenCutsThem(t *testing.T) {
	b := startBackend(t)
	r, log := startRelay(t, []string{b.address()})
	ended := make(chan error, 1)
	short := dialAsProxy(t, r, ofClient(2, nil))
	server := b.accept()
	go func() { ended <- r.shutdown(timeout) }()
	r.accepting.Wait() // no client is accepted any more
	_, err := net.Dial("tcp", r.listeners[0].Addr().String())
	require.Error(t, err, "refused, or reset while the socket closes")
	write(t, server, "221 bye\r\n")
	requireRead(t, short, "221 bye\r\n")
	require.Empty(t, ended, "a session goes on")
	require.NoError(t, short.Close())
	require.NoError(t, server.Close())
	require.NoError(t, <-ended)
	require.NotContains(t, log.String(), "cut at shutdown")

	r, log = startRelay(t, []string{b.address()}, "LOG=debug")
	long := dialAsProxy(t, r, ofClient(2, nil))
	server = b.accept()
	log.await(t, `msg="session begins"`)
	require.NoError(t, r.shutdown(10*time.Millisecond))
	for _, c := range []net.Conn{long, server} {
		_, err := io.ReadAll(c)
		require.ErrorIs(t, err, syscall.ECONNRESET)
	}
	log.await(t, `msg="session ended"`, `reason="cut at shutdown, when the time in RELAY_GRACE had passed"`)
}

// The end also works while clients wait for room and the listener accepts nothing.
func TestShutdownEndsWhereThereIsNoRoom(t *testing.T) {
	b := startBackend(t)
	r, log := startRelay(t, []string{b.address()}, "MAX_SESSIONS=1")
	dialAsProxy(t, r, ofClient(2, nil))
	b.accept()
	waits := dialAsProxy(t, r, ofClient(2, nil))
	log.await(t, "no room for another session")
	require.NoError(t, r.shutdown(10*time.Millisecond))
	_, err := io.ReadAll(waits)
	require.True(t, err == nil || errors.Is(err, syscall.ECONNRESET), "%v", err)
}

func TestRunPrintsItsListenersAndEndsWithItsContext(t *testing.T) {
	b := startBackend(t)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	stdout, w := io.Pipe()
	ended := make(chan error, 1)
	go func() {
		ended <- run(ctx, []string{"-backend", b.address()}, lookup(nil), w, io.Discard)
		w.Close()
	}()
	var once sync.Once
	var table strings.Builder
	buf := make([]byte, 512)
	for {
		n, err := stdout.Read(buf)
		table.Write(buf[:n])
		if strings.Count(table.String(), "\n") == 2 {
			once.Do(cancel)
		}
		if err != nil {
			break
		}
	}
	require.NoError(t, <-ended)
	require.Regexp(t, `^LISTENER +BACKEND +SENDS +TLS\n127\.0\.0\.1:\d+ +`+b.address()+` +v2 +passed on\n$`, table.String())

	taken := b.address()
	err := run(context.Background(), []string{"-backend", taken + "," + taken, "-listen", "127.0.0.1:0," + taken}, lookup(nil), io.Discard, io.Discard)
	require.ErrorContains(t, err, `relay: -listen is "`+taken+`": cannot listen`)
}
