package verify

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"

	"github.com/seed-94e48765/portico/discovery"
)

// checkEndpoint reports an answer that no endpoint gives, whatever its kind is.
func (v *verifier) checkEndpoint(ctx context.Context, d discovery.Document, name, u string, a *fetched) bool {
	f := Finding{Document: d, URL: u, Field: name, Rule: ruleEndpoint, Severity: SeverityError, Want: "an endpoint"}
	switch {
	case a.isAbsent(), a.err == nil && a.status == http.StatusNotImplemented:
		f.Got = a.said()
		f.Hint = "the document publishes a URL at which no endpoint answers: route it to the server, or leave the member out"
		if v.base.Prefix() != "" {
			f.Mistake = MistakePrefix
		}
	case a.err != nil, a.status == http.StatusBadGateway, a.status == http.StatusServiceUnavailable, a.status == http.StatusGatewayTimeout:
		v.answered(ctx, d, u, a)
		return false
	case a.status >= 500:
		f.Rule, f.Got, f.Severity = ruleStatus, a.said(), SeverityWarning
		f.Hint = "the server fails to handle a request without parameters: see its log"
	default:
		return true
	}
	v.add(f)
	return false
}

// poster checks the answer of an endpoint for programs to a POST without a body. The
// errors of OAuth endpoints are JSON (RFC 6749 section 5.2, RFC 7591 section 3.2.2), and
// so are those of JMAP (RFC 8620 section 3.6.1).
func (v *verifier) poster(ctx context.Context, d discovery.Document, name, u string, a *fetched) {
	switch {
	case !v.checkEndpoint(ctx, d, name, u, a):
	case a.isRedirect():
		v.redirected(d, a, "an answer: clients follow a redirect with GET")
	case a.status == http.StatusMethodNotAllowed, isHTML(a), !isProgramAnswer(name, a):
		v.notTheEndpoint(ctx, d, name, u, http.MethodPost, a)
	case name == "token_endpoint", name == "apiUrl":
		v.endpointCORS(d, u, a)
	}
}

// endpointCORS checks that a web application of another origin can read the answers of an
// endpoint. Whether it may send Authorization is checked at the session.
func (v *verifier) endpointCORS(d discovery.Document, u string, a *fetched) {
	if a.status < 500 && a.status != http.StatusTooManyRequests { // which are the proxy's own
		v.cors(d, u, a)
	}
}

// isProgramAnswer reports whether an endpoint for programs can give this answer to a request
// without parameters. Every answer in JSON qualifies. Without JSON it can be a challenge, an
// error 400, a rate limit, or a refusal whose form the endpoint's standard leaves open.
func isProgramAnswer(name string, a *fetched) bool {
	if len(a.body) > 0 && json.Valid(a.body) {
		return true
	}
	switch a.status {
	case http.StatusForbidden:
		return name == "registration_endpoint" || hasChallenge(a, "Bearer") // RFC 6750 section 3.1
	case http.StatusUnsupportedMediaType:
		return name == "registration_endpoint" || name == "apiUrl" // they require application/json
	case http.StatusNotAcceptable, http.StatusRequestEntityTooLarge:
		return false
	case http.StatusOK:
		// RFC 7009 section 2.2: the body is ignored. A userinfo answer may be a JWT (OpenID
		// Connect Core section 5.3.2).
		return name == "revocation_endpoint" && len(a.body) == 0 || name == "userinfo_endpoint" && mediaType(a) == "application/jwt"
	}
	return true
}

// hasChallenge reports whether an answer has a challenge of a scheme.
func hasChallenge(a *fetched, scheme string) bool {
	for _, line := range a.header.Values("WWW-Authenticate") {
		for part := range strings.SplitSeq(line, ",") {
			word, _, _ := strings.Cut(strings.TrimSpace(part), " ")
			if strings.EqualFold(word, scheme) {
				return true
			}
		}
	}
	return false
}

// notTheEndpoint reports an answer that is not from the endpoint.
func (v *verifier) notTheEndpoint(ctx context.Context, d discovery.Document, name, u, method string, a *fetched) {
	f := Finding{Document: d, URL: u, Field: name, Rule: ruleEndpoint, Severity: SeverityError, Got: a.said() + ", " + v.snippet(a.body), Want: "an error in JSON for an empty " + method,
		Hint: "something else answers here, such as a web application for every path, or the method is blocked: route the URL to the server"}
	switch {
	case a.status != http.StatusOK && v.isMethodDenied(ctx, method, a):
		f.Mistake = MistakeMethod
		f.Hint = "the proxy denies every " + method + " by itself, and the request does not reach the server: remove the rule that denies the method"
	case a.status == http.StatusUnauthorized, a.status == http.StatusForbidden:
		f.Mistake = MistakeAccess
		f.Hint = "a page for people answers: a sign-in, a firewall (WAF) or a rule of the proxy is in front of the endpoint; exempt the URL from it"
	case a.status == http.StatusTooManyRequests:
		f.Mistake = MistakeAccess
		f.Hint = "the proxy's rate limit answers with a page: raise the limit for this URL, and run the check again"
	case a.status == http.StatusNotAcceptable, a.status == http.StatusUnsupportedMediaType, a.status == http.StatusRequestEntityTooLarge:
		f.Mistake = MistakeAccess
		f.Hint = "the proxy or a firewall (WAF) refuses the request by its header fields or its size: exempt the URL from that rule"
	}
	v.add(f)
}

// isMethodDenied reports whether a path that no server has is refused in the same way as an
// endpoint, and only for this method.
func (v *verifier) isMethodDenied(ctx context.Context, method string, a *fetched) bool {
	unused := v.base.MustJoin(unusedPath)
	same, other := v.ask(ctx, configDocument, fetch{method: method, url: unused}), v.ask(ctx, configDocument, get(unused))
	return method != http.MethodGet && same.err == nil && same.status == a.status && other.err == nil && other.status != a.status
}
