package main

import (
	"encoding/xml"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"
)

// RFC 4918 section 9.1 requires a response element for the requested resource. Clients compare
// the href and ignore resources that they did not request.
func TestPROPFINDHref(t *testing.T) {
	const body = `<propfind xmlns="DAV:"><prop><resourcetype/><current-user-principal/></prop></propfind>`
	type multistatus struct {
		Responses []struct {
			Href      string `xml:"href"`
			Principal string `xml:"propstat>prop>current-user-principal>href"`
		} `xml:"response"`
	}
	for _, site := range []struct{ name, base, how, prefix string }{
		{name: "directly", base: testBase, how: direct},
		{name: "a path that the proxy strips", base: testBase + "/mail", how: stripped, prefix: "/mail"},
		{name: "a path that the proxy keeps", base: testBase + "/mail", how: kept, prefix: "/mail"},
		{name: "a path with escapes", base: testBase + "/a%20b&c", how: kept, prefix: "/a%20b&c"},
	} {
		t.Run(site.name, func(t *testing.T) {
			s := newSite(t, site.base, site.how, nil)
			for _, test := range []struct {
				path     string
				status   int // 0: 207
				location string
				members  []string // with Depth: 1
			}{
				{path: "/dav/cal/"},
				{path: "/dav/cal", location: "/dav/cal/"},
				{path: "/dav/cal/demo@example.test/", members: []string{"/dav/cal/demo@example.test/calendars/"}},
				{path: "/dav/cal/demo%40example.test/", members: []string{"/dav/cal/demo@example.test/calendars/"}},
				{path: "/dav/cal/demo@example.test", location: "/dav/cal/demo@example.test/", members: []string{"/dav/cal/demo@example.test/calendars/"}},
				{path: "/dav/cal/demo@example.test/calendars/", members: []string{"/dav/cal/demo@example.test/calendars/default/"}},
				{path: "/dav/cal/demo@example.test/calendars", location: "/dav/cal/demo@example.test/calendars/", members: []string{"/dav/cal/demo@example.test/calendars/default/"}},
				{path: "/dav/cal/demo@example.test/calendars/default/"},
				{path: "/dav/cal/demo@example.test/calendars/default", location: "/dav/cal/demo@example.test/calendars/default/"},
				{path: "/dav/card/"},
				{path: "/dav/card/demo@example.test/contacts", location: "/dav/card/demo@example.test/contacts/", members: []string{"/dav/card/demo@example.test/contacts/default/"}},
				{path: "/dav/cal/other@example.test/", status: http.StatusNotFound},
				{path: "/dav/cal/demo@example.test/contacts/", status: http.StatusNotFound},
				{path: "/dav/card/demo@example.test/contacts/other/", status: http.StatusNotFound},
				{path: "/dav/card/demo@example.test/contacts/default/none.vcf", status: http.StatusNotFound},
			} {
				for depth, members := range map[string][]string{"0": nil, "1": test.members} {
					response, answer := s.do("PROPFIND", site.base+test.path, body,
						"Authorization", basicAuth(testPassword), "Content-Type", "application/xml", "Depth", depth)
					if test.status != 0 {
						require.Equal(t, test.status, response.StatusCode, test.path)
						continue
					}
					require.Equal(t, http.StatusMultiStatus, response.StatusCode, "%s: %s", test.path, answer)
					var got multistatus
					require.NoError(t, xml.Unmarshal([]byte(answer), &got), answer)
					want := []string{site.prefix + test.path}
					for _, member := range members {
						want = append(want, site.prefix+member)
					}
					var hrefs []string
					for _, r := range got.Responses {
						hrefs = append(hrefs, r.Href)
						require.Regexp(t, `/demo@example\.test/$`, r.Principal, "it is another resource's property")
					}
					require.Equal(t, want, hrefs, "Depth %s of %s", depth, test.path)
					if test.location != "" {
						require.Equal(t, site.prefix+test.location, response.Header.Get("Content-Location"))
					} else {
						require.Empty(t, response.Header.Get("Content-Location"))
					}
				}
			}
		})
	}
}
