package msgauth

import (
	"bytes"
	"crypto/ed25519"
	"encoding/base64"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/emersion/go-msgauth/authres"
	"github.com/emersion/go-msgauth/dkim"
	"github.com/stretchr/testify/require"
)

const letter = "From: Ann <ann@sender.test>\r\nTo: demo@example.test\r\nSubject: hello\r\n\r\nhello\r\n"

// signedLetter is letter with a DKIM signature of domain, and records with its key
// and of sender.test.
func signedLetter(t *testing.T, domain string) (string, fakeDNS) {
	t.Helper()
	public, private, err := ed25519.GenerateKey(nil)
	require.NoError(t, err)
	var b bytes.Buffer
	require.NoError(t, dkim.Sign(&b, strings.NewReader(letter), &dkim.SignOptions{Domain: domain, Selector: "s", Signer: private}))
	return b.String(), fakeDNS{
		"sender.test":            {"v=spf1 ip4:192.0.2.7 -all"},
		"_dmarc.sender.test":     {"v=DMARC1; p=reject"},
		"s._domainkey." + domain: {"v=DKIM1; k=ed25519; p=" + base64.StdEncoding.EncodeToString(public)},
	}
}

func TestDMARC(t *testing.T) {
	client, other, unknown := netip.MustParseAddr("192.0.2.7"), netip.MustParseAddr("192.0.2.8"), netip.Addr{}
	signed, dns := signedLetter(t, "mail.sender.test")
	foreign, more := signedLetter(t, "bulk.test")
	for name, record := range more {
		dns[name] = record
	}
	for name, record := range (fakeDNS{
		"news.sender.test":    {"v=spf1 ip4:192.0.2.7 -all"},
		"strict.test":         {"v=spf1 ip4:192.0.2.7 -all"},
		"_dmarc.strict.test":  {"v=DMARC1; p=reject; aspf=s; adkim=s; sp=none"},
		"sub.strict.test":     {"v=spf1 ip4:192.0.2.7 -all"},
		"none.test":           {"v=spf1 ip4:192.0.2.7 -all"},
		"_dmarc.watch.test":   {"v=DMARC1; p=none"},
		"_dmarc.some.test":    {"v=DMARC1; p=reject; pct=0"},
		"_dmarc.bad.test":     {"v=DMARC1; p=perhaps"},
		"_dmarc.two.test":     {"v=DMARC1; p=reject", "v=DMARC1; p=none"},
		"_dmarc.mixed.test":   {"unrelated", "v=DMARC1; p=reject"},
		"_dmarc.slow.test":    {"slow"},
		"slowspf.test":        {"slow"},
		"_dmarc.slowspf.test": {"v=DMARC1; p=reject"},
	}) {
		dns[name] = record
	}
	from := func(value string) string { return "From: " + value + "\r\n\r\nhello\r\n" }
	for _, test := range []struct {
		name     string
		ip       netip.Addr
		mailFrom string
		message  string
		want     authres.ResultValue
		domain   string
		refuse   bool
	}{
		{name: "SPF, same domain", ip: client, mailFrom: "a@sender.test", message: letter, want: "pass", domain: "sender.test", refuse: false},
		{name: "SPF, subdomain, relaxed", ip: client, mailFrom: "a@news.sender.test", message: letter, want: "pass", domain: "sender.test", refuse: false},
		{name: "SPF passes for another domain", ip: client, mailFrom: "a@none.test", message: letter, want: "fail", domain: "sender.test", refuse: true},
		{name: "SPF of another address", ip: other, mailFrom: "a@sender.test", message: letter, want: "fail", domain: "sender.test", refuse: true},
		{name: "SPF, strict", ip: client, mailFrom: "a@strict.test", message: from("a@strict.test"), want: "pass", domain: "strict.test", refuse: false},
		{name: "SPF, subdomain, strict", ip: client, mailFrom: "a@sub.strict.test", message: from("a@strict.test"), want: "fail", domain: "strict.test", refuse: true},
		{name: "the organization's policy for subdomains", ip: other, mailFrom: "a@x.test", message: from("a@sub.strict.test"), want: "fail", domain: "sub.strict.test", refuse: false},
		{name: "DKIM of a subdomain, forwarded", ip: other, mailFrom: "a@forwarder.test", message: signed, want: "pass", domain: "sender.test", refuse: false},
		{name: "DKIM, unknown client", ip: unknown, mailFrom: "a@sender.test", message: signed, want: "pass", domain: "sender.test", refuse: false},
		{name: "no DKIM, unknown client", ip: unknown, mailFrom: "a@sender.test", message: letter, want: "", domain: "sender.test", refuse: false},
		{name: "DKIM of another domain", ip: other, mailFrom: "a@sender.test", message: foreign, want: "fail", domain: "sender.test", refuse: true},
		{name: "DKIM of a changed message", ip: other, mailFrom: "a@sender.test", message: strings.Replace(signed, "hello\r\n\r\n", "hi\r\n\r\n", 1), want: "fail", domain: "sender.test", refuse: true},
		{name: "no record", ip: client, mailFrom: "a@none.test", message: from("a@none.test"), want: "none", domain: "none.test", refuse: false},
		{name: "a policy that only watches", ip: other, mailFrom: "a@x.test", message: from("a@watch.test"), want: "fail", domain: "watch.test", refuse: false},
		{name: "a policy for no part of the mail", ip: other, mailFrom: "a@x.test", message: from("a@some.test"), want: "fail", domain: "some.test", refuse: false},
		{name: "a broken record", ip: other, mailFrom: "a@x.test", message: from("a@bad.test"), want: "permerror", domain: "bad.test", refuse: false},
		{name: "two records do not count", ip: other, mailFrom: "a@x.test", message: from("a@two.test"), want: "none", domain: "two.test", refuse: false},
		{name: "other texts and the record", ip: other, mailFrom: "a@x.test", message: from("a@mixed.test"), want: "fail", domain: "mixed.test", refuse: true},
		{name: "no answer for the record", ip: other, mailFrom: "a@x.test", message: from("a@slow.test"), want: "temperror", domain: "slow.test", refuse: false},
		{name: "no answer for SPF", ip: other, mailFrom: "a@slowspf.test", message: from("a@sender.test"), want: "temperror", domain: "sender.test", refuse: false},
		{name: "no From", ip: client, mailFrom: "a@sender.test", message: "Subject: x\r\n\r\n", want: "permerror", domain: "", refuse: false},
		{name: "two From", ip: client, mailFrom: "a@sender.test", message: "From: a@sender.test\r\nfrom : a@other.test\r\n\r\n", want: "permerror", domain: "", refuse: false},
		{name: "two addresses in From", ip: client, mailFrom: "a@sender.test", message: from("a@sender.test, b@other.test"), want: "permerror", domain: "", refuse: false},
		{name: "From is not an address", ip: client, mailFrom: "a@sender.test", message: from("sender.test"), want: "permerror", domain: "", refuse: false},
		{name: "From with an encoded name, folded", ip: client, mailFrom: "a@sender.test", message: from("=?utf-8?q?a=40other.test?=\r\n <a@Sender.Test>"), want: "pass", domain: "sender.test", refuse: false},
		{name: "From in the body", ip: client, mailFrom: "a@sender.test", message: "Subject: x\r\n\r\n" + letter, want: "permerror", domain: "", refuse: false},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				for _, enforce := range []bool{false, true} {
					v := (&Checker{dns, enforce}).Check(t.Context(), test.ip, "mx.test", test.mailFrom, []byte(test.message))
					require.Equal(t, test.want, v.DMARC)
					require.Equal(t, test.domain, v.From)
					require.Equal(t, test.refuse && enforce, v.Refuse)
					field := v.Field("example.test")
					if test.want != "" {
						require.Contains(t, field, ";\r\n\tdmarc="+string(test.want))
					} else {
						require.NotContains(t, field, "dmarc=")
					}
					require.Equal(t, test.ip.IsValid(), strings.Contains(field, ";\r\n\tspf="))
				}
			})
		})
	}
}

func TestSignatureLimit(t *testing.T) {
	signed, dns := signedLetter(t, "sender.test")
	signature := strings.TrimSuffix(signed, letter)
	v := (&Checker{DNS: dns}).Check(t.Context(), netip.Addr{}, "mx.test", "a@x.test", []byte(strings.Repeat(signature, 50)+letter))
	require.Equal(t, maxSignatures, strings.Count(v.Field("example.test"), "dkim=pass header.d=sender.test"), v.Field("example.test"))
}
