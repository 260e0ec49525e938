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

func TestSPFIsAskedForMAILFROMAndForHELOWhenThatIsEmpty(t *testing.T) {
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
		{"the client's address", "192.0.2.7", "x.test", "a@sender.test", spf.Pass, "spf=pass smtp.mailfrom=a@sender.test"},
		{"IPv6", "2001:db8::7", "x.test", "a@sender.test", spf.Pass, "spf=pass smtp.mailfrom=a@sender.test"},
		{"another's address", "192.0.2.8", "sender.test", "a@sender.test", spf.Fail, "spf=fail smtp.mailfrom=a@sender.test"},
		{"case and root dot", "192.0.2.7", "x.test", "A@Sender.TEST.", spf.Pass, "spf=pass smtp.mailfrom=A@sender.test"},
		{"a bounce", "192.0.2.7", "sender.test", "", spf.Pass, "spf=pass smtp.helo=sender.test"},
		{"a bounce from elsewhere", "192.0.2.8", "sender.test", "", spf.Fail, "spf=fail smtp.helo=sender.test"},
		{"a bounce, HELO is an address", "192.0.2.7", "[192.0.2.7]", "", spf.None, "spf=none "},
		{"a bounce, HELO is not a public name", "192.0.2.7", "localhost", "", spf.None, "spf=none "},
		{"no record", "192.0.2.7", "x.test", "a@other.test", spf.None, "spf=none smtp.mailfrom=a@other.test"},
		{"softfail", "192.0.2.7", "x.test", "a@soft.test", spf.SoftFail, "spf=softfail smtp.mailfrom=a@soft.test"},
		{"a record that is broken", "192.0.2.7", "x.test", "a@broken.test", spf.PermError, "spf=permerror smtp.mailfrom=a@broken.test"},
		{"two records", "192.0.2.7", "x.test", "a@two.test", spf.PermError, "spf=permerror smtp.mailfrom=a@two.test"},
		{"no answer", "192.0.2.7", "x.test", "a@slow.test", spf.TempError, "spf=temperror smtp.mailfrom=a@slow.test"},
		{"by A", "192.0.2.5", "x.test", "a@hosts.test", spf.Pass, "spf=pass smtp.mailfrom=a@hosts.test"},
		{"by MX", "192.0.2.7", "x.test", "a@hosts.test", spf.Pass, "spf=pass smtp.mailfrom=a@hosts.test"},
		{"the local part in a macro", "192.0.2.7", "x.test", "local@macro.test", spf.Pass, "spf=pass smtp.mailfrom=local@macro.test"},
		{"an @ in the local part", "192.0.2.8", "x.test", "x@bad@sender.test", spf.Fail, "spf=fail smtp.mailfrom=sender.test"},
		{"a local part that would need quotes", "192.0.2.7", "x.test", "a; dmarc=pass@sender.test", spf.Pass, "spf=pass smtp.mailfrom=sender.test"},
		{"a domain that is an address", "192.0.2.7", "x.test", "a@[192.0.2.7]", spf.None, "spf=none "},
		{"a domain that is too long", "192.0.2.7", "x.test", "a@" + strings.Repeat("x.", 130) + "test", spf.None, "spf=none "},
		{"an address for a domain", "192.0.2.7", "x.test", "a@192.0.2.7", spf.None, "spf=none "},
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

func TestTheResolverThatIsNamedIsTheOneThatIsAsked(t *testing.T) {
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
