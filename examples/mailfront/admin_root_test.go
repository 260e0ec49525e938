package main

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestBaseRedirectsToPage(t *testing.T) {
	for _, test := range []struct {
		name, base, how, path, location string
	}{
		{name: "root", base: testBase, how: direct, path: "/", location: testBase + "/admin"},
		{name: "kept path", base: testBase + "/mail", how: kept, path: "/mail/", location: testBase + "/mail/admin"},
		{name: "kept path without a slash", base: testBase + "/mail", how: kept, path: "/mail", location: testBase + "/mail/admin"},
		{name: "stripped path", base: testBase + "/mail", how: stripped, path: "/mail/", location: testBase + "/mail/admin"},
		{name: "stripped path without a slash", base: testBase + "/mail", how: stripped, path: "/mail", location: testBase + "/mail/admin"},
		{name: "past the proxy", base: testBase + "/mail", how: direct, path: "/", location: testBase + "/mail/admin"},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := newSite(t, test.base, test.how, nil)
			for _, method := range []string{http.MethodGet, http.MethodHead} {
				response, _ := s.do(method, testBase+test.path, "")
				require.Equal(t, http.StatusSeeOther, response.StatusCode)
				require.Equal(t, "no-store", response.Header.Get("Cache-Control"))
				to, err := response.Location()
				require.NoError(t, err)
				require.Equal(t, test.location, to.String())
				response, page := s.do(http.MethodGet, to.String(), "")
				require.Equal(t, http.StatusForbidden, response.StatusCode)
				require.Contains(t, page, "No administrator yet")
			}
		})
	}
}

func TestBaseRedirectsToSetUp(t *testing.T) {
	for _, how := range []string{stripped, direct} {
		at := testBase
		if how == stripped {
			at += "/mail"
		}
		s := newAdminSite(t, at, how, nil)
		response, _ := s.do(http.MethodGet, at+"/", "")
		require.Equal(t, http.StatusSeeOther, response.StatusCode)
		to, err := response.Location()
		require.NoError(t, err)
		require.Equal(t, at+"/admin", to.String())
	}
}

func TestOnlyBaseRedirects(t *testing.T) {
	s := newSite(t, testBase, direct, nil)
	for _, test := range []struct {
		method, path string
		status       int
	}{
		{method: http.MethodPost, path: "/", status: http.StatusNotFound},
		{method: "PROPFIND", path: "/", status: http.StatusNotFound},
		{method: http.MethodGet, path: "//", status: http.StatusNotFound},
		{method: http.MethodGet, path: "/index.html", status: http.StatusNotFound},
		{method: http.MethodGet, path: "/.well-known/", status: http.StatusNotFound},
		{method: http.MethodGet, path: "/.well-known/oauth-protected-resource", status: http.StatusOK},
	} {
		response, _ := s.do(test.method, test.path, "")
		require.Equal(t, test.status, response.StatusCode, "%s %s", test.method, test.path)
	}
}
