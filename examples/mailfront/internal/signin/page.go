package signin

import (
	"embed"
	"encoding/json"
	"net/http"
	"net/url"

	"github.com/seed-94e48765/portico/discovery"
	"github.com/seed-94e48765/portico/examples/mailfront/internal/webpage"
)

var (
	//go:embed page.html
	pageHTML embed.FS

	pageTemplates = webpage.Parse(pageHTML, "page.html")
	pagePolicy    = webpage.Policy("")
)

// A page has the data of page.html.
type page struct {
	webpage.Page
	Host                                                string // host of the public URL
	Application, Destination, Action, Request, Username string
}

// showForm shows the form. After a wrong password the status is 403, because 401 requires an HTTP
// authentication scheme.
func (s *Provider) showForm(w http.ResponseWriter, r *http.Request, set *discovery.Set, form loginForm) {
	text, err := json.Marshal(form)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	sealed, err := s.requestSeal.Encrypt(string(text))
	if err != nil {
		s.fail(w, r, err)
		return
	}
	if len(sealed) > maxForm-2048 { // the form returns it with name and password
		s.errorPage(w, r, http.StatusBadRequest, "The application's request is too long.")
		return
	}
	action, err := set.Base().Join(PasswordPath)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	p := page{
		Page:        webpage.Page{Title: "Sign in", Narrow: true},
		Host:        set.Base().Host(),
		Application: form.client.Name,
		Destination: destination(form.Request.RedirectURI),
		Action:      action,
		Request:     sealed,
		Username:    form.Request.LoginHint,
	}
	status := http.StatusOK
	if form.failed {
		status = http.StatusForbidden
		p.Failed, p.Username = true, form.username
	}
	if err := webpage.Write(w, status, pagePolicy, pageTemplates, "sign-in", p); err != nil {
		s.fail(w, r, err)
	}
}

// destination returns the part of a redirect URI that is meaningful to a person.
func destination(uri string) string {
	u, err := url.Parse(uri)
	switch {
	case err != nil:
		return uri
	case u.Host == "":
		return u.Scheme + ":"
	}
	return u.Host
}

// errorPage answers with an error page instead of a redirect, because the redirect URI is not
// known or not trusted.
func (s *Provider) errorPage(w http.ResponseWriter, r *http.Request, status int, problem string) {
	webpage.WriteProblem(w, r, status, "This sign-in cannot continue", problem)
}
