package main

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// RFC 6531: the domain of the sender is looked up, and that of the recipient compared, as they
// are in the DNS.
func TestMailWithAddressesInUTF8(t *testing.T) {
	f := startWith(t, map[string]string{"MAILFRONT_DOMAINS": "xn--mller-kva.test"}, func(f *frontend) {
		f.auth.DNS = txtDNS{records: map[string]string{
			"xn--bcher-kva.test.":        "v=spf1 ip4:" + clientIP + " -all",
			"_dmarc.xn--bcher-kva.test.": "v=DMARC1; p=reject",
		}}
		f.auth.Enforce = true
	})
	s := newScript(t, f.proxiedBy(proxyIP, "smtp", header(nil)))
	s.until("220 ")
	require.Contains(t, s.smtp("EHLO client.example"), "SMTPUTF8")
	require.Regexp(t, "^250 ", s.smtp("MAIL FROM:<jörg@BÜCHER.test> SMTPUTF8"))
	require.Regexp(t, "^250 ", s.smtp("RCPT TO:<jürgen@müller.test>"))
	require.Regexp(t, "^550 ", s.smtp("RCPT TO:<jürgen@möller.test>"), "a domain of another server")
	require.Regexp(t, "^354 ", s.smtp("DATA"))
	require.Regexp(t, "^250 ", s.smtp("From: Jörg <jörg@bücher.test>\r\nSubject: Grüße\r\n\r\nhallo\r\n."))
	require.Len(t, f.mail.messages(), 1)
	got := string(f.mail.messages()[0].Data)
	require.Contains(t, got, "spf=pass smtp.mailfrom=xn--bcher-kva.test")
	require.Contains(t, got, "dmarc=pass header.from=xn--bcher-kva.test")
	require.Contains(t, got, " with UTF8SMTP id ")
	require.Contains(t, got, "\r\nSubject: Grüße\r\n")

	require.Regexp(t, "^250 ", s.smtp("MAIL FROM:<ann@sender.test>"))
	require.Regexp(t, "^553 5.6.7 ", s.smtp("RCPT TO:<jürgen@müller.test>"), "SMTPUTF8 is of one message")
	s.smtp("RSET")
	for _, command := range []string{"MAIL FROM:<jörg@sender.test>", "MAIL FROM:<j@bücher.test>", "MAIL FROM:<j\xf6rg@sender.test> SMTPUTF8"} {
		require.Regexp(t, "^553 5.6.7 ", s.smtp("%s", command), command)
	}
}
