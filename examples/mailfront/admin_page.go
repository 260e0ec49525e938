// What to copy: the policy, which allows one style sheet and one script by their
// hashes, so that nothing that finds its way into the page can run. What to change:
// the files in the folder admin.

package main

import (
	"bytes"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"html/template"
	"net/http"
	"strings"

	"github.com/seed-94e48765/portico/discovery"
	"github.com/seed-94e48765/portico/examples/mailfront/internal/client"
	"github.com/seed-94e48765/portico/examples/mailfront/internal/webauth"
)

var (
	//go:embed admin/pages.html
	adminHTML string
	//go:embed admin/style.css
	adminStyle string
	//go:embed admin/script.js
	adminScript string

	adminTemplates = template.Must(template.New("").Parse(adminHTML))
)

var adminPolicy = "default-src 'none'; style-src " + sourceHash(adminStyle) + "; script-src " + sourceHash(adminScript) +
	"; img-src data:; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"

func sourceHash(source string) string {
	sum := sha256.Sum256([]byte(source))
	return "'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"
}

// adminPageData is what the templates know.
type adminPageData struct {
	Style  template.CSS
	Script template.JS
	Root   string // of relative links: the page itself

	Problem, TokenProblem, URLProblem, PasswordProblem string

	Token, URL string // as they were typed
	CSRF       string

	Published string // the base; "" while there is none
	Browser   string // the origin by which the administrator signed in
	Differs   bool   // that it is another one than the published one's
	StateFile string
	Shared    bool     // the state is in the store
	Settings  []string // of the environment, and what they mean for this page
	Recovery  bool

	Client     client.Client
	AddressBy  string
	TLSBy      string
	Report     *verifyResult
	Statistics []statistics

	now     *adminState
	set     *discovery.Set
	session *adminSession
}

// newPage has what every view shows. Before the sign-in that is only what everybody
// can find in the documents.
func (a *admin) newPage(r *http.Request) *adminPageData {
	p := &adminPageData{
		Style: template.CSS(adminStyle), Script: template.JS(adminScript),
		Root: "../" + adminPath[1:],
		now:  a.now.Load(), set: a.f.documents.Current(),
		Recovery: a.f.cfg.mode == modeRecovery,
	}
	p.session, _ = r.Context().Value(adminSessionKey{}).(*adminSession)
	if r.URL.Path == adminPath {
		p.Root = adminPath[1:]
	}
	if base := p.set.Base(); !base.IsRelative() {
		p.Published = base.String()
	}
	return p
}

// complete adds what is for the administrator, or for who sets up.
func (a *admin) complete(p *adminPageData, r *http.Request) {
	p.StateFile, p.Shared = a.f.cfg.stateFile.path, a.shared()
	p.Settings = a.f.cfg.settingsThatWin(p.now.state)
	if p.session == nil {
		return
	}
	p.CSRF, p.Browser = p.session.CSRF, p.session.Origin
	p.Differs = p.Browser != "" && !p.set.Base().SameOrigin(p.Browser)
	if p.URL == "" {
		p.URL = p.Published
	}
	p.Client = client.FromRequest(r)
	p.AddressBy = a.f.addressLearned(p.Client)
	p.TLSBy = a.f.tlsLearned(p.Client)
	if report := a.lastReport.Load(); report != nil && report.Base == p.set.Issuer() {
		p.Report = report // of this public URL
	}
}

// show writes a view. Problems have a status of their own, so that programs see
// them, too.
func (a *admin) show(w http.ResponseWriter, r *http.Request, status int, view string, p *adminPageData) {
	if view == "setup" || p.session != nil {
		a.complete(p, r)
	}
	var b bytes.Buffer
	if err := adminTemplates.ExecuteTemplate(&b, view, p); err != nil {
		a.f.api.ServerError(w, r, err)
		return
	}
	w.Header().Set("Cross-Origin-Opener-Policy", "same-origin")
	webauth.WritePage(w, status, adminPolicy, b.Bytes())
}

// settingsThatWin are sentences about what is set outside, and wins at the next
// start.
func (cfg *config) settingsThatWin(kept state) (sentences []string) {
	if s := cfg.publicURL; s.Text != "" {
		text := s.From + " is " + s.Text + ". At every start it wins over what is set here"
		if kept.PublicURL != "" {
			text += " (" + kept.PublicURL + ")"
		}
		sentences = append(sentences, text+": change it there, or remove it.")
	}
	if s := cfg.modeSetting; s.Text != "" && cfg.mode != modeNormal {
		sentences = append(sentences, s.From+" is "+s.Text+". Remove it when the set-up is done: the next start would ask for a set-up again.")
	}
	return sentences
}

// TLSWord is yes, no or not known.
func (p *adminPageData) TLSWord() string {
	if !p.Client.TLSKnown {
		return "not known"
	}
	return yesNo(p.Client.TLS)
}

// ClientWord is the client's address, if it is the client's.
func (p *adminPageData) ClientWord() string {
	if !p.Client.Known {
		return "not known"
	}
	return p.Client.IP.String()
}

// Scheme is http or https, for the sentence about what differs.
func (p *adminPageData) Scheme() string {
	scheme, _, _ := strings.Cut(p.Published, ":")
	return scheme
}
