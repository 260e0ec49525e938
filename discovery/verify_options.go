package discovery

import (
	"encoding/json"
	"html"
	"math"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// A VerifyOption changes what [Verify] does. The zero VerifyOption changes nothing.
type VerifyOption struct{ apply func(*verifyOptions) }

type verifyOptions struct {
	token          string
	tokenSpellings []string // longest first
	requestTimeout time.Duration
	timeout        time.Duration
	maxBytes       int64
	expected       map[Document]bool
	domains        []string
}

const (
	defaultRequestTimeout = 10 * time.Second
	defaultVerifyTimeout  = time.Minute
	defaultMaxBytes       = 1 << 20
)

func newVerifyOptions(opts []VerifyOption) verifyOptions {
	o := verifyOptions{
		requestTimeout: defaultRequestTimeout,
		timeout:        defaultVerifyTimeout,
		maxBytes:       defaultMaxBytes,
		expected:       make(map[Document]bool),
	}
	for _, opt := range opts {
		if opt.apply != nil {
			opt.apply(&o)
		}
	}
	return o
}

// WithBearer signs in with a bearer token (RFC 6750), so that the JMAP session and
// the userinfo endpoint can be checked behind their 401. The token is sent below the
// base and to /.well-known/jmap at its origin, nowhere else, and no redirect takes
// it further. It is not in the report, even if the server repeats it, escaped or not; in
// base64, say, it is not found. One of fewer than 8 characters, which no server issues, is
// not looked for: it would be found in words.
func WithBearer(token string) VerifyOption {
	return VerifyOption{func(o *verifyOptions) { o.token, o.tokenSpellings = token, spellings(token) }}
}

// spellings are the usual ways in which an answer may hold a text: as it is, in a URL,
// in JSON and in HTML.
func spellings(text string) (all []string) {
	if len(text) < 8 {
		return nil
	}
	quoted, _ := json.Marshal(text) // a string can be marshalled
	inJSON := strings.Trim(string(quoted), `"`)
	inQuery, inPath := url.QueryEscape(text), url.PathEscape(text)
	lower := func(s string) string { return escaped.ReplaceAllStringFunc(s, strings.ToLower) }
	all = []string{text, inJSON, strings.ReplaceAll(inJSON, "/", `\/`), html.EscapeString(text), inPath, inQuery, lower(inPath), lower(inQuery)}
	slices.SortFunc(all, func(a, b string) int { return len(b) - len(a) })
	return all
}

// escaped is an escape of a URL, of JSON, or of HTML.
var escaped = regexp.MustCompile(`%[0-9A-Fa-f]{2}|\\u[0-9A-Fa-f]{4}|&#?[0-9A-Za-z]+;`)

// hides reports whether a text says another one if all that is escaped in it is not.
func hides(s, text string) bool {
	for range 3 { // a URL, in JSON, in HTML
		if !strings.ContainsAny(s, `%\&`) {
			return false
		}
		s = escaped.ReplaceAllStringFunc(s, func(e string) string {
			switch digits := strings.TrimLeft(e, `%\u`); e[0] {
			case '&':
				return html.UnescapeString(e)
			default:
				r, _ := strconv.ParseUint(digits, 16, 16)
				return string(rune(r))
			}
		})
		if strings.Contains(strings.ReplaceAll(s, `\/`, "/"), text) {
			return true
		}
	}
	return false
}

// WithRequestTimeout bounds each request, body included; default 10 s. Zero and less
// are the default.
func WithRequestTimeout(d time.Duration) VerifyOption {
	return VerifyOption{func(o *verifyOptions) {
		if d > 0 {
			o.requestTimeout = d
		}
	}}
}

// WithTimeout bounds all requests together; default one minute. Zero and less are
// the default.
func WithTimeout(d time.Duration) VerifyOption {
	return VerifyOption{func(o *verifyOptions) {
		if d > 0 {
			o.timeout = d
		}
	}}
}

// WithMaxBytes bounds the body of each answer, decompressed; default 1 MiB. Zero and
// less are the default.
func WithMaxBytes(n int64) VerifyOption {
	return VerifyOption{func(o *verifyOptions) {
		if n > 0 {
			o.maxBytes = min(n, math.MaxInt64-1) // one more is read, to see that there is more
		}
	}}
}

// WithExpected names documents that the server has, so that it is a finding if one
// is not there: OAuthDocument, OpenIDDocument, BaseResource, JMAPDocument,
// DAVDocument, WebUIDocument, and with [WithMailDomains] UserAgentDocument,
// MTASTSDocument and [AutoconfigDocument] of a domain. Without it the absence of a
// document is one only if another document speaks of it, or if it is found
// elsewhere.
func WithExpected(documents ...Document) VerifyOption {
	return VerifyOption{func(o *verifyOptions) {
		for _, d := range documents {
			o.expected[d] = true
		}
	}}
}

// WithMailDomains has the documents of mail domains checked too, at the hosts
// autoconfig.<domain>, ua-auto-config.<domain> and mta-sts.<domain>.
func WithMailDomains(domains ...string) VerifyOption {
	return VerifyOption{func(o *verifyOptions) { o.domains = append(o.domains, domains...) }}
}
