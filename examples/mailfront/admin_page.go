// What to copy: parsePublicURL, which every URL that a page proposes has passed. What to
// change: the files in the folder admin. Its sections with a file of their own, such as
// limits.html, are parts of home.html.

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

	URLDetail string // the part of the error that names the character
	Done      string // what was changed
	Wait      string // when to try again
	Focus     string // the id of the first field that is empty or wrong

	Token, URL string // as they were typed
	CSRF       string

	Published string // the base; "" while there is none
	Pages     string // the paths of checkNoPage, for the script
	Browser   string // the URL by which the administrator signed in
	Proposal  string // the same, if it can be the public URL for other machines
	Differs   bool   // Browser is not the public URL
	StateFile string
	Shared    bool     // the state is in the store
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

// newPage returns what every view shows. Before the sign-in that is only what the public
// documents have, too.
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

// complete adds what only the administrator may see, or the person with the set-up token.
func (a *admin) complete(p *adminPageData, r *http.Request) {
	p.StateFile, p.Shared = a.f.cfg.stateFile.path, a.shared()
	p.Settings = a.f.cfg.settingsThatWin(p.now.state)
	if p.session == nil {
		return
	}
	p.CSRF, p.Browser = p.session.CSRF, p.session.Browser
	if base, err := parsePublicURL(p.Browser); err == nil {
		p.Browser = base.String()
		if !isLoopbackURL(p.Browser) || isLoopbackURL(p.Published) { // other machines cannot use it
			p.Proposal = p.Browser
		}
	}
	p.Differs = p.Browser != "" && p.Browser != p.Published
	if p.URL == "" {
		p.URL = p.Published
	}
	p.Client = client.FromRequest(r)
	p.Limits = a.limits()
	p.AddressBy = a.f.addressLearned(p.Client)
	p.TLSBy = a.f.tlsLearned(p.Client)
	if report := a.lastReport.Load(); report != nil && report.Base == p.set.Issuer() {
		p.Report = report // of this public URL
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
				p.URL = base.String() // of the store
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

// firstField returns the id of the first field that is empty or wrong. The page of the
// signed-in administrator has none without an error: the focus would skip the top of it.
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

// settingsThatWin returns sentences about settings that override the page at the next start.
func (cfg *config) settingsThatWin(kept state) (sentences []string) {
	if s := cfg.publicURL; s.Text != "" {
		text := s.From + " is " + s.Text + ". It overrides the public URL of this page at every start"
		if kept.PublicURL != "" {
			text += " (saved: " + kept.PublicURL + ")"
		}
		sentences = append(sentences, text+". Change or remove that setting.")
	}
	if s := cfg.modeSetting; s.Text != "" && cfg.mode != modeNormal {
		sentences = append(sentences, s.From+" is "+s.Text+". Remove it before the next start, which would ask for a set-up again.")
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

// ClientWord is the client's address, or that it is not known.
func (p *adminPageData) ClientWord() string {
	if !p.Client.Known {
		return "not known"
	}
	return p.Client.IP.String()
}

// URLState is the class of the section that compares the browser's URL with the public URL.
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

// Scheme is http or https, for the sentence about what differs.
func (p *adminPageData) Scheme() string {
	scheme, _, _ := strings.Cut(p.Published, ":")
	return scheme
}
