// Package msgauth evaluates SPF (RFC 7208), DKIM (RFC 6376) and DMARC (RFC 7489) for a message of
// another server, and writes the trace fields Received and Authentication-Results.
//
// SPF is evaluated for the client's address. Behind a proxy, that is the address that package
// client reports. If the client is not known, there is no SPF result: DMARC can pass by DKIM,
// but cannot fail.
//
// Copy with it: client.
//
// Change the resolver to one close to the server. Set Checker.Enforce after the results have been
// right for weeks.
package msgauth

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
	authTimeout   = 20 * time.Second // the minimum of RFC 7208 section 4.6.4
	maxSignatures = 5                // signatures to verify; each requires a look-up
)

// A Checker evaluates SPF, DKIM and DMARC.
type Checker struct {
	DNS spf.DNSResolver // names have a dot at the end
	// Enforce sets Verdict.Refuse for a message that the policy of the domain in From rejects. If
	// Enforce is false, messages are only marked, because much forwarded mail fails.
	Enforce bool
}

// New returns a Checker that queries the DNS server at the host:port server, or the resolver of the
// system if server is empty.
func New(server string, enforce bool) *Checker {
	dns := net.DefaultResolver
	if server != "" {
		dns = &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, server)
		}}
	}
	return &Checker{dns, enforce}
}

// A Verdict is the result for a message.
type Verdict struct {
	results []authres.Result
	SPF     spf.Result          // "" if the client's address is not known
	DMARC   authres.ResultValue // "" if it depends on SPF and the client's address is not known
	From    string              // the domain in From
	Refuse  bool                // Enforce is set, DMARC fails and the policy of From is reject
}

// Check evaluates a message as it was received. ip is the client's address, or the zero Addr if the
// client is not known. helo and from are the arguments of EHLO and MAIL FROM. Check returns within 20
// seconds.
func (a *Checker) Check(ctx context.Context, ip netip.Addr, helo, from string, message []byte) Verdict {
	ctx, cancel := context.WithTimeout(ctx, authTimeout)
	defer cancel()
	var v Verdict
	var sender spfResult
	if ip.IsValid() {
		sender = checkSPF(ctx, a.DNS, ip, helo, from)
		v.SPF = sender.Result
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
	v.From, v.DMARC, policy = dmarcOf(a.lookupTXT(ctx), message, sender, signatures)
	if v.DMARC != "" {
		v.results = append(v.results, &authres.DMARCResult{Value: v.DMARC, From: v.From})
	}
	v.Refuse = a.Enforce && v.DMARC == authres.ResultFail && policy == dmarc.PolicyReject
	return v
}

// Field returns the field Authentication-Results (RFC 8601 section 2) of this server, with its CRLF.
func (v Verdict) Field(server string) string {
	lines := []string{"Authentication-Results: " + server}
	for _, r := range v.results {
		_, one, _ := strings.Cut(authres.Format("", []authres.Result{r}), "; ")
		lines = append(lines, strings.TrimRight(one, " "))
	}
	return strings.Join(lines, ";\r\n\t") + "\r\n"
}

type lookupTXT func(name string) ([]string, error)

func (a *Checker) lookupTXT(ctx context.Context) lookupTXT {
	return func(name string) ([]string, error) { return rootedResolver{a.DNS}.LookupTXT(ctx, name) }
}

type signature struct {
	value  authres.ResultValue
	domain string
}

// checkDKIM returns a result for each of the first maxSignatures signatures.
func checkDKIM(lookup lookupTXT, message []byte) []signature {
	verified, err := dkim.VerifyWithOptions(bytes.NewReader(message), &dkim.VerifyOptions{LookupTXT: lookup, MaxVerifications: maxSignatures})
	if err != nil && !errors.Is(err, dkim.ErrTooManySignatures) {
		return nil // a message without a readable header has no signature
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

// dmarcOf returns the domain in From, the result, and the policy of the domain for messages that fail
// (RFC 7489 section 6.6).
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

// dmarcRecord queries the domain and then the organizational domain (section 6.6.3).
func dmarcRecord(lookup lookupTXT, from string) (*dmarc.Record, dmarc.Policy, error) {
	options := &dmarc.LookupOptions{LookupTXT: func(name string) ([]string, error) {
		texts, err := lookup(name)
		var records []string
		for _, text := range texts {
			if version, _, _ := strings.Cut(text, ";"); strings.ReplaceAll(version, " ", "") == "v=DMARC1" {
				records = append(records, text)
			}
		}
		if len(records) > 1 { // step 5: several records count as no policy
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

// aligned compares the authenticated domain with the domain in From (section 3.1).
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
	return domain // the domain is a public suffix
}

// fromDomain returns the domain of the only address in the only From field. Otherwise it returns "",
// because readers could show another address than the one that was checked (section 6.6.1).
func fromDomain(message []byte) string {
	var from []string
	header, _ := SplitMessage(message)
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
