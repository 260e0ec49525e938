package verify

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed-94e48765/portico/discovery"
)

func TestFindsNothingOnCorrectServer(t *testing.T) {
	for _, base := range verifyMounts {
		for name, strip := range map[string]bool{"strip": true, "keep": false} {
			t.Run(base+" "+name, func(t *testing.T) {
				h := behindProxy(t, base, strip, correctServer(t, verifyConfig(t, base)))
				require.Empty(t, verify(t, h, base, Config{}).Findings)
				require.Empty(t, verify(t, h, base, Config{Bearer: verifyToken}).Findings)
			})
		}
		t.Run(base+" direct, everything expected", func(t *testing.T) {
			h := correctServer(t, verifyConfig(t, base))
			report := verify(t, h, base, Config{Bearer: verifyToken, MailDomains: []string{"example.com"}, Expected: []discovery.Document{discovery.OAuthDocument, discovery.OpenIDDocument, discovery.BaseResource, discovery.JMAPDocument, discovery.DAVDocument, discovery.WebUIDocument, discovery.UserAgentDocument, discovery.MTASTSDocument, discovery.AutoconfigDocument("example.com")}})
			require.Empty(t, report.Findings)
		})
	}
}

// Proxies answer an unused path with different statuses.
func TestUnroutedPathsByAnyStatus(t *testing.T) {
	for _, code := range []int{302, 403, 404, 410, 502, 503} {
		unrouted := func(next http.Handler) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if strings.HasPrefix(r.URL.Path, "/mail/") {
					next.ServeHTTP(w, r)
					return
				}
				w.Header().Set("Location", "/welcome")
				w.WriteHeader(code)
			})
		}
		var missing []string
		for _, f := range verify(t, unrouted(correctServer(t, verifyConfig(t, pathBase))), pathBase, Config{}).Findings {
			require.Equal(t, ruleMissing, f.Rule, "%v", f)
			require.Equal(t, MistakeWellKnown, f.Mistake, "%v", f)
			require.Equal(t, fmt.Sprint(code), f.Got)
			missing = append(missing, strings.TrimPrefix(f.URL, rootBase))
		}
		require.Equal(t, []string{oauthAtPath, "/.well-known/oauth-protected-resource/mail", "/.well-known/jmap", "/.well-known/oauth-protected-resource/mail/jmap/session", "/.well-known/caldav", "/.well-known/carddav"}, missing)
	}
}

// A web site with a page for every path answers at the same locations.
func TestWebSiteAtOrigin(t *testing.T) {
	h := correctServer(t, verifyConfig(t, pathBase))
	site := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, "/mail/") {
			h.ServeHTTP(w, r)
			return
		}
		spa(w, r)
	})
	var wrong []string
	for _, f := range verify(t, site, pathBase, Config{}).Findings {
		require.Equal(t, ruleHTML, f.Rule, "%v", f)
		require.Equal(t, MistakeWellKnown, f.Mistake, "%v", f)
		require.Equal(t, SeverityError, f.Severity, "%v", f)
		wrong = append(wrong, strings.TrimPrefix(f.URL, rootBase))
	}
	require.Equal(t, []string{oauthAtPath, "/.well-known/oauth-protected-resource/mail", "/.well-known/jmap", "/.well-known/caldav", "/.well-known/carddav"}, wrong)
}

// Documents that a server does not have are not reported, behind any proxy.
func TestMissesNothingThatServerDoesNotHave(t *testing.T) {
	for _, base := range verifyMounts {
		for _, code := range []int{200, 302, 403, 404, 503} {
			if code < 400 && base != pathBase && base != bothBase {
				continue // the page would be at the server's own locations
			}
			c := discovery.Config{Base: mustBase(t, base), OAuth: &discovery.OAuth{}, OpenID: &discovery.OpenID{}}
			h := correctServer(t, c)
			prefix := c.Base.Prefix()
			front := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				p := r.URL.Path
				if strings.HasPrefix(p, prefix+"/") || strings.HasPrefix(p, "/.well-known/o") && strings.HasSuffix(p, prefix) {
					h.ServeHTTP(w, r)
					return
				}
				if code == 200 {
					spa(w, r)
					return
				}
				w.Header().Set("Location", "/welcome")
				w.WriteHeader(code)
			})
			require.Empty(t, verify(t, front, base, Config{}).Findings, "%s %d", base, code)
		}
	}
}

// A nil client reaches the network. A base on loopback may be http.
func TestOnPlainHTTPWithItsOwnClient(t *testing.T) {
	var h http.Handler
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { h.ServeHTTP(w, r) }))
	c := discovery.Config{Base: mustBase(t, server.URL+"/mail"), OAuth: &discovery.OAuth{}, OpenID: &discovery.OpenID{}, JMAP: &discovery.JMAP{}, DAV: &discovery.DAV{}, WebUI: &discovery.WebUI{}}
	h = correctServer(t, c)
	report, err := Run(t.Context(), c.Base, Config{})
	require.NoError(t, err)
	require.Empty(t, report.Findings)
	server.Close()
	_, err = Run(t.Context(), c.Base, Config{})
	require.ErrorContains(t, err, "nothing can be reached")
}

// If the base has a wrong path, the finding names the issuer of the server.
func TestNamesServerAtOrigin(t *testing.T) {
	h := correctServer(t, discovery.Config{Base: mustBase(t, rootBase), OAuth: &discovery.OAuth{}, OpenID: &discovery.OpenID{}})
	findings := verify(t, h, "https://example.com/webmail", Config{}).Findings
	require.Len(t, findings, 1)
	require.Equal(t, ruleNothing, findings[0].Rule)
	require.Equal(t, MistakeBase, findings[0].Mistake)
	require.Contains(t, findings[0].Got, "https://example.com")
}

func TestReportsWhatIsExpected(t *testing.T) {
	all := []discovery.Document{discovery.OAuthDocument, discovery.OpenIDDocument, discovery.BaseResource, discovery.JMAPDocument, discovery.DAVDocument, discovery.WebUIDocument, discovery.UserAgentDocument, discovery.MTASTSDocument, discovery.AutoconfigDocument("example.com")}
	h := http.NotFoundHandler()
	missing := make(map[discovery.Document]int)
	for _, f := range verify(t, h, rootBase, Config{MailDomains: []string{"example.com"}, Expected: all}).Findings {
		require.Equal(t, ruleMissing, f.Rule, "%v", f)
		require.Equal(t, SeverityError, f.Severity)
		missing[f.Document]++
	}
	for _, d := range all {
		require.Equal(t, 1, missing[d], "%s", d)
	}
	require.Len(t, missing, len(all))
}

func TestHasALimitOfTheCallers(t *testing.T) {
	c := discovery.Config{Base: mustBase(t, rootBase), OAuth: &discovery.OAuth{}}
	for limit, found := range map[int64]bool{200: true, 1 << 16: false, 0: false} {
		report := verify(t, correctServer(t, c), rootBase, Config{MaxBytes: limit})
		require.Equal(t, found, len(report.Findings) > 0, "%d: %v", limit, report.Findings)
		for _, f := range report.Findings {
			require.Equal(t, ruleTooLarge, f.Rule)
		}
	}
}

func TestChallengeParameter(t *testing.T) {
	for line, want := range map[string]string{
		`Bearer resource_metadata="https://a/x"`:                                         "https://a/x",
		`Bearer resource_metadata = "https://a/x", error="e"`:                            "https://a/x",
		`Basic realm="resource_metadata=\"https://evil\"", Bearer Resource_Metadata=x/y`: "x/y",
		`Bearer realm="a",resource_metadata=x , error=y`:                                 "x",
		`Bearer realm="a" resource_metadata="a\"b"`:                                      `a"b`,
		`Bearer x_resource_metadata="a"`:                                                 "",
		`Bearer realm="resource_metadata=a`:                                              "",
		`resource_metadata`:                                                              "",
		``:                                                                               "",
		`Bearer resource_metadata="open`:                                                 "open",
	} {
		got, ok := challengeParameter([]string{"Negotiate", line}, "resource_metadata")
		require.Equal(t, want, got, "%q", line)
		require.Equal(t, want != "", ok, "%q", line)
	}
}

// A line with many blanks is read once.
func TestChallengeParameterBehindBlanks(t *testing.T) {
	got, ok := challengeParameter([]string{"Bearer a" + strings.Repeat(" ", 1<<20) + `b, resource_metadata = "https://example.com/x"`}, "resource_metadata")
	require.True(t, ok)
	require.Equal(t, "https://example.com/x", got)
}

// The document changes with each request, and the server still has no base.
func TestDocumentThatChangesIsNoCaches(t *testing.T) {
	var n atomic.Int64
	h := at(oauthAtRoot, func(w http.ResponseWriter, r *http.Request) {
		body("application/json", fmt.Sprintf(`{"issuer":"","n":%d}`, n.Add(1)))(w, r)
	})(http.NotFoundHandler())
	report := verify(t, h, rootBase, Config{})
	require.Len(t, report.Findings, 1)
	require.Equal(t, MistakePublicURL, report.Findings[0].Mistake)
}

func TestExpectedDocuments(t *testing.T) {
	const domain, unchecked = "a document of a mail domain: set MailDomains too", "which is not checked: see Config.Expected"
	for _, test := range []struct {
		document discovery.Document
		domains  []string
		want     string
	}{
		{document: discovery.UserAgentDocument, want: domain},
		{document: discovery.MTASTSDocument, want: domain},
		{document: discovery.AutoconfigDocument("example.com"), want: unchecked},
		{document: discovery.AutoconfigDocument("b.example"), domains: []string{"example.com"}, want: unchecked},
		{document: "autodiscover", domains: []string{"example.com"}, want: unchecked},
		{document: discovery.ResourceDocument("/dav/cal/"), want: unchecked},
		{document: "oauth", want: unchecked},
	} {
		_, err := Run(t.Context(), mustBase(t, rootBase), Config{MailDomains: test.domains, Expected: []discovery.Document{test.document}})
		require.ErrorContains(t, err, fmt.Sprintf("verify: Expected has %q, ", test.document))
		require.ErrorContains(t, err, test.want)
	}
}

func TestHTTPBaseOfHTTPSServer(t *testing.T) {
	transport := &inMemory{handler: at(oauthAtRoot, body("application/json", `{"issuer":"https://localhost:8080","grant_types_supported":["implicit"],"authorization_endpoint":"http://localhost:8080/login","response_types_supported":["token"]}`))(http.NotFoundHandler())}
	transport.handler = at("/login", spa)(transport.handler)
	report, err := Run(t.Context(), mustBase(t, "http://localhost:8080"), Config{Client: &http.Client{Transport: transport}})
	require.NoError(t, err)
	require.Len(t, report.Findings, 1, "%v", report.Findings)
	require.Contains(t, report.Findings[0].Hint, "check the https URL")
}
