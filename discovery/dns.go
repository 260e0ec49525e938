package discovery

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// A Record is a DNS resource record. Names end in the root dot.
type Record struct {
	Name string // the owner
	TTL  time.Duration
	Type RecordType

	Priority, Weight, Port uint16 // SRV
	Target                 string // SRV, where "." means that the service does not exist, and CNAME
	Text                   string // TXT, whole
}

// A RecordType is the type of a Record, as zone files have it.
type RecordType string

// The types.
const (
	SRV   RecordType = "SRV"   // RFC 2782
	TXT   RecordType = "TXT"   // RFC 1035 section 3.3.14
	CNAME RecordType = "CNAME" // RFC 1035 section 3.3.1
)

// String returns the record as a line of a zone file (RFC 1035 section 5.1), without
// the line break.
func (r Record) String() string {
	b := appendName(nil, r.Name)
	b = fmt.Appendf(b, " %d IN %s ", int64(r.TTL/time.Second), r.Type)
	switch r.Type {
	case TXT:
		b = appendText(b, r.Text)
	case SRV:
		b = fmt.Appendf(b, "%d %d %d ", r.Priority, r.Weight, r.Port)
		fallthrough
	default:
		b = appendName(b, r.Target)
	}
	return string(b)
}

// appendName escapes the special characters of zone files, so that no name can end a line.
func appendName(b []byte, name string) []byte {
	for i := range len(name) {
		c := name[i]
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '-', c == '_', c == '.', c == '*':
			b = append(b, c)
		default:
			b = appendEscaped(b, c)
		}
	}
	return b
}

const longestString = 255 // octets: RFC 1035 section 3.3

// appendText quotes a text and splits it into the strings that a TXT record has;
// readers join them.
func appendText(b []byte, text string) []byte {
	for i := 0; i == 0 || i < len(text); i += longestString {
		if i > 0 {
			b = append(b, ' ')
		}
		b = append(b, '"')
		for _, c := range []byte(text[i:min(i+longestString, len(text))]) {
			if c == '"' || c == '\\' || c < ' ' || c > '~' {
				b = appendEscaped(b, c)
			} else {
				b = append(b, c)
			}
		}
		b = append(b, '"')
	}
	return b
}

// appendEscaped appends \DDD, the decimal code.
func appendEscaped(b []byte, c byte) []byte {
	return append(b, '\\', '0'+c/100, '0'+c/10%10, '0'+c%10)
}

// Records are DNS records. They print as the lines of a zone file.
type Records []Record

// String returns a line for each record.
func (r Records) String() string {
	var b strings.Builder
	for _, record := range r {
		b.WriteString(record.String())
		b.WriteByte('\n')
	}
	return b.String()
}

// DNS returns the records by which clients find the services of the mail domains,
// domain by domain:
//
//   - SRV for mail (RFC 6186, RFC 8314 section 5.1), ManageSieve (RFC 5804 section
//     1.8), JMAP (RFC 8620 section 2.2), CalDAV and CardDAV (RFC 6764 section 3),
//     with the real host and port, and the target "." for services that the server does
//     not have; among services for the same purpose the first in Mail.Services has the
//     best priority;
//   - TXT with the path of CalDAV and CardDAV (RFC 6764 section 4). A path that is too long
//     for the single string that it must be (RFC 6763 section 6.1) is left out, and clients
//     find it by the well-known location;
//   - SRV for autodiscover, if a service takes passwords;
//   - TXT with the digest of the user-agent configuration, [UserAgentDocument];
//   - TXT with the id of the MTA-STS policy (RFC 8461 section 3.1);
//   - CNAME to the host of the base, for the host names at which clients request documents
//     on port 443. Address records may be used instead.
//
// A domain of Mail.PerDomain or MTASTS.PerDomain has the records of its own services and
// documents. Without Mail, and with a relative base, DNS returns no records. If the host of the base
// is an address, no record can point to it and those that would are left out.
func (s *Set) DNS() Records {
	if s == nil || s.mail == nil || s.base.IsRelative() {
		return nil
	}
	z := zone{set: s, mail: s.mail}
	for _, d := range s.mail.Domains {
		z.domain(d)
	}
	return z.records
}

type zone struct {
	set     *Set
	mail    *mailSettings
	records Records

	services []Service // of the domain
}

func (z *zone) add(r Record) {
	r.TTL = z.mail.TTL
	z.records = append(z.records, r)
}

// mailLabels are the labels of RFC 6186 section 3, RFC 8314 section 5.1 and RFC 5804
// section 1.8.
var mailLabels = []struct {
	label    string
	protocol Protocol
	security Security
}{
	{"_imaps", IMAP, ImplicitTLS},
	{"_imap", IMAP, StartTLS},
	{"_pop3s", POP3, ImplicitTLS},
	{"_pop3", POP3, StartTLS},
	{"_submissions", Submission, ImplicitTLS},
	{"_submission", Submission, StartTLS},
	{"_sieve", ManageSieve, StartTLS},
}

func (z *zone) domain(domain string) {
	z.services = z.mail.servicesOf(domain)
	for _, l := range mailLabels {
		owner := l.label + "._tcp." + domain + "."
		found := false
		for _, s := range z.services {
			if s.Protocol == l.protocol && s.Security == l.security {
				z.add(Record{Name: owner, Type: SRV, Priority: z.priority(s), Weight: 1, Port: s.Port, Target: s.Host + "."})
				found = true
			}
		}
		if !found {
			z.add(Record{Name: owner, Type: SRV, Target: "."})
		}
	}
	z.web(domain)
	z.documents(domain)
}

// priority returns the position of a service among those that a client chooses from: IMAP
// or POP3 (RFC 6186 section 3.4), or one kind of submission or another.
func (z *zone) priority(s Service) uint16 {
	var place uint16
	for _, other := range z.services {
		if other.Protocol == s.Protocol && other.Host == s.Host && other.Port == s.Port {
			break
		}
		if other.Protocol == s.Protocol || isAccess(other.Protocol) && isAccess(s.Protocol) {
			place++
		}
	}
	return place
}

func isAccess(p Protocol) bool { return p == IMAP || p == POP3 }

// web adds the services that are URLs, below the base.
func (z *zone) web(domain string) {
	base := z.set.base
	if isIP(base) {
		return
	}
	secure := strings.HasPrefix(base.Origin(), "https:")
	for _, w := range []struct {
		label, url string
		secure     bool
	}{
		{"_jmap", z.mail.session, true},
		{"_caldavs", z.mail.calendar, true},
		{"_caldav", z.mail.calendar, false},
		{"_carddavs", z.mail.contacts, true},
		{"_carddav", z.mail.contacts, false},
	} {
		owner := w.label + "._tcp." + domain + "."
		if w.url == "" || w.secure != secure {
			z.add(Record{Name: owner, Type: SRV, Target: "."})
			continue
		}
		z.add(Record{Name: owner, Type: SRV, Weight: 1, Port: base.Port(), Target: base.Hostname() + "."})
		path := "path=" + strings.TrimPrefix(w.url, base.Origin())
		if w.label != "_jmap" && len(path) <= longestString {
			z.add(Record{Name: owner, Type: TXT, Text: path})
		}
	}
}

// documents adds the records by which clients find and verify the documents.
func (z *zone) documents(domain string) {
	base := z.set.base
	pacc, policy := z.mail.userAgent[domain], z.set.policies[domain]
	if !isIP(base) {
		outlook := slices.ContainsFunc(z.services, isOutlooks)
		if outlook && strings.HasPrefix(base.Origin(), "https:") { // Outlook uses it for https
			z.add(Record{Name: "_autodiscover._tcp." + domain + ".", Type: SRV, Weight: 1, Port: base.Port(), Target: base.Hostname() + "."})
		}
		z.alias(autoconfigHost+domain, true)
		z.alias(autodiscoverHost+domain, outlook)
		z.alias(userAgentHost+domain, pacc != nil)
		z.alias(mtaSTSHost+domain, policy != nil)
	}
	if pacc != nil {
		z.add(Record{Name: "_ua-auto-config." + domain + ".", Type: TXT, Text: userAgentDigest(pacc.body)})
	}
	if policy != nil {
		z.add(Record{Name: "_mta-sts." + domain + ".", Type: TXT, Text: mtaSTSRecord(policy.body)})
	}
}

// alias adds a CNAME for the host of the base. A name with other records cannot be an alias
// (RFC 1034 section 3.6.2), nor can the target of a SRV record (RFC 2782).
func (z *zone) alias(name string, wanted bool) {
	if host := z.set.base.Hostname(); wanted && name != host && !z.mail.hosts[name] && !z.mail.domains[name] {
		z.add(Record{Name: name + ".", Type: CNAME, Target: host + "."})
	}
}
