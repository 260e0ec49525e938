// Copy parsePublicURL, which accepts every URL that a page proposes. Change the files in the
// folder admin. Sections with a file of their own, such as limits.html, are parts of home.html.

package main

import (
	"cmp"
	"embed"
	"html/template"
	"net/http"
	"net/netip"
	"net/url"
	"strings"

	"github.com/seed-94e48765/portico/discovery"
	"github.com/seed-94e48765/portico/examples/mailfront/internal/client"
	"github.com/seed-94e48765/portico/examples/mailfront/internal/webpage"
)

var (
	//go:embed admin/*.html
	adminHTML embed.FS
	//go:embed admin/script.js
	adminScript string

	adminTemplates = webpage.Parse(adminHTML, "admin/*.html")
)

var adminPolicy = webpage.Policy(adminScript) + "; form-action 'self'"

// adminTitles has the titles of the views.
var adminTitles = map[string]string{
	"setup":            "Set-up",
	"done":             "Set-up complete",
	"sign-in":          "Sign in",
	"no-administrator": "No administrator yet",
	"failed":           "This did not work",
	"home":             "Administration",
	"debug":            "Connections",
}

// adminPageData is the data of the templates.
type adminPageData struct {
	webpage.Page
	View string

	Problem, TokenProblem, URLProblem, PasswordProblem string

	URLDetail string // the part of the error that names the invalid character
	Done      string // confirmation of a change
	Wait      string // when to try again
	Focus     string // id of the first field that is empty or invalid

	Token, URL string // as entered
	CSRF       string

	Published string // the public base URL; "" if it is not set
	Pages     string // the paths that checkNoPage rejects, for the script
	Browser   string // the URL by which the administrator signed in
	Proposal  string // Browser, if other machines can use it as the public URL
	Differs   bool   // Browser differs from the public URL
	StateFile string
	Shared    bool     // the state is in the shared store
	Settings  []string // sentences about settings that override this page
	Recovery  bool

	Client     client.Client
	AddressBy  string
	TLSBy      string
	Report     *verifyResult
	Statistics []statistics
	Limits     *limitsView

	now     *adminState
	set     *discovery.Set
	session *adminSession
}

// newPage returns the data that every view shows. Before the sign-in it contains only data that
// the public documents contain, too.
func (a *admin) newPage(r *http.Request) *adminPageData {
	p := &adminPageData{
		Page:  webpage.Page{Script: template.JS(adminScript), Root: "../" + adminPath[1:]},
		Pages: strings.Join(pages, " "),
		now:   a.now.Load(), set: a.f.documents.Current(),
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

// complete adds the data for the administrator and for holders of the set-up token.
func (a *admin) complete(p *adminPageData, r *http.Request) {
	p.StateFile, p.Shared = a.f.cfg.stateFile.path, a.shared()
	p.Settings = a.f.cfg.overridingSettings(p.now.state)
	if p.session == nil {
		return
	}
	p.CSRF, p.Browser = p.session.CSRF, p.session.Browser
	if base, err := parsePublicURL(p.Browser); err == nil {
		p.Browser = base.String()
		if !isLoopbackURL(p.Browser) || isLoopbackURL(p.Published) { // no other machine can use Browser
			p.Proposal = p.Browser
		}
	}
	p.Differs = p.Browser != "" && p.Browser != p.Published
	if p.URL == "" {
		p.URL = p.Published
	}
	p.Client = client.FromRequest(r)
	p.Limits = a.limits()
	p.AddressBy = a.f.addressSource(p.Client)
	p.TLSBy = a.f.tlsSource(p.Client)
	if report := a.lastReport.Load(); report != nil && report.Base == p.set.Issuer() {
		p.Report = report // a report on the current public URL
	}
}

// show writes a view.
func (a *admin) show(w http.ResponseWriter, r *http.Request, status int, view string, p *adminPageData) {
	switch {
	case view == "setup":
		a.complete(p, r)
		if p.URL == "" && p.URLProblem == "" {
			p.URL = a.f.cfg.present
			if base, err := parsePublicURL(p.now.PublicURL); p.URL == "" && err == nil {
				p.URL = base.String() // the public URL in the store
			}
		}
	case view == "done":
		p.StateFile, p.Shared = a.f.cfg.stateFile.path, a.shared()
	case p.session != nil:
		a.complete(p, r)
	}
	p.View, p.Title, p.Wait = view, cmp.Or(p.Title, adminTitles[view]), webpage.Wait(w.Header())
	if view == "setup" && p.Recovery {
		p.Title = "Recovery"
	}
	p.Narrow = view == "sign-in" || view == "failed"
	p.Focus, p.Failed = p.firstField(), p.TokenProblem+p.URLProblem+p.PasswordProblem != ""
	if err := webpage.Write(w, status, adminPolicy, adminTemplates, view, p); err != nil {
		a.f.api.ServerError(w, r, err)
	}
}

// firstField returns the id of the first field that is empty or invalid. On the page of the
// signed-in administrator it returns one only after an error, because the focus would scroll past
// the top of that page.
func (p *adminPageData) firstField() string {
	switch {
	case p.View == "home" && p.URLProblem == "":
		return ""
	case p.View == "setup" && (p.Token == "" || p.TokenProblem != ""):
		return "token"
	case p.URL == "" || p.URLProblem != "":
		return "public_url"
	}
	return "password"
}

// overridingSettings returns sentences about settings that override this page at the next start.
func (cfg *config) overridingSettings(kept state) (sentences []string) {
	if s := cfg.publicURL; s.Text != "" {
		text := s.From + " is " + s.Text + ". It overrides the public URL of this page at every start"
		if kept.PublicURL != "" {
			text += " (saved: " + kept.PublicURL + ")"
		}
		sentences = append(sentences, text+". Change or remove that setting.")
	}
	if s := cfg.modeSetting; s.Text != "" && cfg.mode != modeNormal {
		sentences = append(sentences, s.From+" is "+s.Text+". Remove it before the next start. Otherwise the next start requires a set-up again.")
	}
	return sentences
}

// TLSText returns "yes", "no" or "not known".
func (p *adminPageData) TLSText() string {
	if !p.Client.TLSKnown {
		return "not known"
	}
	return yesNo(p.Client.TLS)
}

// ClientText returns the client's address, or a text if it is not known.
func (p *adminPageData) ClientText() string {
	if !p.Client.Known {
		return "not known"
	}
	return p.Client.IP.String()
}

// URLState returns the CSS class of the section that compares the browser's URL with the public
// URL.
func (p *adminPageData) URLState() string {
	switch {
	case p.Browser == "":
		return "unknown"
	case !p.Differs:
		return "good"
	case isLoopbackURL(p.Browser):
		return "local"
	}
	return "bad"
}

// isLoopbackURL reports whether a URL refers to the machine of the browser.
func isLoopbackURL(text string) bool {
	u, err := url.Parse(text)
	if err != nil {
		return false
	}
	ip, err := netip.ParseAddr(u.Hostname())
	return err == nil && ip.IsLoopback() || u.Hostname() == "localhost" || strings.HasSuffix(u.Hostname(), ".localhost")
}

// Scheme returns "http" or "https", for the sentence about a different scheme.
func (p *adminPageData) Scheme() string {
	scheme, _, _ := strings.Cut(p.Published, ":")
	return scheme
}
