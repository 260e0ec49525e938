package discovery

import (
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// dumpVariable holds the base whose Set a process prints.
const dumpVariable = "PORTICO_TEST_DUMP_SET_OF"

// manyMaps is a configuration with many entries in every map, whose order differs from process to
// process.
func manyMaps(t testing.TB, base string) Config {
	c := fullConfig(t, base)
	many := func() map[string]any {
		m := make(map[string]any)
		for i := range 20 {
			m[fmt.Sprintf("member_%d", i*i)] = map[string]any{"b": i, "a": "x", "c": nil}
		}
		return m
	}
	c.OAuth.Extra, c.OpenID.Extra, c.JMAP.Extra = many(), map[string]any{"claim_types_supported": []string{"normal"}, "other": 1}, many()
	c.Resources = append(c.Resources, Resource{Path: "/x/", Extra: many()})
	for name, value := range many() {
		c.JMAP.Capabilities["urn:"+name] = value
	}
	c.Mail.PerDomain, c.MTASTS.PerDomain = make(map[string][]Service), make(map[string][]string)
	for i := range 20 {
		d := fmt.Sprintf("d%d.example", i*i)
		c.Mail.Domains = append(c.Mail.Domains, d)
		c.Mail.PerDomain[d] = []Service{{Protocol: IMAP, Host: "imap." + d}, {Protocol: Submission}}
		c.MTASTS.PerDomain[d] = []string{"mx." + d}
	}
	return c
}

// dumpSet prints all documents and routes of a Set.
func dumpSet(t testing.TB, out io.Writer, base string) {
	c := manyMaps(t, base)
	set, err := Build(c)
	require.NoError(t, err)
	for _, d := range slices.Sorted(maps.Keys(set.documents)) {
		fmt.Fprintf(out, "document %s %s %s\n", d, set.ETag(d), set.Bytes(d))
	}
	hosts := []string{"example.com"}
	for _, d := range c.Mail.Domains {
		hosts = append(hosts, d, autoconfigHost+d, userAgentHost+d, mtaSTSHost+d)
	}
	h := NewServer(set, ServerConfig{Session: func(*http.Request) (Account, error) { return demoAccount(), nil }, Next: teapot})
	for _, path := range slices.Sorted(maps.Keys(set.routes)) {
		for _, host := range hosts {
			r := httptest.NewRequest("GET", "/", nil)
			r.URL.Path, r.Host = path, host
			w := httptest.NewRecorder()
			h.ServeHTTP(w, r)
			fmt.Fprintf(out, "route %s %s %d %v %x\n", host, path, w.Code, w.Header(), userAgentDigest(w.Body.Bytes()))
		}
	}
	for _, r := range []string{"", "/jmap/session", "/dav/cal/", "/x/", "/other"} {
		fmt.Fprintf(out, "challenge %s\n", set.Challenge(nil, r, "mail"))
	}
	session, state, err := set.Session(demoAccount())
	require.NoError(t, err)
	fmt.Fprintf(out, "session %s %s\n%s", state, session, set.DNS())

	c.Mail.PerDomain = map[string][]Service{"x.example": nil, "y.example": nil, "z.example": nil} // and an error
	c.OAuth.Extra = map[string]any{"a_endpoint": "", "b_endpoint": "", "c_endpoint": ""}
	_, err = Build(c)
	fmt.Fprintf(out, "error %v\n", err)
}

// The bytes, entity tags and routes are the same on every node and after every restart.
func TestProcessesWithOneConfigAgree(t *testing.T) {
	if base, ok := os.LookupEnv(dumpVariable); ok {
		dumpSet(t, os.Stdout, base)
		return
	}
	executable, err := os.Executable()
	require.NoError(t, err)
	for _, base := range []string{"https://example.com/mail", "/mail"} {
		var first string
		for i := range 3 {
			node := exec.Command(executable, "-test.run=^"+t.Name()+"$")
			node.Env = append(os.Environ(), dumpVariable+"="+base, fmt.Sprintf("GOMAXPROCS=%d", i+1))
			out, err := node.CombinedOutput()
			require.NoError(t, err, "%s", out)
			dump, _, ok := strings.Cut(string(out), "\nPASS\n")
			require.True(t, ok)
			if i == 0 {
				first = dump
				require.Contains(t, dump, "/mail/auth/token")
				require.Greater(t, strings.Count(dump, "\n"), 1000)
			}
			require.Equal(t, first, dump)
		}
	}
}
