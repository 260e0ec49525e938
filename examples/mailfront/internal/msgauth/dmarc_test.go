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
	client, other, nobody := netip.MustParseAddr("192.0.2.7"), netip.MustParseAddr("192.0.2.8"), netip.Addr{}
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
		{"SPF, same domain", client, "a@sender.test", letter, "pass", "sender.test", false},
		{"SPF, subdomain, relaxed", client, "a@news.sender.test", letter, "pass", "sender.test", false},
		{"SPF passes for another domain", client, "a@none.test", letter, "fail", "sender.test", true},
		{"SPF of another address", other, "a@sender.test", letter, "fail", "sender.test", true},
		{"SPF, strict", client, "a@strict.test", from("a@strict.test"), "pass", "strict.test", false},
		{"SPF, subdomain, strict", client, "a@sub.strict.test", from("a@strict.test"), "fail", "strict.test", true},
		{"the organization's policy for subdomains", other, "a@x.test", from("a@sub.strict.test"), "fail", "sub.strict.test", false},
		{"DKIM of a subdomain, forwarded", other, "a@forwarder.test", signed, "pass", "sender.test", false},
		{"DKIM, unknown client", nobody, "a@sender.test", signed, "pass", "sender.test", false},
		{"no DKIM, unknown client", nobody, "a@sender.test", letter, "", "sender.test", false},
		{"DKIM of another domain", other, "a@sender.test", foreign, "fail", "sender.test", true},
		{"DKIM of a changed message", other, "a@sender.test", strings.Replace(signed, "hello\r\n\r\n", "hi\r\n\r\n", 1), "fail", "sender.test", true},
		{"no record", client, "a@none.test", from("a@none.test"), "none", "none.test", false},
		{"a policy that only watches", other, "a@x.test", from("a@watch.test"), "fail", "watch.test", false},
		{"a policy for no part of the mail", other, "a@x.test", from("a@some.test"), "fail", "some.test", false},
		{"a broken record", other, "a@x.test", from("a@bad.test"), "permerror", "bad.test", false},
		{"two records do not count", other, "a@x.test", from("a@two.test"), "none", "two.test", false},
		{"other texts and the record", other, "a@x.test", from("a@mixed.test"), "fail", "mixed.test", true},
		{"no answer for the record", other, "a@x.test", from("a@slow.test"), "temperror", "slow.test", false},
		{"no answer for SPF", other, "a@slowspf.test", from("a@sender.test"), "temperror", "sender.test", false},
		{"no From", client, "a@sender.test", "Subject: x\r\n\r\n", "permerror", "", false},
		{"two From", client, "a@sender.test", "From: a@sender.test\r\nfrom : a@other.test\r\n\r\n", "permerror", "", false},
		{"two addresses in From", client, "a@sender.test", from("a@sender.test, b@other.test"), "permerror", "", false},
		{"From is not an address", client, "a@sender.test", from("sender.test"), "permerror", "", false},
		{"From with an encoded name, folded", client, "a@sender.test", from("=?utf-8?q?a=40other.test?=\r\n <a@Sender.Test>"), "pass", "sender.test", false},
		{"From in the body", client, "a@sender.test", "Subject: x\r\n\r\n" + letter, "permerror", "", false},
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

func TestNoMoreThanAFewSignaturesAreLookedAt(t *testing.T) {
	signed, dns := signedLetter(t, "sender.test")
	signature := strings.TrimSuffix(signed, letter)
	v := (&Checker{DNS: dns}).Check(t.Context(), netip.Addr{}, "mx.test", "a@x.test", []byte(strings.Repeat(signature, 50)+letter))
	require.Equal(t, maxSignatures, strings.Count(v.Field("example.test"), "dkim=pass header.d=sender.test"), v.Field("example.test"))
}
