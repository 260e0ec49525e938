package msgauth

import (
	"net"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"blitiri.com.ar/go/spf"
	"github.com/emersion/go-msgauth/authres"
	"github.com/stretchr/testify/require"
)

func TestSPFIdentity(t *testing.T) {
	dns := fakeDNS{
		"sender.test":      {"v=spf1 ip4:192.0.2.7 ip6:2001:db8::7 -all"},
		"soft.test":        {"unrelated", "v=spf1 ~all"},
		"broken.test":      {"v=spf1 nonsense"},
		"two.test":         {"v=spf1 -all", "v=spf1 +all"},
		"bad@sender.test":  {"v=spf1 +all"},
		"local.macro.test": {"v=spf1 +all"},
		"macro.test":       {"v=spf1 redirect=%{l}.macro.test"},
		"slow.test":        {"slow"},
		"hosts.test":       {"v=spf1 a mx -all"},
		"A hosts.test":     {"192.0.2.5"},
		"MX hosts.test":    {"mx.hosts.test."},
		"A mx.hosts.test":  {"192.0.2.7"},
	}
	for _, test := range []struct {
		name, ip, helo, from string
		want                 spf.Result
		field                string
	}{
		{name: "the client's address", ip: "192.0.2.7", helo: "x.test", from: "a@sender.test", want: spf.Pass, field: "spf=pass smtp.mailfrom=a@sender.test"},
		{name: "IPv6", ip: "2001:db8::7", helo: "x.test", from: "a@sender.test", want: spf.Pass, field: "spf=pass smtp.mailfrom=a@sender.test"},
		{name: "another's address", ip: "192.0.2.8", helo: "sender.test", from: "a@sender.test", want: spf.Fail, field: "spf=fail smtp.mailfrom=a@sender.test"},
		{name: "case and root dot", ip: "192.0.2.7", helo: "x.test", from: "A@Sender.TEST.", want: spf.Pass, field: "spf=pass smtp.mailfrom=A@sender.test"},
		{name: "a bounce", ip: "192.0.2.7", helo: "sender.test", from: "", want: spf.Pass, field: "spf=pass smtp.helo=sender.test"},
		{name: "a bounce from elsewhere", ip: "192.0.2.8", helo: "sender.test", from: "", want: spf.Fail, field: "spf=fail smtp.helo=sender.test"},
		{name: "a bounce, HELO is an address", ip: "192.0.2.7", helo: "[192.0.2.7]", from: "", want: spf.None, field: "spf=none "},
		{name: "a bounce, HELO is not a public name", ip: "192.0.2.7", helo: "localhost", from: "", want: spf.None, field: "spf=none "},
		{name: "no record", ip: "192.0.2.7", helo: "x.test", from: "a@other.test", want: spf.None, field: "spf=none smtp.mailfrom=a@other.test"},
		{name: "softfail", ip: "192.0.2.7", helo: "x.test", from: "a@soft.test", want: spf.SoftFail, field: "spf=softfail smtp.mailfrom=a@soft.test"},
		{name: "a record that is broken", ip: "192.0.2.7", helo: "x.test", from: "a@broken.test", want: spf.PermError, field: "spf=permerror smtp.mailfrom=a@broken.test"},
		{name: "two records", ip: "192.0.2.7", helo: "x.test", from: "a@two.test", want: spf.PermError, field: "spf=permerror smtp.mailfrom=a@two.test"},
		{name: "no answer", ip: "192.0.2.7", helo: "x.test", from: "a@slow.test", want: spf.TempError, field: "spf=temperror smtp.mailfrom=a@slow.test"},
		{name: "by A", ip: "192.0.2.5", helo: "x.test", from: "a@hosts.test", want: spf.Pass, field: "spf=pass smtp.mailfrom=a@hosts.test"},
		{name: "by MX", ip: "192.0.2.7", helo: "x.test", from: "a@hosts.test", want: spf.Pass, field: "spf=pass smtp.mailfrom=a@hosts.test"},
		{name: "the local part in a macro", ip: "192.0.2.7", helo: "x.test", from: "local@macro.test", want: spf.Pass, field: "spf=pass smtp.mailfrom=local@macro.test"},
		{name: "an @ in the local part", ip: "192.0.2.8", helo: "x.test", from: "x@bad@sender.test", want: spf.Fail, field: "spf=fail smtp.mailfrom=sender.test"},
		{name: "a local part that would need quotes", ip: "192.0.2.7", helo: "x.test", from: "a; dmarc=pass@sender.test", want: spf.Pass, field: "spf=pass smtp.mailfrom=sender.test"},
		{name: "a domain that is an address", ip: "192.0.2.7", helo: "x.test", from: "a@[192.0.2.7]", want: spf.None, field: "spf=none "},
		{name: "a domain that is too long", ip: "192.0.2.7", helo: "x.test", from: "a@" + strings.Repeat("x.", 130) + "test", want: spf.None, field: "spf=none "},
		{name: "an address for a domain", ip: "192.0.2.7", helo: "x.test", from: "a@192.0.2.7", want: spf.None, field: "spf=none "},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				began := time.Now()
				v := (&Checker{DNS: dns}).Check(t.Context(), netip.MustParseAddr(test.ip), test.helo, test.from, []byte("Subject: x\r\n\r\n"))
				require.Equal(t, test.want, v.SPF)
				require.Equal(t, "example.test; "+test.field, authres.Format("example.test", v.results[:1]))
				want := time.Duration(0)
				if test.want == spf.TempError {
					want = authTimeout
				}
				require.Equal(t, want, time.Since(began))
			})
		})
	}
}

func TestNewUsesResolver(t *testing.T) {
	server, err := net.ListenPacket("udp", "127.0.0.1:0")
	require.NoError(t, err)
	defer server.Close()
	asked := make(chan string, 10)
	go func() {
		query := make([]byte, 512)
		for {
			n, from, err := server.ReadFrom(query)
			if err != nil {
				return
			}
			asked <- string(query[12:n])
			query[2], query[3] = query[2]|0x80, 3 // a response: NXDOMAIN
			server.WriteTo(query[:n], from)
		}
	}()
	v := New(server.LocalAddr().String(), false).Check(t.Context(), netip.MustParseAddr("192.0.2.7"), "x.test", "a@sender.test", []byte("Subject: x\r\n\r\n"))
	require.Equal(t, spf.None, v.SPF)
	require.Contains(t, <-asked, "\x06sender\x04test\x00")
}
