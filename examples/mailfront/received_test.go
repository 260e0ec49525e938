package main

import (
	"net"
	"net/mail"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-94e48765/portico/examples/mailfront/internal/client"
	"github.com/seed-94e48765/portico/proxyproto"
)

func TestReceivedTellsOfTheClientAndOfNothingThatItMadeUp(t *testing.T) {
	at := time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC)
	v4, v6 := netip.MustParseAddr("192.0.2.7"), netip.MustParseAddr("2001:db8::7")
	for _, test := range []struct {
		name string
		trace
		want string
	}{
		{"plain", trace{client: client.Client{IP: v4, Known: true}, helo: "Mx.Sender.test", to: []string{"demo@example.test"}},
			"from mx.sender.test ([192.0.2.7]) by example.test with ESMTP id X for <demo@example.test>;"},
		{"TLS, IPv6, address literal", trace{client: client.Client{IP: v6, Known: true, TLS: true}, helo: "[IPv6:2001:db8::7]", tls: "TLSv1.3 with cipher TLS_AES_128_GCM_SHA256"},
			"from [IPv6:2001:db8::7] ([IPv6:2001:db8::7]) (using TLSv1.3 with cipher TLS_AES_128_GCM_SHA256) by example.test with ESMTPS id X;"},
		{"logged in, TLS of which nobody tells more", trace{client: client.Client{IP: v4, Known: true, TLS: true}, helo: "localhost", user: true},
			"from localhost ([192.0.2.7]) by example.test with ESMTPSA id X;"},
		{"TLS that may be the proxy's own", trace{client: client.Client{IP: v4, Known: true}, helo: "a", tls: "TLSv1.3"},
			"from a ([192.0.2.7]) by example.test with ESMTP id X;"},
		{"the client is not known", trace{client: client.Client{IP: v4}, helo: "a"},
			"from a (client not known) by example.test with ESMTP id X;"},
		{"several recipients", trace{client: client.Client{IP: v4, Known: true}, helo: "[192.0.2.7]", to: []string{"a@example.test", "b@example.test"}},
			"from [192.0.2.7] ([192.0.2.7]) by example.test with ESMTP id X;"},
		{"made up", trace{client: client.Client{IP: v4, Known: true}, helo: "a([127.0.0.1])by", to: []string{"a> by evil@example.test"}},
			"from unknown ([192.0.2.7]) by example.test with ESMTP id X;"},
		{"made up, as an address literal", trace{client: client.Client{IP: v4, Known: true}, helo: "[fe80::1%a)b]"},
			"from unknown ([192.0.2.7]) by example.test with ESMTP id X;"},
		{"too long", trace{client: client.Client{IP: v4, Known: true}, helo: strings.Repeat("a.", 130) + "a", to: []string{strings.Repeat("a", 255) + "@example.test"}},
			"from unknown ([192.0.2.7]) by example.test with ESMTP id X;"},
	} {
		t.Run(test.name, func(t *testing.T) {
			test.trace.by, test.trace.id, test.trace.at = "example.test", "X", at
			field := test.receivedField()
			for line := range strings.Lines(field) {
				require.LessOrEqual(t, len(line), 998+2)
			}
			m, err := mail.ReadMessage(strings.NewReader(field + "\r\n"))
			require.NoError(t, err)
			require.Equal(t, test.want+" Sun, 22 Nov 2026 10:00:00 +0000", m.Header.Get("Received"))
		})
	}
}

func TestTheClientsTLSIsThatOfTheHeaderOrElseWhatWeSee(t *testing.T) {
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
		{"direct", "smtp", nil, false, `\(\[127\.0\.0\.77\]\) by example.test with ESMTP id`},
		{"direct, STARTTLS", "smtp", nil, true, `\(\[127\.0\.0\.77\]\) \(` + ours + `\) by example.test with ESMTPS id`},
		{"passed on, STARTTLS", "smtp", &clear, true, `\(\[192\.0\.2\.7\]\) \(` + ours + `\) by example.test with ESMTPS id`},
		{"ended at the proxy, which says so", "smtp", &told, false, `\(\[192\.0\.2\.7\]\) \(using TLSv1\.2 with cipher ECDHE-RSA-AES128-GCM-SHA256\) by example.test with ESMTPS id`},
		{"ended at the proxy, whose words are odd", "smtp", &odd, false, `\(\[192\.0\.2\.7\]\) \(using TLSv1\.3\) by example.test with ESMTPS id`},
		{"re-encrypted, and the proxy says of the client's", "smtps", &told, false, `\(\[192\.0\.2\.7\]\) \(using TLSv1\.2 with cipher ECDHE-RSA-AES128-GCM-SHA256\) by example.test with ESMTPS id`},
		{"re-encrypted, and the proxy says nothing", "smtps", &untold, false, `\(\[192\.0\.2\.7\]\) by example.test with ESMTP id`},
		{"direct, to a listener for re-encrypted", "smtps", nil, false, `\(\[127\.0\.0\.77\]\) \(` + ours + `\) by example.test with ESMTPS id`},
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

func TestForgedResultsGoAndOthersStay(t *testing.T) {
	const others = "Subject: example.test\r\nAuthentication-Results: mx.other.test;\r\n\tspf=pass\r\nX: Authentication-Results: example.test\r\n"
	for _, forged := range []string{
		"Authentication-Results: example.test; spf=pass\r\n",
		"AUTHENTICATION-results:EXAMPLE.test;spf=pass\r\n",
		"Authentication-Results : example.test 1; spf=pass\r\n",
		"Authentication-Results:\r\n\texample.test;\r\n dmarc=pass\r\n",
		"Authentication-Results: (a (comment;)) example.test; none\r\n",
		"Authentication-Results: \"example.test\"; none\r\n",
		"Authentication-Results: \"exam\\ple.test\"; none\r\n",
		"Authentication-Results: example.test; none\n",
	} {
		require.Equal(t, others, string(withoutForged([]byte(forged+others), "example.test")), forged)
		require.Equal(t, others, string(withoutForged([]byte(others+forged), "example.test")), forged)
	}
}

// Whatever a message is, only fields that claim to be ours are taken out of it.
func FuzzTraceFieldsLoseNothingOfAMessage(f *testing.F) {
	f.Add([]byte(letter))
	f.Add([]byte("\r\n\r\nx"))
	f.Add([]byte("Authentication-Results: example.test\r\n x\r\n\r\nAuthentication-Results: example.test\r\n"))
	f.Add([]byte("a\n b\nc"))
	f.Fuzz(func(t *testing.T, message []byte) {
		header, rest := splitMessage(message)
		require.Equal(t, string(message), string(header)+string(rest))
		joined := ""
		for _, f := range fieldsOf(header) {
			require.NotEmpty(t, f)
			joined += string(f)
		}
		require.Equal(t, string(header), joined)
		kept := string(withoutForged(header, "example.test"))
		require.Equal(t, kept, string(withoutForged([]byte(kept), "example.test")), "nothing new appears")
		if !strings.Contains(strings.ToLower(string(header)), "authentication-results") {
			require.Equal(t, string(header), kept)
		}
		if string(header) != "" && len(rest) > 0 {
			require.True(t, rest[0] == '\r' || rest[0] == '\n')
		}
	})
}
