// Package signin is an OpenID provider for one account: the authorization code grant with
// PKCE (RFC 6749, RFC 7636, OpenID Connect Core 1.0), refresh tokens, dynamic client
// registration (RFC 7591) and token introspection (RFC 7662).
//
// Every URL and the issuer are those of the current discovery.Set and never depend on the
// request. Nothing is kept before a password was right: until then the authorization request
// is in the form, sealed, and what an application registers is in its client id, sealed. A
// sign-in ends when its code or an old refresh token comes a second time, because one of the
// two senders has stolen it (RFC 6749 section 4.1.2, RFC 9700 section 4.14.2).
//
// Grants, codes, tokens and keys are in a store.Store, which several nodes may share. A code is
// taken from it once, and a refresh token is replaced by compare-and-swap.
//
// Copy with it: client, guard, store, webauth, webpage.
//
// What to change: the account and its claims; [BuiltInClient], which is for the demo; and the
// text of the page.
package signin

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/zitadel/oidc/v3/pkg/oidc"
	"github.com/zitadel/oidc/v3/pkg/op"

	"github.com/seed-94e48765/portico/discovery"
	"github.com/seed-94e48765/portico/examples/mailfront/internal/store"
	"github.com/seed-94e48765/portico/examples/mailfront/internal/webauth"
)

// The paths of the sign-in below the base. Those that the documents have are
// package discovery's defaults.
const (
	LoginPath    = "/login"          // the authorization endpoint, and the form
	PasswordPath = "/login/password" // where the form goes
)

const maxForm = 16 << 10 // bytes

// A Provider is the OpenID provider for the one account: authorization code with
// PKCE (RFC 6749, RFC 7636, OpenID Connect Core 1.0).
type Provider struct {
	auth        *webauth.Auth
	clients     map[string][]string // redirect URIs by client id
	current     func() *discovery.Set
	provider    *op.Provider // what issues tokens; its router is not used
	storage     *storage
	requestSeal op.Crypto // for authorization requests in the form
	clientSeal  op.Crypto // for registered clients
}

// New returns a Provider for the account of auth. clients has the redirect URIs of each client
// id, in addition to [BuiltInClient] and the clients that register themselves. What the Provider keeps
// is in st.
func New(auth *webauth.Auth, clients map[string][]string, st store.Store) (*Provider, error) {
	ring := &keys{store: st, restored: func(reason string) {
		auth.Log.Warn("put the signing keys into the store; users have to sign in again", "event", "keys_restored", "setting", "MAILFRONT_STORE", "reason", reason)
	}}
	tokenSeal := seal{ring, "token"}
	s := &Provider{auth: auth, clients: clients, current: auth.Current, requestSeal: seal{ring, "request"}, clientSeal: seal{ring, "client"}}
	s.storage = &storage{store: st, open: tokenSeal.Decrypt, client: s.client, keys: ring}
	issuer := func(bool) (op.IssuerFromRequest, error) {
		return func(*http.Request) string { return s.current().Issuer() }, nil
	}
	var err error
	s.provider, err = op.NewProvider(&op.Config{CodeMethodS256: true, GrantTypeRefreshToken: true}, s.storage, issuer, op.WithCrypto(tokenSeal))
	if err != nil {
		return nil, fmt.Errorf("signin: %w", err)
	}
	return s, nil
}

// Refresh takes the keys from the store, rotates them when it is time, and restores those that
// the store has lost. Several nodes that share a store call it every few seconds; otherwise a
// node may not notice that another one has replaced them.
func (s *Provider) Refresh(ctx context.Context) error {
	_, err := s.storage.keys.refresh(ctx)
	return err
}

// Routes registers the endpoints of the sign-in, on paths below the base.
func (s *Provider) Routes(mux *http.ServeMux) {
	mux.HandleFunc("GET "+LoginPath, s.authorize)
	mux.HandleFunc("POST "+LoginPath, s.authorize) // OpenID Connect Core 1.0 section 3.1.2.1
	mux.HandleFunc("POST "+PasswordPath, s.password)
	webauth.CrossOrigin(mux, "/auth/token", s.token, http.MethodPost)
	webauth.CrossOrigin(mux, "/auth/register", s.register, http.MethodPost)
	webauth.CrossOrigin(mux, "/auth/introspect", s.introspect, http.MethodPost)
	webauth.CrossOrigin(mux, "/auth/userinfo", s.userinfo, http.MethodGet, http.MethodPost)
	webauth.CrossOrigin(mux, "/auth/jwks.json", s.keys, http.MethodGet)
}

// fail answers a request that failed because of the server. While the store is away, the
// client may try again, and the owner of the store logs it once instead of with every request.
func (s *Provider) fail(w http.ResponseWriter, r *http.Request, err error) {
	if !errors.Is(err, store.ErrUnavailable) {
		s.auth.ServerError(w, r, err)
		return
	}
	w.Header().Set("Retry-After", webauth.RetryAfterOutage)
	http.Error(w, "The sign-in is not available at the moment.", http.StatusServiceUnavailable)
}

// away answers a request if the store cannot be reached. It is called before a password is
// asked for or compared.
func (s *Provider) away(w http.ResponseWriter, r *http.Request) bool {
	err := s.Refresh(r.Context())
	if err != nil {
		s.fail(w, r, err)
	}
	return err != nil
}

// authorize is the authorization endpoint. A request that is wrong in its client or
// redirect URI is answered here, every other one at the redirect URI (RFC 6749
// section 4.1.2.1).
func (s *Provider) authorize(w http.ResponseWriter, r *http.Request) {
	set := s.current()
	if s.away(w, r) {
		return
	}
	r.Body = http.MaxBytesReader(w, r.Body, maxForm)
	request, err := op.ParseAuthorizeRequest(r, s.provider.Decoder())
	if err == nil && repeated(r.Form) {
		err = oidc.ErrInvalidRequest().WithDescription("a parameter is there twice")
	}
	if err != nil {
		s.errorPage(w, r, http.StatusBadRequest, oidc.DefaultToServerError(err, "the request cannot be read").Description)
		return
	}
	client, err := s.client(request.ClientID)
	if isStoreError(err) {
		s.fail(w, r, err)
		return
	}
	if err != nil {
		s.errorPage(w, r, http.StatusBadRequest, "This server does not know the application: its client_id is wrong, or it registered before the server was restarted.")
		return
	}
	if !client.redirectsTo(request.RedirectURI) {
		s.errorPage(w, r, http.StatusBadRequest, "The application requests an answer at an address (redirect_uri) that is not registered for it.")
		return
	}
	client.Redirect = []string{request.RedirectURI} // with its port
	ctx := op.ContextWithIssuer(r.Context(), set.Issuer())
	if len(request.Scopes) == 0 {
		request.Scopes = []string{oidc.ScopeOpenID} // RFC 6749 section 3.3 wants a default
	}
	_, err = op.ValidateAuthRequestClient(ctx, request, client, s.provider.IDTokenHintVerifier(ctx))
	if err == nil {
		err = checkRequest(request, r.Form)
	}
	if err != nil {
		e := oidc.DefaultToServerError(err, "the request cannot be checked")
		if client.selfRegistered {
			// Anybody can register anything. A redirect that no person has agreed to
			// would make us an open redirector (RFC 9700 section 4.11.2).
			s.errorPage(w, r, http.StatusBadRequest, "The application's request is wrong: "+e.Description)
			return
		}
		s.redirectError(w, r, set, request, e)
		return
	}
	if !strings.HasPrefix(set.Base().Origin(), "https:") && s.refusePlaintext(w, r) {
		return // the form would be sent unencrypted, too
	}
	s.showForm(w, r, set, loginForm{Request: request, Expires: time.Now().Add(loginLifetime), client: client})
}

// checkRequest is what package op leaves to us.
func checkRequest(request *oidc.AuthRequest, form url.Values) error {
	failed := oidc.ErrInvalidRequest()
	switch {
	case request.RequestParam != "":
		return oidc.ErrRequestNotSupported()
	case form.Has("request_uri"):
		failed.ErrorType = "request_uri_not_supported" // OpenID Connect Core 1.0 section 3.1.2.6
		return failed
	case request.CodeChallenge == "" || request.CodeChallengeMethod != oidc.CodeChallengeMethodS256:
		return failed.WithDescription("PKCE is required: code_challenge with code_challenge_method S256") // RFC 7636 section 4.4.1
	case len(request.CodeChallenge) != 43: // of a SHA-256
		return failed.WithDescription("code_challenge is not an S256 challenge")
	case request.ResponseMode != "" && request.ResponseMode != oidc.ResponseModeQuery && request.ResponseMode != oidc.ResponseModeFragment:
		return failed.WithDescription("response_mode is not supported: use query or fragment")
	case slices.Contains(request.Prompt, oidc.PromptNone):
		return oidc.ErrLoginRequired().WithDescription("no user is signed in here: every sign-in requires the password")
	}
	return nil
}

// repeated reports whether a parameter is there twice, which RFC 6749 section 3.1
// forbids; RFC 8707 section 2 lets resource be.
func repeated(form url.Values) bool {
	for name, values := range form {
		if len(values) > 1 && name != "resource" {
			return true
		}
	}
	return false
}
