package verify

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"github.com/seed-94e48765/portico/discovery"
)

// A foreign issuer is a URL that the checked server chooses. Verify may run where private
// networks can be reached, and its report may be shown to people who cannot reach them.
// Therefore a foreign issuer is requested with GET and https only, once in a run, without
// credentials, cookies, client certificates or redirects, and only at a public address.
// No text of the answer or of an error is reported.

// maxForeign limits the issuers that are requested in a run.
const maxForeign = 4

// A skipError is the reason why an issuer is not requested.
type skipError string

func (e skipError) Error() string { return string(e) }

const (
	errNotPublic  skipError = "the address is not public, and Config.ForeignHosts does not have the host"
	errNoDialling skipError = "Config.Client has a transport or a dial function of its own, or a proxy, and Config.ForeignHosts does not have the host"
	errTooMany    skipError = "too many issuers"
)

// foreignIssuer requests the metadata of an issuer that is not the checked server.
func (v *verifier) foreignIssuer(ctx context.Context, d discovery.Document, at, issuer string) {
	u, err := url.Parse(issuer)
	if err != nil || u.Scheme != "https" || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" || strings.ContainsAny(issuer, "?#") {
		if strings.HasPrefix(v.base.Origin(), "https:") {
			v.add(Finding{Document: d, URL: at, Field: "authorization_servers", Rule: ruleIssuer, Severity: SeverityError, Got: issuer, Want: "an https URL without query and fragment",
				Hint: "no client accepts this issuer: name the authorization server as its own metadata does (RFC 8414 section 2)"})
		}
		return
	}
	if v.foreign[issuer] {
		return
	}
	if len(v.foreign) == maxForeign {
		v.noteForeign(d, issuer, 0, errTooMany)
		return
	}
	v.foreign[issuer] = true
	f := Finding{Document: d, URL: at, Field: "authorization_servers", Want: "metadata of the issuer " + issuer, Severity: SeverityWarning}
	client, err := v.fetcher.foreignClient(u)
	if err != nil {
		v.noteForeign(d, issuer, 0, err)
		return
	}
	defer client.CloseIdleConnections()
	for _, location := range metadataLocations(u) {
		status, named, err := v.fetcher.askForeign(ctx, client, location)
		v.noteForeign(d, location, status, err)
		switch {
		case errors.Is(err, errNotPublic), ctx.Err() != nil:
			return
		case err != nil:
			f.Rule, f.Got = ruleUnreachable, err.Error()
			f.Hint = "the issuer does not answer here: check the name for a typing error, and request the URL " + location
			v.add(f)
			return
		case status != http.StatusOK || named == "":
			f.Got = "status " + strconv.Itoa(status)
			continue
		case named != issuer:
			f.Rule, f.Severity, f.Got = ruleIssuer, SeverityError, "the metadata of another issuer"
			f.Hint = "clients refuse an authorization server whose metadata has another issuer, character by character: name it as " + location + " does (RFC 8414 section 3.3)"
			v.add(f)
		}
		return
	}
	f.Rule = ruleMissing
	f.Hint = "clients find no metadata of the authorization server that the document names: check the name for a typing error (RFC 8414 section 3)"
	v.add(f)
}

// metadataLocations returns where an issuer has its metadata (RFC 8414 section 3.1, OpenID
// Connect Discovery 1.0 section 4.1).
func metadataLocations(issuer *url.URL) []string {
	origin, path := issuer.Scheme+"://"+issuer.Host, strings.TrimRight(issuer.EscapedPath(), "/")
	return []string{origin + "/.well-known/" + oauthName + path, origin + path + "/.well-known/" + openIDName}
}

// noteForeign lists a request to a foreign host with the status of the answer only.
func (v *verifier) noteForeign(d discovery.Document, u string, status int, err error) {
	if len(v.report.Checked) == maxChecked {
		return
	}
	c := Checked{Document: discovery.Document(v.clip(string(d))), Method: http.MethodGet, URL: v.clip(u), Status: status}
	if err != nil {
		var skip skipError
		c.Skipped, c.Error = errors.As(err, &skip), err.Error()
	}
	v.report.Checked = append(v.report.Checked, c)
}

// askForeign returns the status of an answer, and the issuer in it. Its errors have no text
// of the answer, and no address.
func (f *fetcher) askForeign(ctx context.Context, client *http.Client, u string) (status int, issuer string, err error) {
	ctx, cancel := context.WithTimeout(ctx, f.settings.RequestTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u, nil)
	if err != nil {
		return 0, "", errors.New("not a URL")
	}
	req.Header.Set("User-Agent", userAgent)
	req.Header.Set("Accept", contentTypeJSON)
	res, err := client.Do(req)
	if err != nil {
		return 0, "", foreignError(err)
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return res.StatusCode, "", nil
	}
	body, err := io.ReadAll(io.LimitReader(res.Body, f.settings.MaxBytes+1))
	switch {
	case err != nil:
		return res.StatusCode, "", foreignError(err)
	case int64(len(body)) > f.settings.MaxBytes:
		return res.StatusCode, "", errors.New("too many bytes")
	}
	var o object
	if json.Unmarshal(body, &o) == nil {
		issuer, _ = o.text("issuer")
	}
	return res.StatusCode, issuer, nil
}

// foreignError replaces an error whose text may contain addresses and parts of an answer.
func foreignError(err error) error {
	var dns *net.DNSError
	var certificate *tls.CertificateVerificationError
	var timeout interface{ Timeout() bool }
	switch {
	case errors.Is(err, errNotPublic):
		return errNotPublic
	case errors.As(err, &dns) && dns.IsNotFound:
		return errors.New("no such host")
	case errors.As(err, &certificate):
		return errors.New("a certificate that is not trusted")
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &timeout) && timeout.Timeout():
		return errors.New("no answer in time")
	}
	return errors.New("no answer")
}

// foreignClient returns a client for a foreign host, or the reason why it cannot. A transport that
// is not an *http.Transport is never used: it decides by itself where to connect. Nor are
// dial functions and proxies, except for a host that the caller lists.
func (f *fetcher) foreignClient(u *url.URL) (*http.Client, error) {
	var transport *http.Transport
	standard, _ := http.DefaultTransport.(*http.Transport)
	own := true // the dial function, if any, is that of net/http
	switch {
	case f.settings.Client == nil:
		transport = f.own.Clone()
	case f.settings.Client.Transport == nil && standard != nil:
		transport = standard.Clone()
	default:
		t, ok := f.settings.Client.Transport.(*http.Transport)
		if !ok {
			return nil, errNoDialling
		}
		//lint:ignore SA1019 a Client may still have the old dial functions
		transport, own = t.Clone(), t == standard || t.DialContext == nil && t.DialTLSContext == nil && t.Dial == nil && t.DialTLS == nil
	}
	// Client certificates are credentials.
	if c := transport.TLSClientConfig; c != nil {
		c.Certificates, c.GetClientCertificate = nil, nil
	}
	transport.DisableKeepAlives = true
	transport.MaxResponseHeaderBytes = maxHeaderBytes
	client := &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	if f.isListed(u) {
		return client, nil
	}
	if transport.Proxy != nil {
		proxy, err := transport.Proxy(&http.Request{Method: http.MethodGet, URL: u, Host: u.Host, Header: http.Header{}})
		own = own && proxy == nil && err == nil
	}
	if !own {
		return nil, errNoDialling
	}
	// The address is checked after the name has been looked up, for each connection, so
	// that a name cannot change in between.
	dialer := net.Dialer{Control: func(_, address string, _ syscall.RawConn) error {
		if a, err := netip.ParseAddrPort(address); err != nil || !isPublic(a.Addr()) {
			return errNotPublic
		}
		return nil
	}}
	transport.Proxy, transport.DialContext, transport.DialTLSContext = nil, dialer.DialContext, nil
	return client, nil
}

// isListed reports whether the caller permits a foreign host at every address.
func (f *fetcher) isListed(u *url.URL) bool {
	return slices.ContainsFunc(f.settings.ForeignHosts, func(host string) bool {
		return strings.EqualFold(host, u.Hostname()) || strings.EqualFold(host, u.Host)
	})
}

// notPublic are the special-purpose addresses (RFC 6890 and the registries of IANA) inside
// what netip takes for global unicast.
var notPublic = []netip.Prefix{
	netip.MustParsePrefix("0.0.0.0/8"),
	netip.MustParsePrefix("100.64.0.0/10"),
	netip.MustParsePrefix("192.0.0.0/24"),
	netip.MustParsePrefix("192.0.2.0/24"),
	netip.MustParsePrefix("192.88.99.0/24"),
	netip.MustParsePrefix("198.18.0.0/15"),
	netip.MustParsePrefix("198.51.100.0/24"),
	netip.MustParsePrefix("203.0.113.0/24"),
	netip.MustParsePrefix("240.0.0.0/4"),
	netip.MustParsePrefix("2001::/23"), // with Teredo
	netip.MustParsePrefix("2001:db8::/32"),
	netip.MustParsePrefix("2002::/16"), // 6to4: an IPv4 address is inside
	netip.MustParsePrefix("3fff::/20"),
}

var (
	globalIPv6 = netip.MustParsePrefix("2000::/3")
	nat64      = netip.MustParsePrefix("64:ff9b::/96") // RFC 6052: an IPv4 address is at its end
)

// isPublic reports whether an address is one of the public Internet.
func isPublic(a netip.Addr) bool {
	if a.Zone() != "" {
		return false
	}
	a = a.Unmap()
	if nat64.Contains(a) {
		b := a.As16()
		a = netip.AddrFrom4([4]byte(b[12:]))
	}
	if !a.IsGlobalUnicast() || a.IsPrivate() || a.Is6() && !globalIPv6.Contains(a) {
		return false
	}
	return !slices.ContainsFunc(notPublic, func(p netip.Prefix) bool { return p.Contains(a) })
}
