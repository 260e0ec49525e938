package dnszone

import (
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"
	"github.com/stretchr/testify/require"

	"github.com/seed-94e48765/portico/discovery"
	"github.com/seed-94e48765/portico/publicurl"
)

// parse reads zone-file text.
func parse(t testing.TB, zone string) []dns.RR {
	t.Helper()
	p := dns.NewZoneParser(strings.NewReader(zone), "", "")
	p.SetIncludeAllowed(false)
	var records []dns.RR
	for rr, ok := p.Next(); ok; rr, ok = p.Next() {
		records = append(records, rr)
	}
	require.NoError(t, p.Err())
	return records
}

// text returns the joined strings of a TXT record from its wire format, which has no
// escapes.
func text(t testing.TB, rr *dns.TXT) string {
	t.Helper()
	wire := make([]byte, dns.Len(rr)+1024)
	n, err := dns.PackRR(rr, wire, 0, nil, false)
	require.NoError(t, err)
	_, header, err := dns.UnpackDomainName(wire, 0)
	require.NoError(t, err)
	var joined []byte
	for data := wire[header+10 : n]; len(data) > 0; { // behind type, class, TTL and length
		end := 1 + int(data[0])
		joined = append(joined, data[1:end]...)
		data = data[end:]
	}
	return string(joined)
}

// same requires that the parsed record equals the record.
func same(t testing.TB, want discovery.Record, got dns.RR) {
	t.Helper()
	require.Equal(t, want.Name, got.Header().Name)
	require.EqualValues(t, want.TTL/time.Second, got.Header().Ttl)
	require.EqualValues(t, dns.ClassINET, got.Header().Class)
	switch rr := got.(type) {
	case *dns.SRV:
		require.Equal(t, discovery.SRV, want.Type)
		require.Equal(t, want.Target, rr.Target)
		require.Equal(t, [3]uint16{want.Priority, want.Weight, want.Port}, [3]uint16{rr.Priority, rr.Weight, rr.Port})
	case *dns.CNAME:
		require.Equal(t, discovery.CNAME, want.Type)
		require.Equal(t, want.Target, rr.Target)
	case *dns.TXT:
		require.Equal(t, discovery.TXT, want.Type)
		require.Equal(t, want.Text, text(t, rr))
	default:
		t.Fatalf("a record of type %T", got)
	}
}

func TestZoneTextReadsBack(t *testing.T) {
	for _, s := range []string{"https://mail.example.com", "https://example.com:8443/mail", "https://[2001:db8::1]"} {
		base, err := publicurl.Parse(s)
		require.NoError(t, err)
		set, err := discovery.Build(discovery.Config{
			Base: base,
			JMAP: &discovery.JMAP{},
			DAV:  &discovery.DAV{CalendarPath: "/dav/" + strings.Repeat("long/", 60)},
			Mail: &discovery.Mail{
				Domains: []string{"example.com", "xn--bcher-kva.example"},
				Services: []discovery.Service{
					{Protocol: discovery.IMAP, Host: "imap.example.com"},
					{Protocol: discovery.Submission, Host: "smtp.example.com", Security: discovery.StartTLS, Port: 2587},
				},
			},
			MTASTS: &discovery.MTASTS{MX: []string{"mx.example.com"}},
		})
		require.NoError(t, err)
		records := set.DNS()
		got := parse(t, records.String())
		require.NotEmpty(t, records)
		require.Len(t, got, len(records))
		owners := map[string]bool{}
		for i, want := range records {
			same(t, want, got[i])
			owner := got[i].Header().Name
			if _, alias := got[i].(*dns.CNAME); alias {
				require.False(t, owners[owner], "%s has a CNAME and other records", owner)
			}
			owners[owner] = true
		}
	}
}

// Every value of a TXT record can be read back from its line of zone-file text.
func FuzzZoneTextReadsBack(f *testing.F) {
	f.Add("path=/dav/cal/")
	f.Add("quote \" backslash \\ semicolon ; paren ( ) \r\n\t\x00\xff é")
	f.Add("")
	f.Add(strings.Repeat("\x80", 256))
	f.Fuzz(func(t *testing.T, s string) {
		if len(s) > 4096 {
			t.Skip()
		}
		want := discovery.Record{Name: "_x._tcp.example.com.", TTL: time.Hour, Type: discovery.TXT, Text: s}
		got := parse(t, want.String()+"\n")
		require.Len(t, got, 1)
		same(t, want, got[0])
	})
}
