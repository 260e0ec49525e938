package main

import (
	"net"
	"net/http"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed-94e48765/portico/publicurl"
)

// listenAndCount counts the connections to another host.
func listenAndCount(t *testing.T, address string) (string, *atomic.Int64) {
	l, err := net.Listen("tcp", address)
	require.NoError(t, err)
	t.Cleanup(func() { l.Close() })
	n := new(atomic.Int64)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			n.Add(1)
			c.Close()
		}
	}()
	return l.Addr().String(), n
}

// The documents of this server name another host, and the check does not connect to it.
func TestCheckReachesNoOtherHost(t *testing.T) {
	other, connections := listenAndCount(t, "127.0.0.1:0")
	_, port, err := net.SplitHostPort(other)
	require.NoError(t, err)
	s := newAdminSite(t, testBase, plain, map[string]string{"MAILFRONT_AUTHORIZATION_SERVERS": "https://localhost:" + port + "/realms/mail"})
	own := "http://" + s.address["http"]
	s.Base = own
	s.setUp(own, adminPassword)
	_, page := s.signInAdmin(adminPassword)
	target, form := s.fill(page, "/admin", "admin/verify")
	response, _ := s.Post(target, form)
	_, page = s.follow(response)
	require.Regexp(t, `\d+ requests, `, page)
	require.Zero(t, connections.Load())

	base, err := publicurl.Parse(own)
	require.NoError(t, err)
	client := verifyClient(base)
	response, err = client.Get(own + "/.well-known/jmap")
	require.NoError(t, err)
	response.Body.Close()
	for _, u := range []string{"http://" + other, "https://" + other, "http://localhost:" + port} {
		_, err := client.Get(u)
		require.ErrorContains(t, err, "mailfront: the check connects to "+s.address["http"]+" only", u)
	}
	require.Zero(t, connections.Load())
}

func TestCheckUsesPublicPort(t *testing.T) {
	for base, want := range map[string]string{"https://mail.example.com": "mail.example.com:443", "https://mail.example.com:8443/mail": "mail.example.com:8443", "https://[2001:db8::1]": "[2001:db8::1]:443", "http://localhost": "localhost:80"} {
		b, err := publicurl.Parse(base)
		require.NoError(t, err)
		transport := verifyClient(b).Transport.(*http.Transport)
		require.Nil(t, transport.Proxy)
		_, err = transport.DialContext(t.Context(), "tcp", "other.example:443")
		require.ErrorContains(t, err, "connects to "+want+" only, not to other.example:443")
	}
}
