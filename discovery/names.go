package discovery

import (
	"fmt"
	"net/netip"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/seed-94e48765/portico/publicurl"
)

// dnsName checks that a name is a DNS name in the canonical form in which it is compared.
func (b *builder) dnsName(field, name string) {
	base, err := publicurl.FromHostname(name)
	switch {
	case err != nil:
		b.fail(&Error{Document: mailDocument, Field: field, Input: name, Rule: "use a DNS name", Clause: "RFC 1123 section 2.1", Err: err})
	case isIP(base):
		b.failMail(field, name, "use a DNS name, not an address", "RFC 2782")
	case base.Host() != name:
		b.failMail(field, name, fmt.Sprintf("write it as %q, in lower case and A-labels", base.Host()), "RFC 5890 section 2.3.2.1")
	}
}

// isDNSName reports whether dnsName accepts s.
func isDNSName(name string) bool {
	base, err := publicurl.FromHostname(name)
	return err == nil && !isIP(base) && base.Host() == name
}

func isIP(b publicurl.Base) bool {
	_, err := netip.ParseAddr(b.Hostname())
	return err == nil
}

func (b *builder) mailNames(m *mailSettings) {
	if m.Name == "" {
		for _, name := range append([]string{b.base.Hostname()}, m.Domains...) {
			if len(name) > maxName {
				b.failMail("Name", "", fmt.Sprintf("give a name: by default it is %q, and it has at most %d characters", name, maxName), autoconfigDraft+" section 3.2.4")
			}
		}
	}
	for _, n := range []struct {
		field, name string
		most        int
	}{{"Name", m.Name, maxName}, {"ShortName", m.ShortName, maxShortName}} {
		if utf8.RuneCountInString(n.name) > n.most {
			b.failMail(n.field, n.name, fmt.Sprintf("use at most %d characters", n.most), autoconfigDraft+" section 3.2.4")
		}
		if !isPlainText(n.name) {
			b.failMail(n.field, n.name, "use printable characters and single spaces between words", paccDraft)
		}
	}
	if m.Documentation != "" && !isHTTPS(m.Documentation) {
		b.failMail("Documentation", m.Documentation, "use an absolute https URL, percent-encoded, without user information", paccDraft)
	}
	if !isPrintableASCII(m.ClientID) {
		b.failMail("ClientID", m.ClientID, "use printable ASCII", "RFC 6749 appendix A.1")
	}
}

// isPlainText refuses characters that XML does not permit, and characters that change how the
// text is displayed, such as line breaks and marks of direction.
func isPlainText(s string) bool {
	return utf8.ValidString(s) && !strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) || r == utf8.RuneError }) &&
		strings.TrimSpace(s) == s && !strings.Contains(s, "  ")
}

// domainOf returns the domain of an address as Domains has it. It does not check the rest of
// the address.
func domainOf(address string) string {
	const longest = 1 << 10
	i := strings.LastIndexByte(address, '@')
	if i < 0 || len(address)-i > longest {
		return ""
	}
	domain := address[i+1:]
	if strings.ContainsFunc(domain, func(r rune) bool { return r >= utf8.RuneSelf }) {
		base, err := publicurl.FromHostname(domain)
		if err != nil {
			return ""
		}
		return base.Host()
	}
	return strings.ToLower(domain)
}
