package discovery

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// An MTASTS is the policy for mail to the mail domains (RFC 8461): the hosts that receive
// it over TLS with a valid certificate. It is served at https://mta-sts.<domain>/.well-known/mta-sts.txt and at no other
// host. [Set.DNS] has the record that announces it, with an id that changes
// with the policy.
type MTASTS struct {
	Mode MTASTSMode // default MTASTSTesting

	// MX are the names of the hosts that receive mail: those of the MX records,
	// or "*.example.com" for every host with one label before example.com.
	// At least one is required, unless Mode is MTASTSNone.
	MX []string

	// PerDomain replaces MX for the mail domains that are its keys, each one of
	// Mail.Domains. A list is not empty.
	PerDomain map[string][]string

	// MaxAge is the time for which senders keep the policy, in whole seconds, at most
	// 31,557,600 (a year); default a week. A longer time gives better protection.
	MaxAge time.Duration
}

// An MTASTSMode is the action of senders if a host does not follow the policy (RFC 8461
// section 5).
type MTASTSMode string

// The modes.
const (
	MTASTSTesting MTASTSMode = "testing" // deliver, and report (RFC 8460)
	MTASTSEnforce MTASTSMode = "enforce" // do not deliver
	MTASTSNone    MTASTSMode = "none"    // forget the policy: for a domain that ends it
)

// MTASTSDocument is the MTA-STS policy of all domains that are not in MTASTS.PerDomain. The
// policy of a domain in MTASTS.PerDomain is named MTASTSDocument + ":" + Document(domain).
const MTASTSDocument Document = "mta-sts"

const (
	mtaSTSPath   = "/.well-known/mta-sts.txt"
	mtaSTSClause = "RFC 8461 section 3.2"
	maxMaxAge    = 31_557_600 * time.Second
)

func (b *builder) mtaSTS() {
	if b.config.MTASTS == nil {
		return
	}
	fail := func(field, input, rule string) {
		b.fail(&Error{Document: MTASTSDocument, Field: field, Input: input, Rule: rule, Clause: mtaSTSClause})
	}
	p := *b.config.MTASTS
	if p.Mode == "" {
		p.Mode = MTASTSTesting
	}
	if p.MaxAge == 0 {
		p.MaxAge = 7 * 24 * time.Hour
	}
	if b.config.Mail == nil {
		fail("Mail", "", "a policy applies to mail domains: set the section Mail")
	}
	if p.Mode != MTASTSTesting && p.Mode != MTASTSEnforce && p.Mode != MTASTSNone {
		fail("mode", string(p.Mode), "use MTASTSTesting, MTASTSEnforce or MTASTSNone")
	}
	domains := 0 // with a nil Mail, which is reported
	if b.config.Mail != nil {
		domains = len(b.config.Mail.Domains)
	}
	if len(p.MX) == 0 && p.Mode != MTASTSNone && (domains == 0 || len(p.PerDomain) < domains) {
		fail("mx", "", "give at least one host that receives mail")
	}
	checkMX := func(list []string) {
		for _, mx := range list {
			if !isMXPattern(mx) {
				fail("mx", mx, `use a DNS name in lower case and A-labels, or "*." and such a name`)
			}
		}
	}
	checkMX(p.MX)
	for _, d := range slices.Sorted(maps.Keys(p.PerDomain)) {
		if b.set.mail != nil && !b.set.mail.domains[d] {
			fail("PerDomain["+d+"]", d, "it is not a mail domain of this server: add it to Mail.Domains, or remove it")
		}
		if len(p.PerDomain[d]) == 0 {
			fail("PerDomain["+d+"]", "", "give at least one host that receives mail, or remove the domain from PerDomain, so that MX applies")
		}
		checkMX(p.PerDomain[d])
	}
	if p.MaxAge < 0 || p.MaxAge > maxMaxAge || p.MaxAge%time.Second != 0 {
		fail("max_age", p.MaxAge.String(), "use whole seconds, at most 31557600")
	}
	paths := b.atOrigin(mtaSTSPath)
	if b.base.IsRelative() || b.set.mail == nil {
		b.absent(MTASTSDocument, paths...)
		return
	}
	b.set.policies = make(map[string]*document, len(b.set.mail.Domains))
	byHost := make(map[string]*document, len(b.set.mail.Domains))
	var shared *document
	for _, d := range b.set.mail.Domains {
		var doc *document
		if own, ok := p.PerDomain[d]; ok {
			doc = newDocument(p.encode(own), "text/plain")
			b.set.documents[ofDomain(MTASTSDocument, d)] = doc
		} else {
			if shared == nil {
				shared = newDocument(p.encode(p.MX), "text/plain")
				b.set.documents[MTASTSDocument] = shared
			}
			doc = shared
		}
		b.set.policies[d] = doc
		byHost[mtaSTSHost+d] = doc
	}
	b.route(route{document: MTASTSDocument, byHost: byHost}, paths...)
}

func isMXPattern(mx string) bool {
	return isDNSName(strings.TrimPrefix(mx, "*."))
}

// encode returns the policy for hosts: RFC 8461 section 3.2, with CRLF.
func (p *MTASTS) encode(hosts []string) []byte {
	var s strings.Builder
	fmt.Fprintf(&s, "version: STSv1\r\nmode: %s\r\n", p.Mode)
	for _, mx := range hosts {
		fmt.Fprintf(&s, "mx: %s\r\n", mx)
	}
	fmt.Fprintf(&s, "max_age: %d\r\n", p.MaxAge/time.Second)
	return []byte(s.String())
}

// mtaSTSRecord is the text of the DNS record for a policy. The id has at most 32
// letters and digits (RFC 8461 section 3.1).
func mtaSTSRecord(policy []byte) string {
	sum := sha256.Sum256(policy)
	return "v=STSv1; id=" + hex.EncodeToString(sum[:16]) + ";"
}
