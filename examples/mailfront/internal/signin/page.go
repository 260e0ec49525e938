package signin

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"html/template"
	"net/http"
	"net/url"

	"github.com/seed-94e48765/portico/discovery"
	"github.com/seed-94e48765/portico/examples/mailfront/internal/webauth"
)

const pageStyle = `body{font:1rem/1.5 system-ui,sans-serif;max-width:24rem;margin:3rem auto;padding:0 1rem}
label,input,button{display:block;width:100%;box-sizing:border-box;font:inherit}
input,button{margin:.25rem 0 1rem;padding:.5rem}
[role=alert]{border-left:.25rem solid #b00;padding-left:.75rem}`

var pageTemplate = template.Must(template.New("sign-in").Parse(`<!DOCTYPE html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Sign in</title>
<style>{{.Style}}</style>
{{if .Problem}}<h1>This sign-in cannot go on</h1>
<p role="alert">{{.Problem}}</p>
{{else}}<h1>Sign in</h1>
<p>{{if .Application}}<strong><bdi>{{.Application}}</bdi></strong> asks you to sign in. {{end}}You will be sent to <strong><bdi>{{.Destination}}</bdi></strong>, which can then read and change your mail, calendars and contacts here.</p>
{{if .Failed}}<p role="alert">Wrong name or password.</p>
{{end}}<form method="post" action="{{.Action}}">
<input type="hidden" name="request" value="{{.Request}}">
<label for="username">Name</label>
<input id="username" name="username" type="text" autocomplete="username" autocapitalize="none" spellcheck="false" required value="{{.Username}}">
<label for="password">Password</label>
<input id="password" name="password" type="password" autocomplete="current-password" required autofocus>
<button type="submit">Sign in</button>
<button type="submit" name="cancel" value="1" formnovalidate>Cancel</button>
</form>
{{end}}</html>
`))

// pagePolicy allows nothing but our style. There is no form-action: browsers apply
// it to the redirect that follows the form, too, and that is the application's.
var pagePolicy = func() string {
	sum := sha256.Sum256([]byte(pageStyle))
	return "default-src 'none'; style-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'; base-uri 'none'; frame-ancestors 'none'"
}()

type page struct {
	Style                                                        template.CSS
	Problem, Application, Destination, Action, Request, Username string
	Failed                                                       bool
}

// showForm asks for the password. After a wrong one it is 403: the answer to 401
// would be another scheme of authentication.
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
	if len(sealed) > maxForm-2048 { // it comes back with name and password
		s.errorPage(w, r, http.StatusBadRequest, "The application's request is too long.")
		return
	}
	action, err := set.Base().Join(PasswordPath)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	status := http.StatusOK
	if form.failed {
		status = http.StatusForbidden
	}
	s.show(w, r, status, page{
		Application: form.client.Name,
		Destination: destination(form.Request.RedirectURI),
		Action:      action,
		Request:     sealed,
		Username:    form.Request.LoginHint,
		Failed:      form.failed,
	})
}

// destination is what a person can tell of a redirect URI.
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

// errorPage is for what cannot be told to the application, as nobody knows it.
func (s *Provider) errorPage(w http.ResponseWriter, r *http.Request, status int, problem string) {
	s.show(w, r, status, page{Problem: problem})
}

func (s *Provider) show(w http.ResponseWriter, r *http.Request, status int, p page) {
	p.Style = pageStyle
	var b bytes.Buffer
	if err := pageTemplate.Execute(&b, p); err != nil {
		s.fail(w, r, err)
		return
	}
	webauth.WritePage(w, status, pagePolicy, b.Bytes())
}
