package main

import (
	"context"
	"net"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed-94e48765/portico/proxyproto"
)

const mailOfAnn = "From: Ann <ann@sender.test>\r\nTo: demo@example.test\r\nSubject: hello\r\n\r\nhello\r\n"

// A txtDNS has only TXT records.
type txtDNS struct {
	*net.Resolver
	records map[string]string // by name, with the dot at its end
}

func (d txtDNS) LookupTXT(_ context.Context, name string) ([]string, error) {
	text, ok := d.records[name]
	if !ok {
		return nil, &net.DNSError{Err: "no such host", Name: name, IsNotFound: true}
	}
	return []string{text}, nil
}

// senderDNS allows clientIP to send for sender.test.
var senderDNS = txtDNS{records: map[string]string{
	"sender.test.":        "v=spf1 ip4:" + clientIP + " -all",
	"_dmarc.sender.test.": "v=DMARC1; p=reject",
}}

// The proxy sends the same message with its PROXY header, and to a server that takes the proxy for
// the client.
func TestSPFAndDMARCUseTheClient(t *testing.T) {
	const proxy = directIP // SPF is not evaluated for 127.0.0.1
	needDirect(t)
	dns := senderDNS
	run := func(trusted string, enforce bool, connect func(started) net.Conn) (string, string) {
		f := startWith(t, map[string]string{"MAILFRONT_TRUSTED_PROXIES": trusted}, func(f *frontend) {
			f.auth.DNS, f.auth.Enforce = dns, enforce
		})
		return f.send(connect(f), "mx.sender.test", "ann@sender.test", mailOfAnn)
	}
	withHeader := func(h proxyproto.Header) func(started) net.Conn {
		return func(f started) net.Conn { return f.proxiedBy(proxy, "smtp", h) }
	}
	without := func(f started) net.Conn { return f.connect(proxy, "smtp") }
	fromHere := func(f started) net.Conn { return f.connect(proxyIP, "smtp") }
	self := header(nil)
	self.Source = &net.TCPAddr{IP: net.ParseIP(proxy), Port: 1}
	const pass = "Authentication-Results: example.test; spf=pass smtp.mailfrom=ann@sender.test; dkim=none; dmarc=pass header.from=sender.test"
	const fail = "Authentication-Results: example.test; spf=fail smtp.mailfrom=ann@sender.test; dkim=none; dmarc=fail header.from=sender.test"
	const unknown = "Authentication-Results: example.test; dkim=none"
	for _, test := range []struct {
		name    string
		trusted string
		connect func(started) net.Conn
		want    string
		from    string
	}{
		{name: "the client, by PROXY", trusted: proxy, connect: withHeader(header(nil)), want: pass, from: "[192.0.2.7]"},
		{name: "the proxy, taken for the client", trusted: "", connect: without, want: fail, from: "[" + proxy + "]"},
		{name: "LOCAL", trusted: proxy, connect: withHeader(proxyproto.Header{Local: true}), want: unknown, from: "client not known"},
		{name: "UNKNOWN", trusted: proxy, connect: withHeader(proxyproto.Header{Version: 1}), want: unknown, from: "client not known"},
		{name: "a trusted proxy as the client", trusted: proxy, connect: withHeader(self), want: unknown, from: "[" + proxy + "]"},
		{name: "a proxy on this machine, taken for the client", trusted: "", connect: fromHere, want: unknown, from: "[127.0.0.1]"},
	} {
		t.Run(test.name, func(t *testing.T) {
			header, answer := run(test.trusted, false, test.connect)
			require.Regexp(t, "^250 ", answer)
			require.Equal(t, []string{test.want}, fieldsNamed(header, "Authentication-Results"))
			require.True(t, strings.HasPrefix(header, "Authentication-Results:"), "on top")
			require.Contains(t, fieldsNamed(header, "Received")[0], "from mx.sender.test ("+test.from+") by example.test with ESMTP id ")

			header, answer = run(test.trusted, true, test.connect)
			if test.want == fail {
				require.Regexp(t, "^550 5.7.1 Refused by the DMARC policy of sender.test", answer)
				require.Empty(t, header)
			} else {
				require.Regexp(t, "^250 ", answer)
			}
		})
	}
}

func TestOwnMailIsNotAuthenticated(t *testing.T) {
	dns := senderDNS
	f := startWith(t, map[string]string{"MAILFRONT_RELAY_LOOPBACK": "true"}, func(f *frontend) { f.auth.DNS, f.auth.Enforce = dns, true })
	onTLSAtProxy := header(&proxyproto.TLS{Client: true})
	onTLSAtProxy.Source = &net.TCPAddr{IP: net.ParseIP("198.51.100.9"), Port: 1} // not a host of sender.test
	here := proxyproto.Header{Source: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 1}, Destination: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 1}}
	const forged = "Authentication-Results: example.test; dmarc=pass\r\n"
	for _, test := range []struct {
		name, listener string
		header         proxyproto.Header
		login          bool
	}{
		{name: "submission, logged in", listener: "submission", header: onTLSAtProxy, login: true},
		{name: "SMTP, logged in", listener: "smtp", header: onTLSAtProxy, login: true},
		{name: "SMTP, from this machine with MAILFRONT_RELAY_LOOPBACK", listener: "smtp", header: here, login: false},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := ehlo(t, f.proxiedBy(proxyIP, test.listener, test.header))
			if test.login {
				require.Regexp(t, "^235 ", s.smtp("AUTH PLAIN %s", saslPlain(testAccount, testPassword)))
			}
			header, answer := f.sendOn(s, "ann@sender.test", forged+mailOfAnn)
			require.Regexp(t, "^250 ", answer)
			require.Empty(t, fieldsNamed(header, "Authentication-Results"))
			require.Equal(t, test.login, strings.Contains(header, " with ESMTPSA id "), header)
		})
	}
}

func TestClientTLSInReceived(t *testing.T) {
	f := startWith(t, map[string]string{"MAILFRONT_TLS_REENCRYPTED": "smtps"}, nil)
	told := header(&proxyproto.TLS{Client: true, Version: "TLSv1.2", Cipher: "ECDHE-RSA-AES128-GCM-SHA256"})
	odd := header(&proxyproto.TLS{Client: true, Version: "TLSv1.3", Cipher: "x) by evil (y"})
	untold, clear := header(nil), header(&proxyproto.TLS{})
	const ours = `using TLSv1\.3 with cipher TLS_[A-Z0-9_]+`
	for _, test := range []struct {
		name, listener string
		header         *proxyproto.Header // nil: direct
		startTLS       bool
		want           string
	}{
		{name: "direct", listener: "smtp", header: nil, startTLS: false, want: `\(\[127\.0\.0\.77\]\) by example.test with ESMTP id`},
		{name: "direct, STARTTLS", listener: "smtp", header: nil, startTLS: true, want: `\(\[127\.0\.0\.77\]\) \(` + ours + `\) by example.test with ESMTPS id`},
		{name: "passed on, STARTTLS", listener: "smtp", header: &clear, startTLS: true, want: `\(\[192\.0\.2\.7\]\) \(` + ours + `\) by example.test with ESMTPS id`},
		{name: "ended at the proxy, which says so", listener: "smtp", header: &told, startTLS: false, want: `\(\[192\.0\.2\.7\]\) \(using TLSv1\.2 with cipher ECDHE-RSA-AES128-GCM-SHA256\) by example.test with ESMTPS id`},
		{name: "ended at the proxy, whose words are odd", listener: "smtp", header: &odd, startTLS: false, want: `\(\[192\.0\.2\.7\]\) \(using TLSv1\.3\) by example.test with ESMTPS id`},
		{name: "re-encrypted, and the proxy says of the client's", listener: "smtps", header: &told, startTLS: false, want: `\(\[192\.0\.2\.7\]\) \(using TLSv1\.2 with cipher ECDHE-RSA-AES128-GCM-SHA256\) by example.test with ESMTPS id`},
		{name: "re-encrypted, and the proxy says nothing", listener: "smtps", header: &untold, startTLS: false, want: `\(\[192\.0\.2\.7\]\) by example.test with ESMTP id`},
		{name: "direct, to a listener for re-encrypted", listener: "smtps", header: nil, startTLS: false, want: `\(\[127\.0\.0\.77\]\) \(` + ours + `\) by example.test with ESMTPS id`},
	} {
		t.Run(test.name, func(t *testing.T) {
			var c net.Conn
			if test.header == nil {
				needDirect(t)
				c = f.connect(directIP, test.listener)
			} else {
				c = f.proxiedBy(proxyIP, test.listener, *test.header)
			}
			if test.listener == "smtps" {
				c = onTLS(t, c)
			}
			s := newScript(t, c)
			s.until("220 ")
			s.smtp("EHLO client.example")
			if test.startTLS {
				require.Regexp(t, "^220 ", s.smtp("STARTTLS"))
				s = s.startTLS()
				s.smtp("EHLO client.example")
			}
			header, answer := f.sendOn(s, "a@sender.test", "Received: from evil\r\nSubject: x\r\n\r\n")
			require.Regexp(t, "^250 ", answer)
			received := fieldsNamed(header, "Received")
			require.Len(t, received, 2)
			require.Regexp(t, `^Received: from client.example `+test.want, received[0])
			require.Contains(t, received[0], " for <demo@example.test>; ")
		})
	}
}
