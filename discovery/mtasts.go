package discovery

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"
	"time"
)

// An MTASTS is the policy for mail that comes in to the mail domains (RFC 8461):
// which hosts receive it, and that they do so over TLS with a valid certificate. It
// is served at https://mta-sts.<domain>/.well-known/mta-sts.txt and at no other
// host. [Set.DNS] has the record that announces it, with an id that changes when
// the policy does.
type MTASTS struct {
	Mode MTASTSMode // default MTASTSTesting

	// MX are the names of the hosts that receive mail: those of the MX records,
	// or "*.example.com" for every host with one label before example.com.
	// There is at least one, unless Mode is MTASTSNone.
	MX []string

	// MaxAge is for how long senders keep the policy, in whole seconds, at most
	// 31,557,600 (a year); default a week. Longer protects better.
	MaxAge time.Duration
}

// An MTASTSMode says what senders do where a host does not keep the policy (RFC
// 8461 section 5).
type MTASTSMode string

// The modes.
const (
	MTASTSTesting MTASTSMode = "testing" // deliver, and report (RFC 8460)
	MTASTSEnforce MTASTSMode = "enforce" // do not deliver
	MTASTSNone    MTASTSMode = "none"    // forget the policy: for a domain that ends it
)

// MTASTSDocument is the MTA-STS policy, the same for all domains.
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
		fail("Mail", "", "a policy is for mail domains: set the section Mail")
	}
	if p.Mode != MTASTSTesting && p.Mode != MTASTSEnforce && p.Mode != MTASTSNone {
		fail("mode", string(p.Mode), "use MTASTSTesting, MTASTSEnforce or MTASTSNone")
	}
	if len(p.MX) == 0 && p.Mode != MTASTSNone {
		fail("mx", "", "give at least one host that receives mail")
	}
	for _, mx := range p.MX {
		if !isMXPattern(mx) {
			fail("mx", mx, `use a DNS name in lower case and A-labels, or "*." and such a name`)
		}
	}
	if p.MaxAge < 0 || p.MaxAge > maxMaxAge || p.MaxAge%time.Second != 0 {
		fail("max_age", p.MaxAge.String(), "use whole seconds, at most 31557600")
	}
	paths := b.atOrigin(mtaSTSPath)
	if b.base.IsRelative() || b.set.mail == nil {
		b.absent(MTASTSDocument, paths...)
		return
	}
	doc := newDocument(p.encode(), "text/plain")
	b.set.documents[MTASTSDocument] = doc
	byHost := make(map[string]*document, len(b.set.mail.Domains))
	for _, d := range b.set.mail.Domains {
		byHost[mtaSTSHost+d] = doc
	}
	b.route(route{document: MTASTSDocument, byHost: byHost}, paths...)
}

func isMXPattern(mx string) bool {
	return isDNSName(strings.TrimPrefix(mx, "*."))
}

// encode returns the policy: RFC 8461 section 3.2, with CRLF.
func (p *MTASTS) encode() []byte {
	var s strings.Builder
	fmt.Fprintf(&s, "version: STSv1\r\nmode: %s\r\n", p.Mode)
	for _, mx := range p.MX {
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
