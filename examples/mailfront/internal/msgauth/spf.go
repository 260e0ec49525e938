package msgauth

import (
	"context"
	"net"
	"net/netip"
	"regexp"
	"strings"

	"blitiri.com.ar/go/spf"
	"github.com/emersion/go-msgauth/authres"
	"golang.org/x/net/idna"
)

// An spfResult is the result for an identity: MAIL FROM, or HELO if MAIL FROM is empty.
type spfResult struct {
	spf.Result
	domain string // domain of the identity
	helo   bool
	sender string
}

// checkSPF evaluates SPF for the domain of from, the argument of MAIL FROM. For a bounce it uses the
// domain helo with the local part postmaster (RFC 7208 section 2.4).
func checkSPF(ctx context.Context, dns spf.DNSResolver, ip netip.Addr, helo, from string) spfResult {
	r := spfResult{Result: spf.None, helo: from == ""}
	local := "postmaster"
	if r.helo {
		r.domain = domainOf("@" + helo)
	} else {
		r.domain = domainOf(from)
		if at := strings.LastIndexByte(from, '@'); at > 0 {
			local = strings.ReplaceAll(from[:at], "@", "=") // package spf splits at the first @
		}
	}
	if r.domain == "" { // section 4.3: malformed domains and address literals have no result
		return r
	}
	r.sender = local + "@" + r.domain
	r.Result, _ = spf.CheckHostWithSender(ip.AsSlice(), helo, r.sender, // the error is debugging information, even for a pass
		spf.WithContext(ctx), spf.WithResolver(rootedResolver{dns}))
	return r
}

// field returns the result for Authentication-Results (RFC 8601 section 2.7.2).
func (r spfResult) field() authres.Result {
	f := &authres.SPFResult{Value: authres.ResultValue(r.Result)}
	switch {
	case r.helo:
		f.Helo = r.domain
	case plainAddress.MatchString(r.sender) && len(r.sender) <= 254:
		f.From = r.sender
	default: // omit a value that needs quotes
		f.From = r.domain
	}
	return f
}

// plainAddress matches addresses that never need quotes.
var plainAddress = regexp.MustCompile(`^[A-Za-z0-9_+-]+(\.[A-Za-z0-9_+-]+)*@[a-z0-9.-]+$`)

// domainOf returns the domain of an address in the form for look-ups. It returns "" if the
// domain cannot be in the DNS of the Internet.
func domainOf(address string) string {
	at := strings.LastIndexByte(address, '@')
	domain := ASCIIDomain(strings.TrimSuffix(address[at+1:], "."))
	if at < 0 || !strings.Contains(domain, ".") || !IsDomain(domain) {
		return ""
	}
	if _, err := netip.ParseAddr(domain); err == nil {
		return ""
	}
	return domain
}

// ASCIIDomain returns a domain in the form of the DNS: in lower case, with A-labels instead of
// U-labels (RFC 5891 section 4). A domain without such a form is returned in lower case.
func ASCIIDomain(domain string) string {
	if ascii, err := idna.Lookup.ToASCII(domain); err == nil {
		return ascii
	}
	return strings.ToLower(domain)
}

// IsDomain reports whether a name has the form of a host name (RFC 1123 section 2.1). The name
// must be in lower case.
func IsDomain(name string) bool { return len(name) <= 253 && domainPattern.MatchString(name) }

var domainPattern = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*$`)

// A rootedResolver queries absolute names. net.Resolver would also try names that do not exist in the
// search domains of this machine.
type rootedResolver struct{ spf.DNSResolver }

func rooted(name string) string { return strings.TrimSuffix(name, ".") + "." }

func (r rootedResolver) LookupTXT(ctx context.Context, name string) ([]string, error) {
	return r.DNSResolver.LookupTXT(ctx, rooted(name))
}

func (r rootedResolver) LookupMX(ctx context.Context, name string) ([]*net.MX, error) {
	return r.DNSResolver.LookupMX(ctx, rooted(name))
}

func (r rootedResolver) LookupIPAddr(ctx context.Context, host string) ([]net.IPAddr, error) {
	return r.DNSResolver.LookupIPAddr(ctx, rooted(host))
}
