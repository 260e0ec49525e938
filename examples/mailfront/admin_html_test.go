package main

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/net/html"
)

// attributes returns the attributes of an element.
func attributes(n *html.Node) map[string]string {
	all := make(map[string]string)
	for _, a := range n.Attr {
		all[a.Key] = a.Val
	}
	return all
}

// elements returns the elements of a page with a name, in order. "*" is every name.
func elements(t *testing.T, page, name string) (found []*html.Node) {
	t.Helper()
	root, err := html.Parse(strings.NewReader(page))
	require.NoError(t, err)
	for n := range root.Descendants() {
		if n.Type == html.ElementNode && (name == "*" || n.Data == name) {
			found = append(found, n)
		}
	}
	return found
}

// requireAccessible checks the rules of accessibility that need no browser.
func requireAccessible(t *testing.T, page string) {
	t.Helper()
	require.Equal(t, "en", attributes(elements(t, page, "html")[0])["lang"])
	require.Len(t, elements(t, page, "main"), 1)
	require.Len(t, elements(t, page, "h1"), 1)
	require.NotEmpty(t, elements(t, page, "title")[0].FirstChild.Data)
	require.NotContains(t, page, "maximum-scale", "people may enlarge the page")
	var ids []string
	labelled := make(map[string]bool)
	focused := 0
	for _, n := range elements(t, page, "*") {
		a := attributes(n)
		if id := a["id"]; id != "" {
			require.NotContains(t, ids, id, "twice")
			ids = append(ids, id)
		}
		if n.Data == "label" {
			labelled[a["for"]] = true
		}
		if _, ok := a["autofocus"]; ok {
			focused++
		}
	}
	require.LessOrEqual(t, focused, 1)
	for _, n := range elements(t, page, "input") {
		a := attributes(n)
		if _, hidden := a["hidden"]; hidden || a["type"] == "hidden" {
			continue
		}
		require.True(t, labelled[a["id"]], "no label: %v", a)
		for id := range strings.FieldsSeq(a["aria-describedby"]) {
			require.Contains(t, ids, id)
		}
		if a["type"] == "password" {
			require.Contains(t, []string{"current-password", "new-password"}, a["autocomplete"])
		}
	}
	// Each field that is wrong refers to an alert.
	for _, n := range elements(t, page, "input") {
		a := attributes(n)
		if a["aria-invalid"] != "true" {
			continue
		}
		alerts := 0
		for _, described := range elements(t, page, "*") {
			if !slices.Contains(strings.Fields(a["aria-describedby"]), attributes(described)["id"]) {
				continue
			}
			for child := range described.Descendants() {
				if attributes(child)["role"] == "alert" {
					alerts++
				}
			}
		}
		require.Equal(t, 1, alerts, a["id"])
	}
}

// focusOf returns the id of the field that gets the focus.
func focusOf(t *testing.T, page string) string {
	t.Helper()
	for _, n := range elements(t, page, "input") {
		if a := attributes(n); slices.ContainsFunc(n.Attr, func(a html.Attribute) bool { return a.Key == "autofocus" }) {
			return a["id"]
		}
	}
	return ""
}

func TestFormAccessibility(t *testing.T) {
	s := newAdminSite(t, testBase, direct, nil)
	token := s.setupToken()
	get := func(path string) func() string {
		return func() string { _, page := s.do(http.MethodGet, path, ""); return page }
	}
	setUp := func(token, publicURL, password, again string) func() string {
		return func() string {
			_, page := s.Post("/admin/setup", url.Values{"token": {token}, "public_url": {publicURL}, "password": {password}, "password_again": {again}})
			return page
		}
	}
	for _, step := range []struct {
		name  string
		page  func() string
		focus string
		title string
	}{
		{name: "set-up", page: get("/admin"), focus: "token", title: "Set-up"},
		{name: "wrong token", page: setUp("wrong", testBase, "", ""), focus: "token", title: "Error: Set-up"},
		{name: "wrong URL", page: setUp(token, "http://192.0.2.10:8080", adminPassword, adminPassword), focus: "public_url", title: "Error: Set-up"},
		{name: "wrong password", page: setUp(token, testBase, "short", "short"), focus: "password", title: "Error: Set-up"},
		{name: "done", page: func() string { _, page := s.setUp(testBase, adminPassword); return page }, title: "Set-up complete"},
		{name: "sign-in", page: get("/admin"), focus: "password", title: "Sign in"},
		{name: "wrong sign-in", page: func() string { _, page := s.signInAdmin("wrong"); return page }, focus: "password", title: "Error: Sign in"},
		{name: "home", page: func() string { _, page := s.signInAdmin(adminPassword); return page }, title: "Administration"},
		{name: "wrong new URL", focus: "public_url", title: "Error: Administration", page: func() string {
			_, page := s.admin()
			target, form := s.fill(page, "/admin", "public_url", "public_url", "mail.example.test")
			_, page = s.Post(target, form)
			return page
		}},
		{name: "login", page: get(s.AuthURL("v")[len(testBase):]), focus: "username", title: "Sign in"},
		{name: "login with a hint", page: get(s.AuthURL("v", "login_hint", testAccount)[len(testBase):]), focus: "password", title: "Sign in"},
		{name: "wrong login", focus: "password", title: "Error: Sign in", page: func() string {
			action, form := s.Open(s.AuthURL("v", "login_hint", testAccount))
			form.Set("username", `"typed">@example.test`)
			form.Set("password", "wrong")
			_, page := s.Post(action, form)
			require.Contains(t, page, `value="&#34;typed&#34;&gt;@example.test"`, "the typed name, not the hint")
			return page
		}},
	} {
		page := step.page()
		require.Contains(t, page, "<title>"+step.title+" · ", step.name)
		require.Equal(t, step.focus, focusOf(t, page), step.name)
		requireAccessible(t, page)
	}
}

func TestSetUpConfirmation(t *testing.T) {
	for _, env := range []map[string]string{nil, {"MAILFRONT_MODE": "recovery"}} {
		s := newAdminSite(t, "http://127.0.0.1:8080", plain, env)
		response, _ := s.do(http.MethodGet, "/admin/setup", "")
		require.Equal(t, http.StatusSeeOther, response.StatusCode, "before the set-up")
		status, page := s.setUp(testBase, adminPassword)
		require.Equal(t, http.StatusOK, status)
		for _, text := range []string{testBase, "The password is set", "Start the reverse proxy", "go run ./examples/doctor " + testBase, `href="` + testBase + `/admin"`, ">Sign in</a>"} {
			require.Contains(t, page, text)
		}
		require.Equal(t, env != nil, strings.Contains(page, "Remove MAILFRONT_MODE"))
		for _, n := range elements(t, page, "*") {
			a := attributes(n)
			require.NotEqual(t, "alert", a["role"])
			require.NotContains(t, strings.Fields(a["class"]), "bad")
			require.NotContains(t, strings.Fields(a["class"]), "warn")
		}
		s.signInAdmin(adminPassword)
		response, _ = s.do(http.MethodGet, "/admin/setup", "")
		require.Equal(t, http.StatusSeeOther, response.StatusCode, "after the sign-in")
	}
}
