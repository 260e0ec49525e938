package interop

import (
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/seed-94e48765/portico/publicurl"
	"github.com/stretchr/testify/require"
)

// The documents by which clients find the server are byte-identical on every way to it, plain
// and with TLS, through HTTP and TCP proxies, with the path stripped and kept, and with forged
// headers.

// An answer is the part of a response that clients may depend on.
type answer struct {
	Status                                    int
	Location, Type, Cache, ETag, CORS, Length string
	Challenge                                 string
	Body                                      string
}

// documentURLs returns the URLs of the documents of a base.
func documentURLs(t *testing.T, base string) []string {
	t.Helper()
	b, err := publicurl.Parse(base)
	require.NoError(t, err)
	var urls []string
	for _, name := range []publicurl.Name{
		publicurl.OAuthAuthorizationServer, publicurl.OAuthProtectedResource, publicurl.OpenIDConfiguration,
		publicurl.JMAP, publicurl.CalDAV, publicurl.CardDAV,
	} {
		u, err := b.WellKnown(name)
		require.NoError(t, err)
		urls = append(urls, u)
	}
	session, err := b.MetadataURL("/jmap/session")
	require.NoError(t, err)
	return append(urls, session, b.MustJoin("/jmap/session"), b.MustJoin("/api/discover"), b.MustJoin("/api/discover/fred%40example.org"))
}

// asked lists headers of requests. The last one has every header that a server might use.
var asked = []http.Header{
	{},
	{"Host": {"evil.example:8080"}},
	{"X-Forwarded-Host": {"evil.example"}, "X-Forwarded-Port": {"8080"}, "X-Forwarded-Prefix": {"/evil"}, "X-Forwarded-Proto": {"http"}},
	{"Forwarded": {"for=203.0.113.9;proto=http;host=evil.example"}, "X-Forwarded-Ssl": {"off"}, "X-Original-Url": {"/evil"}, "Front-End-Https": {"off"}},
}

// fetchDocuments requests each document, over connections of dial. The keys are the URLs.
func fetchDocuments(t *testing.T, base string, dial func(*testing.T) net.Conn, headers http.Header) map[string]answer {
	t.Helper()
	client := httpClient(t, dial(t))
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	answers := make(map[string]answer)
	for _, document := range documentURLs(t, base) {
		u, err := url.Parse(document)
		require.NoError(t, err)
		u.Scheme = "http" // dial has done the TLS handshake
		request, err := http.NewRequest(http.MethodGet, u.String(), nil)
		require.NoError(t, err)
		request.Header = headers.Clone()
		if host := request.Header.Get("Host"); host != "" {
			request.Host = host
		}
		response, err := client.Do(request)
		require.NoError(t, err, document)
		body, err := io.ReadAll(response.Body)
		response.Body.Close()
		require.NoError(t, err)
		h := response.Header
		answers[document] = answer{
			Status: response.StatusCode, Location: h.Get("Location"), Type: h.Get("Content-Type"), Cache: h.Get("Cache-Control"), ETag: h.Get("Etag"),
			CORS: h.Get("Access-Control-Allow-Origin"), Length: h.Get("Content-Length"), Challenge: h.Get("Www-Authenticate"), Body: string(body),
		}
	}
	return answers
}

// requireDocuments checks that the documents were served.
func requireDocuments(t *testing.T, base string, have map[string]answer) {
	t.Helper()
	for document, a := range have {
		switch {
		case strings.HasSuffix(document, "/.well-known/jmap"), strings.HasSuffix(document, "dav"):
			require.Equal(t, http.StatusTemporaryRedirect, a.Status, document)
			require.True(t, strings.HasPrefix(a.Location, base+"/"), "%s leads to %s", document, a.Location)
		case strings.HasSuffix(document, "/jmap/session") && !strings.Contains(document, "/.well-known/"):
			require.Equal(t, http.StatusUnauthorized, a.Status, document)
			require.Contains(t, a.Challenge, `resource_metadata="https://`)
		default:
			require.Equal(t, http.StatusOK, a.Status, "%s: %s", document, a.Body)
			require.Contains(t, a.Body, base)
			require.NotEmpty(t, a.ETag, document)
		}
		require.NotContains(t, a.Body+a.Location+a.Challenge, "evil")
	}
}

// requireMailDocuments checks that the documents of a mail domain were served.
func requireMailDocuments(t *testing.T, way string, dial func(*testing.T) net.Conn) {
	t.Helper()
	client := httpClient(t, dial(t))
	for _, u := range []string{
		"http://autoconfig.example.test/mail/config-v1.1.xml",
		"http://" + serverName + "/.well-known/autoconfig/mail/config-v1.1.xml",
		"http://" + serverName + "/.well-known/mail-v1.xml",
		"http://ua-auto-config.example.test/.well-known/user-agent-configuration.json",
		"http://" + serverName + "/.well-known/user-agent-configuration.json",
		"http://mta-sts.example.test/.well-known/mta-sts.txt",
		"http://autodiscover.example.test/autodiscover/autodiscover.json/v1.0/demo@example.test?Protocol=AutodiscoverV1",
		"http://" + serverName + "/Autodiscover/Autodiscover.json?Protocol=AutodiscoverV1&Email=demo@example.test",
	} {
		response, err := client.Get(u)
		require.NoError(t, err, "%s %s", way, u)
		body, err := io.ReadAll(response.Body)
		require.NoError(t, err)
		response.Body.Close()
		require.Equal(t, http.StatusOK, response.StatusCode, "%s %s: %s", way, u, body)
	}
}

func TestDocumentsAreIdentical(t *testing.T) {
	t.Run("root", func(t *testing.T) {
		base := "https://" + serverName
		byHeader := startForwarded(t, "PUBLIC_URL="+base, useProto)
		want := fetchDocuments(t, base, direct(byHeader, "http"), nil)
		requireDocuments(t, base, want)
		byPROXY := startMailfront(t, "PUBLIC_URL="+base, "TLS_REENCRYPTED=https")
		sameDocuments(t, base, want, "direct, http", direct(byPROXY, "http"))
		sameDocuments(t, base, want, "direct, https", withTLS(direct(byHeader, "https"), endedByServer))
		eachHTTPProxy(t, func(t *testing.T, product httpProxy) {
			for _, file := range []string{"http", "http-append", "http-reencrypted"} {
				p := product.run(t, byHeader, file, nil)
				sameDocuments(t, base, want, file, withTLS(p.client("https"), endedByProxy))
			}
			for file, endedBy := range map[string]string{
				"passthrough": endedByServer, "tls-terminated": endedByProxy, "reencrypted": endedByProxy,
			} {
				if product.product == "caddy" && file == "passthrough" {
					continue // it has no TCP mode
				}
				p := product.startTCP(t, byPROXY, file+product.suffix, nil)
				sameDocuments(t, base, want, file, withTLS(p.client("https"), endedBy))
			}
		})
	})
	for _, base := range []string{"https://" + serverName + "/mail", "https://" + serverName + ":8443/mail"} {
		t.Run(base, func(t *testing.T) {
			m := startForwarded(t, "PUBLIC_URL="+base, useProto)
			want := fetchDocuments(t, base, direct(m, "http"), nil)
			requireDocuments(t, base, want)
			eachHTTPProxy(t, func(t *testing.T, product httpProxy) {
				for name, changes := range map[string][]change{"path stripped": nil, "path kept": keepPath[product.product]} {
					p := product.run(t, m, "http-path", nil, changes...)
					sameDocuments(t, base, want, name, withTLS(p.client("https"), endedByProxy))
					requireMailDocuments(t, name, withTLS(p.client("https"), endedByProxy))
				}
			})
		})
	}
}

// keepPath changes http-path so that it does not strip the path.
var keepPath = map[string][]change{
	"haproxy": {{"    http-request replace-path ^/mail/?(.*)$ /\\1\n", ""}},
	"nginx":   {{"            proxy_pass http://web/;\n", "            proxy_pass http://web;\n"}},
	"caddy":   {{"\t\turi strip_prefix /mail\n", ""}},
	"traefik": {{"[forwarded, strip]", "[forwarded]"}},
}

// sameDocuments compares the documents on every way, through a proxy or directly.
func sameDocuments(t *testing.T, base string, want map[string]answer, name string, dial func(*testing.T) net.Conn) {
	t.Helper()
	t.Run(name, func(t *testing.T) {
		for _, headers := range asked {
			require.Equal(t, want, fetchDocuments(t, base, dial, headers), "asked with %v", headers)
		}
	})
}
