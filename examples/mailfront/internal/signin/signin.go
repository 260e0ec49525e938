// Package signin is an OpenID provider for one account: the authorization code grant with
// PKCE (RFC 6749, RFC 7636, OpenID Connect Core 1.0), refresh tokens, dynamic client
// registration (RFC 7591) and token introspection (RFC 7662).
//
// Every URL and the issuer come from the current discovery.Set and never depend on the request.
// Nothing is stored before a password was right: until then the form contains the sealed
// authorization request, and a client id contains the sealed registration of an application. A
// sign-in ends when its code or an old refresh token is used a second time, because one of the
// two senders has stolen it (RFC 6749 section 4.1.2, RFC 9700 section 4.14.2).
//
// Grants, codes, tokens and keys are in a store.Store, which several nodes may share. A code is taken
// from the store once. A refresh token is replaced by compare-and-swap.
//
// Copy with it: client, guard, store, webauth, webpage.
//
// Change the account and its claims, [BuiltInClient], which is for the demo, and the text of the page.
package signin

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/zitadel/oidc/v3/pkg/oidc"
	"github.com/zitadel/oidc/v3/pkg/op"

	"github.com/seed-94e48765/portico/discovery"
	"github.com/seed-94e48765/portico/examples/mailfront/internal/client"
	"github.com/seed-94e48765/portico/examples/mailfront/internal/store"
	"github.com/seed-94e48765/portico/examples/mailfront/internal/webauth"
)

// The paths of the sign-in below the base. The paths in the documents are the defaults of package
// discovery.
const (
	LoginPath    = "/login"          // authorization endpoint; shows the form
	PasswordPath = "/login/password" // action of the form
)

const maxForm = 16 << 10 // bytes

// A Provider is the OpenID provider for the only account: authorization code with PKCE (RFC 6749, RFC
// 7636, OpenID Connect Core 1.0).
type Provider struct {
	auth        *webauth.Auth
	clients     map[string][]string // redirect URIs by client id
	current     func() *discovery.Set
	provider    *op.Provider // issues tokens; its router is not used
	storage     *storage
	requestSeal op.Crypto // for authorization requests in the form
	clientSeal  op.Crypto // for registered clients
}

// New returns a Provider for the account of auth. clients has the redirect URIs of each client id, in
// addition to [BuiltInClient] and the clients that register themselves. The Provider keeps its data in
// st.
func New(auth *webauth.Auth, clients map[string][]string, st store.Store) (*Provider, error) {
	ring := &keys{store: st, restored: func(reason string) {
		auth.Log.Warn("wrote the signing keys back to the store; users have to sign in again", "event", "keys_restored", "setting", "MAILFRONT_STORE", "reason", reason)
	}}
	tokenSeal := seal{ring, "token"}
	s := &Provider{auth: auth, clients: clients, current: auth.Current, requestSeal: seal{ring, "request"}, clientSeal: seal{ring, "client"}}
	limited := client.NewLimitedLog(auth.Log)
	s.storage = &storage{store: st, open: tokenSeal.Decrypt, client: s.client, keys: ring, ended: func(err error) {
		limited.Warn("a sign-in has ended because its secret was removed; the user has to sign in again", "sign_in_sealed", "any",
			slog.String("reason", err.Error()), slog.String("setting", "MAILFRONT_SECRET"),
			slog.String("advice", "if users should not have to sign in again, add the old secret to the end of the list"))
	}}
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

// Refresh loads the keys from the store, rotates them if a change is due, and restores those
// that the store has lost. Nodes that share a store must call it every few seconds, so that each
// one detects that another one has replaced the keys.
func (s *Provider) Refresh(ctx context.Context) error {
	_, err := s.storage.keys.refresh(ctx)
	return err
}

// Routes registers the endpoints of the sign-in at paths below the base.
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

// fail answers a request that failed because of the server. While the store is not available,
// the client may try again. The owner of the store logs that once, instead of once for every
// request.
func (s *Provider) fail(w http.ResponseWriter, r *http.Request, err error) {
	if !errors.Is(err, store.ErrUnavailable) {
		s.auth.ServerError(w, r, err)
		return
	}
	w.Header().Set("Retry-After", webauth.RetryAfterOutage)
	http.Error(w, "The sign-in is not available at the moment.", http.StatusServiceUnavailable)
}

// away answers a request if the store cannot be reached. It is called before a password is
// requested or compared.
func (s *Provider) away(w http.ResponseWriter, r *http.Request) bool {
	err := s.Refresh(r.Context())
	if err != nil {
		s.fail(w, r, err)
	}
	return err != nil
}

// authorize handles the authorization endpoint. An error in the client or the redirect URI is answered
// directly. Every other error is sent to the redirect URI (RFC 6749 section 4.1.2.1).
func (s *Provider) authorize(w http.ResponseWriter, r *http.Request) {
	set := s.current()
	if s.away(w, r) {
		return
	}
	r.Body = http.MaxBytesReader(w, r.Body, maxForm)
	request, err := op.ParseAuthorizeRequest(r, s.provider.Decoder())
	if err == nil && repeated(r.Form) {
		err = oidc.ErrInvalidRequest().WithDescription("duplicate parameter")
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
		request.Scopes = []string{oidc.ScopeOpenID} // RFC 6749 section 3.3 requires a default
	}
	_, err = op.ValidateAuthRequestClient(ctx, request, client, s.provider.IDTokenHintVerifier(ctx))
	if err == nil {
		err = checkRequest(request, r.Form)
	}
	if err != nil {
		e := oidc.DefaultToServerError(err, "the request cannot be checked")
		if client.selfRegistered {
			// Everyone can register a client. A redirect without the consent of a person would
			// make this server an open redirector (RFC 9700 section 4.11.2).
			s.errorPage(w, r, http.StatusBadRequest, "The application's request is wrong: "+e.Description)
			return
		}
		s.redirectError(w, r, set, request, e)
		return
	}
	if !strings.HasPrefix(set.Base().Origin(), "https:") && s.refusePlaintext(w, r) {
		return // the form would be sent unencrypted
	}
	s.showForm(w, r, set, loginForm{Request: request, Expires: time.Now().Add(loginLifetime), client: client})
}

// checkRequest makes the checks that package op leaves to its caller.
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
	case len(request.CodeChallenge) != 43: // length of an encoded SHA-256
		return failed.WithDescription("code_challenge is not an S256 challenge")
	case request.ResponseMode != "" && request.ResponseMode != oidc.ResponseModeQuery && request.ResponseMode != oidc.ResponseModeFragment:
		return failed.WithDescription("response_mode is not supported: use query or fragment")
	case slices.Contains(request.Prompt, oidc.PromptNone):
		return oidc.ErrLoginRequired().WithDescription("no user is signed in here: every sign-in requires the password")
	}
	return nil
}

// repeated reports whether a parameter is duplicate, which RFC 6749 section 3.1 forbids. RFC 8707
// section 2 allows several values of resource.
func repeated(form url.Values) bool {
	for name, values := range form {
		if len(values) > 1 && name != "resource" {
			return true
		}
	}
	return false
}
