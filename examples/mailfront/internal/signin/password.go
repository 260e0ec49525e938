package signin

import (
	"encoding/json"
	"errors"
	"net/http"
	"time"

	"github.com/zitadel/oidc/v3/pkg/oidc"
	"github.com/zitadel/oidc/v3/pkg/op"

	"github.com/seed-94e48765/portico/discovery"
	"github.com/seed-94e48765/portico/examples/mailfront/internal/webauth"
)

const loginLifetime = 15 * time.Minute // from the form to the password

// A loginForm has the data of the page that is sealed in the form.
type loginForm struct {
	Request *oidc.AuthRequest
	Expires time.Time

	client   *application
	failed   bool
	username string // as entered, if failed
}

// password handles the form. A page of another site cannot misuse it: there is no session
// cookie, the form needs the password, and the code goes to the sealed redirect URI, where state
// and PKCE bind it to the browser that began the sign-in. A form from another site is rejected
// nevertheless.
func (s *Provider) password(w http.ResponseWriter, r *http.Request) {
	set := s.current()
	if fromBrowser := r.Header.Get("Origin") != "" || r.Header.Get("Sec-Fetch-Site") != ""; fromBrowser && webauth.OtherSite(r, set.Base()) {
		s.errorPage(w, r, http.StatusForbidden, "The form came from another site. Go back to the application and sign in again.")
		return
	}
	if s.refusePlaintext(w, r) || s.away(w, r) {
		return
	}
	r.Body = http.MaxBytesReader(w, r.Body, maxForm)
	if err := r.ParseForm(); err != nil {
		s.errorPage(w, r, http.StatusBadRequest, "The server cannot read the form. Go back to the application and sign in again.")
		return
	}
	form, err := s.openForm(r.PostForm.Get("request"))
	if isStoreError(err) {
		s.fail(w, r, err)
		return
	}
	if err != nil {
		s.errorPage(w, r, http.StatusBadRequest, "This page is too old. Go back to the application and sign in again.")
		return
	}
	if r.PostForm.Has("cancel") {
		s.redirectError(w, r, set, form.Request, oidc.ErrAccessDenied())
		return
	}
	err = s.auth.LogIn(r, r.PostForm.Get("username"), r.PostForm.Get("password"))
	if errors.Is(err, webauth.ErrWrong) {
		form.failed, form.username = true, r.PostForm.Get("username")
		s.showForm(w, r, set, *form)
		return
	}
	if err != nil {
		s.errorPage(w, r, webauth.RetryLater(w, err), "There were too many wrong passwords or sign-ins from your address.")
		return
	}
	g := &grant{Subject: s.auth.Account, Request: form.Request}
	if err := s.storage.add(r.Context(), g); err != nil {
		s.fail(w, r, err)
		return
	}
	code, err := op.CreateAuthRequestCode(r.Context(), codeRequest{signedIn{g}}, s.storage, s.provider.Crypto())
	if err != nil {
		s.fail(w, r, err)
		return
	}
	s.redirect(w, r, form.Request, &authorizationResponse{Code: code, State: form.Request.State, Issuer: responseIssuer(set)})
}

// refusePlaintext answers a password on an unencrypted connection with an error page.
func (s *Provider) refusePlaintext(w http.ResponseWriter, r *http.Request) bool {
	if !s.auth.IsPlaintext(r) {
		return false
	}
	s.errorPage(w, r, http.StatusForbidden, "This connection is not encrypted, so the server does not accept passwords on it. Open this page with https.")
	return true
}

func (s *Provider) openForm(sealed string) (*loginForm, error) {
	text, err := s.requestSeal.Decrypt(sealed)
	if err != nil {
		return nil, err
	}
	form := new(loginForm)
	if err := json.Unmarshal([]byte(text), form); err != nil {
		return nil, err
	}
	if time.Now().After(form.Expires) {
		return nil, errNoGrant
	}
	form.client, err = s.client(form.Request.ClientID)
	return form, err
}

// An authorizationResponse is the response to the client (RFC 6749 sections 4.1.2 and 4.1.2.1),
// with iss (RFC 9207 section 2).
type authorizationResponse struct {
	Code        string `schema:"code,omitempty"`
	Error       string `schema:"error,omitempty"`
	Description string `schema:"error_description,omitempty"`
	State       string `schema:"state,omitempty"`
	Issuer      string `schema:"iss,omitempty"`
}

// responseIssuer returns iss, which is a URL (RFC 9207 section 2), or "" to omit it.
func responseIssuer(set *discovery.Set) string {
	if set.Base().IsRelative() {
		return ""
	}
	return set.Issuer()
}

func (s *Provider) redirectError(w http.ResponseWriter, r *http.Request, set *discovery.Set, request *oidc.AuthRequest, e *oidc.Error) {
	if e.IsRedirectDisabled() {
		s.errorPage(w, r, http.StatusBadRequest, e.Description)
		return
	}
	s.redirect(w, r, request, &authorizationResponse{
		Error: string(e.ErrorType), Description: e.Description, State: request.State, Issuer: responseIssuer(set),
	})
}

// redirect redirects with status 303, so that the browser does not send the password again (RFC 9700
// section 4.12).
func (s *Provider) redirect(w http.ResponseWriter, r *http.Request, request *oidc.AuthRequest, answer *authorizationResponse) {
	mode := oidc.ResponseModeQuery
	if request.ResponseMode == oidc.ResponseModeFragment {
		mode = oidc.ResponseModeFragment
	}
	to, err := op.AuthResponseURL(request.RedirectURI, request.ResponseType, mode, answer, s.provider.Encoder())
	if err != nil {
		s.auth.ServerError(w, r, err)
		return
	}
	webauth.NoStore(w)
	w.Header().Set("Referrer-Policy", "no-referrer")
	w.Header().Set("Location", to)
	w.WriteHeader(http.StatusSeeOther)
}
