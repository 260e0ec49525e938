// What to copy: check and dmarcOf: whether the domain that a reader sees in From
// stands behind the message (RFC 7489), by SPF of the client's address or by DKIM
// (RFC 6376). What to change: enforce, once the results have been right for weeks.

package main

import (
	"bytes"
	"context"
	"errors"
	"math/rand/v2"
	"net"
	"net/mail"
	"net/netip"
	"strings"
	"time"

	"blitiri.com.ar/go/spf"
	"github.com/emersion/go-msgauth/authres"
	"github.com/emersion/go-msgauth/dkim"
	"github.com/emersion/go-msgauth/dmarc"
	"golang.org/x/net/publicsuffix"
)

const (
	authTimeout   = 20 * time.Second // RFC 7208 section 4.6.4: at least that
	maxSignatures = 5                // that are verified, each with a look-up
)

// A mailAuth checks where mail comes from.
type mailAuth struct {
	dns spf.DNSResolver
	// enforce refuses what the domain in From wants refused. Without it a message
	// is marked, and no more: much that is forwarded would fail.
	enforce bool
}

// newMailAuth asks server, a host:port, or what the system asks if it is "".
func newMailAuth(server string, enforce bool) *mailAuth {
	dns := net.DefaultResolver
	if server != "" {
		dns = &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, server)
		}}
	}
	return &mailAuth{dns, enforce}
}

// A verdict is what was found out about a message.
type verdict struct {
	results []authres.Result
	spf     spf.Result          // "" if there was no address to ask for
	dmarc   authres.ResultValue // "" if without SPF there is no saying
	from    string              // the domain in From
	refuse  bool                // enforce, and that domain wants it
}

// check takes a message as it was received. ip is not valid if nobody knows who
// the client is: then there is no SPF, and DMARC can pass, and not fail.
func (a *mailAuth) check(ctx context.Context, ip netip.Addr, helo, from string, message []byte) verdict {
	ctx, cancel := context.WithTimeout(ctx, authTimeout)
	defer cancel()
	var v verdict
	var sender spfResult
	if ip.IsValid() {
		sender = checkSPF(ctx, a.dns, ip, helo, from)
		v.spf = sender.Result
		v.results = append(v.results, sender.field())
	}
	signatures := checkDKIM(a.lookupTXT(ctx), message)
	for _, s := range signatures {
		v.results = append(v.results, &authres.DKIMResult{Value: s.value, Domain: s.domain})
	}
	if len(signatures) == 0 {
		v.results = append(v.results, &authres.DKIMResult{Value: authres.ResultNone})
	}
	var policy dmarc.Policy
	v.from, v.dmarc, policy = dmarcOf(a.lookupTXT(ctx), message, sender, signatures)
	if v.dmarc != "" {
		v.results = append(v.results, &authres.DMARCResult{Value: v.dmarc, From: v.from})
	}
	v.refuse = a.enforce && v.dmarc == authres.ResultFail && policy == dmarc.PolicyReject
	return v
}

// field is Authentication-Results (RFC 8601), by the name of this server.
func (v verdict) field(server string) string {
	lines := []string{"Authentication-Results: " + server}
	for _, r := range v.results {
		_, one, _ := strings.Cut(authres.Format("", []authres.Result{r}), "; ")
		lines = append(lines, strings.TrimRight(one, " "))
	}
	return strings.Join(lines, ";\r\n\t") + "\r\n"
}

type lookupTXT func(name string) ([]string, error)

func (a *mailAuth) lookupTXT(ctx context.Context) lookupTXT {
	return func(name string) ([]string, error) { return rootedResolver{a.dns}.LookupTXT(ctx, name) }
}

type signature struct {
	value  authres.ResultValue
	domain string
}

// checkDKIM returns a result for each signature, the first few.
func checkDKIM(lookup lookupTXT, message []byte) []signature {
	verified, err := dkim.VerifyWithOptions(bytes.NewReader(message), &dkim.VerifyOptions{LookupTXT: lookup, MaxVerifications: maxSignatures})
	if err != nil && !errors.Is(err, dkim.ErrTooManySignatures) {
		return nil // what has no header that can be read has no signature
	}
	var signatures []signature
	for _, v := range verified {
		s := signature{value: authres.ResultFail, domain: domainOf("@" + v.Domain)}
		switch {
		case v.Err == nil && s.domain != "":
			s.value = authres.ResultPass
		case dkim.IsTempFail(v.Err):
			s.value = authres.ResultTempError
		case dkim.IsPermFail(v.Err):
			s.value = authres.ResultPermError
		}
		signatures = append(signatures, s)
	}
	return signatures
}

// dmarcOf returns the domain in From, the result, and what the domain wants done
// with a message that fails (RFC 7489 section 6.6).
func dmarcOf(lookup lookupTXT, message []byte, sender spfResult, signatures []signature) (from string, result authres.ResultValue, policy dmarc.Policy) {
	from = fromDomain(message)
	if from == "" {
		return from, authres.ResultPermError, ""
	}
	record, policy, err := dmarcRecord(lookup, from)
	switch {
	case errors.Is(err, dmarc.ErrNoPolicy):
		return from, authres.ResultNone, ""
	case dmarc.IsTempFail(err):
		return from, authres.ResultTempError, ""
	case err != nil:
		return from, authres.ResultPermError, ""
	}
	result = authres.ResultFail
	if sender.Result == "" {
		result = ""
	}
	if sender.Result == spf.TempError {
		result = authres.ResultTempError
	}
	if sender.Result == spf.Pass && aligned(record.SPFAlignment, sender.domain, from) {
		return from, authres.ResultPass, policy
	}
	for _, s := range signatures {
		switch {
		case !aligned(record.DKIMAlignment, s.domain, from):
		case s.value == authres.ResultPass:
			return from, authres.ResultPass, policy
		case s.value == authres.ResultTempError:
			result = authres.ResultTempError
		}
	}
	return from, result, policy
}

// dmarcRecord looks at the domain, and then at the organization's (section 6.6.3).
func dmarcRecord(lookup lookupTXT, from string) (*dmarc.Record, dmarc.Policy, error) {
	options := &dmarc.LookupOptions{LookupTXT: func(name string) ([]string, error) {
		texts, err := lookup(name)
		var records []string
		for _, text := range texts {
			if version, _, _ := strings.Cut(text, ";"); strings.ReplaceAll(version, " ", "") == "v=DMARC1" {
				records = append(records, text)
			}
		}
		if len(records) > 1 { // step 5: then there is none
			records = nil
		}
		return records, err
	}}
	record, err := dmarc.LookupWithOptions(from, options)
	organization := organizationOf(from)
	isSubdomain := errors.Is(err, dmarc.ErrNoPolicy) && organization != from
	if isSubdomain {
		record, err = dmarc.LookupWithOptions(organization, options)
	}
	if err != nil {
		return nil, "", err
	}
	policy := record.Policy
	if isSubdomain && record.SubdomainPolicy != "" {
		policy = record.SubdomainPolicy
	}
	if record.Percent != nil && rand.IntN(100) >= *record.Percent && policy == dmarc.PolicyReject {
		policy = dmarc.PolicyQuarantine // section 6.6.4
	}
	return record, policy, nil
}

// aligned compares the domain that was authenticated with the one in From
// (section 3.1).
func aligned(mode dmarc.AlignmentMode, domain, from string) bool {
	if mode == dmarc.AlignmentStrict {
		return domain == from
	}
	return domain != "" && organizationOf(domain) == organizationOf(from)
}

func organizationOf(domain string) string {
	if organization, err := publicsuffix.EffectiveTLDPlusOne(domain); err == nil {
		return organization
	}
	return domain // a public suffix itself
}

// fromDomain returns the domain of the one address in the one From field, or ""
// if it is not so: a reader could be shown another than the one that is checked
// (section 6.6.1).
func fromDomain(message []byte) string {
	var from []string
	header, _ := splitMessage(message)
	for _, f := range fieldsOf(header) {
		if name, value := f.split(); strings.EqualFold(name, "From") {
			from = append(from, value)
		}
	}
	if len(from) != 1 {
		return ""
	}
	addresses, err := mail.ParseAddressList(from[0])
	if err != nil || len(addresses) != 1 {
		return ""
	}
	return domainOf(addresses[0].Address)
}
