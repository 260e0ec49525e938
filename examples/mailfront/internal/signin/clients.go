package signin

import (
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/zitadel/oidc/v3/pkg/oidc"
	"github.com/zitadel/oidc/v3/pkg/op"

	"github.com/seed-94e48765/portico/examples/mailfront/internal/webauth"
)

// BuiltInClient is the client id of a native application on the user's machine. It may use every
// redirect URI on loopback (RFC 8252 section 7.3).
const BuiltInClient = "mailfront-demo"

const (
	maxRegistration = 16 << 10 // bytes of a registration
	maxRedirectURIs = 5
	maxRedirectSize = 512 // bytes of a redirect URI
	maxClientName   = 64  // characters
)

// An application is a public client without a client secret. PKCE binds a code to the application that
// requested it (RFC 9700 section 2.1.1).
type application struct {
	ID          string   `json:"-"`
	Name        string   `json:"client_name,omitempty"`
	Redirect    []string `json:"redirect_uris"`
	anyLoopback bool

	selfRegistered bool // registered itself, with a redirect URI that is not on loopback
}

// client returns the application with the given client id.
func (s *Provider) client(id string) (*application, error) {
	if id == BuiltInClient {
		return &application{ID: id, Name: "An application on this device", anyLoopback: true}, nil
	}
	if uris, ok := s.clients[id]; ok {
		return &application{ID: id, Name: id, Redirect: uris}, nil
	}
	c := &application{ID: id}
	text, err := s.clientSeal.Decrypt(id)
	if isStoreError(err) {
		return nil, err
	}
	if err != nil || json.Unmarshal([]byte(text), c) != nil {
		return nil, oidc.ErrInvalidClient().WithDescription("the client_id is unknown: register the client again")
	}
	c.selfRegistered = slices.ContainsFunc(c.Redirect, func(uri string) bool {
		u, err := url.Parse(uri)
		return err != nil || u.Scheme != "http" // CheckRedirectURI accepts http for loopback only
	})
	return c, nil
}

// redirectsTo reports whether uri is a redirect URI of the client. A loopback URI may have any
// port (RFC 8252 section 7.3). All other URIs are compared as strings (RFC 9700 section 2.1).
func (c *application) redirectsTo(uri string) bool {
	if CheckRedirectURI(uri) != nil {
		return false
	}
	if slices.Contains(c.Redirect, uri) {
		return true
	}
	u, err := url.Parse(uri)
	if err != nil || u.Scheme != "http" {
		return false
	}
	if c.anyLoopback {
		return true // CheckRedirectURI accepts http for loopback only
	}
	u.Host = u.Hostname()
	return slices.ContainsFunc(c.Redirect, func(registered string) bool {
		r, err := url.Parse(registered)
		if err != nil {
			return false
		}
		r.Host = r.Hostname()
		return *r == *u
	})
}

var errRedirectURI = errors.New("use https, http on loopback or the scheme of an application, such as com.example.app:/sign-in; without user name, fragment and blanks")

// CheckRedirectURI rejects redirect URIs that could reveal a code to others (RFC 8252 section 7, RFC
// 6749 section 3.1.2).
func CheckRedirectURI(uri string) error {
	u, err := url.Parse(uri)
	if err != nil || len(uri) > maxRedirectSize || u.User != nil || strings.ContainsAny(uri, "# \\\"<>") {
		return errRedirectURI
	}
	for i := range len(uri) {
		if uri[i] <= ' ' || uri[i] >= 0x7f {
			return errRedirectURI
		}
	}
	for i := range len(u.Host) {
		if u.Host[i] >= 0x7f { // "%D0%B0pple.com" is not apple.com, but looks like it
			return errRedirectURI
		}
	}
	switch {
	case u.Scheme == "https" && u.Hostname() != "":
		return nil
	case u.Scheme == "http" && isLoopback(u.Hostname()):
		return nil
	case strings.Contains(u.Scheme, ".") && u.Host == "": // RFC 8252 section 7.1
		return nil
	}
	return errRedirectURI
}

func isLoopback(host string) bool {
	return host == "localhost" || net.ParseIP(host).IsLoopback()
}

// register handles dynamic client registration (RFC 7591 section 3). Everyone may register a client,
// because the users of a mail server choose their applications. The sign-in page shows the destination
// of the redirect.
func (s *Provider) register(w http.ResponseWriter, r *http.Request) {
	webauth.NoStore(w)
	var in struct {
		application
		GrantTypes    []oidc.GrantType    `json:"grant_types"`
		ResponseTypes []oidc.ResponseType `json:"response_types"`
	}
	fail := func(code, text string) {
		webauth.WriteJSON(w, http.StatusBadRequest, map[string]string{"error": code, "error_description": text})
	}
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxRegistration)).Decode(&in); err != nil {
		fail("invalid_client_metadata", "the body is not a JSON object of client metadata, or is too long")
		return
	}
	name := []rune(strings.TrimSpace(in.Name))
	switch {
	case len(in.Redirect) == 0 || len(in.Redirect) > maxRedirectURIs:
		fail("invalid_redirect_uri", "redirect_uris needs one to five URIs")
		return
	case slices.ContainsFunc(in.Redirect, func(uri string) bool { return CheckRedirectURI(uri) != nil }):
		fail("invalid_redirect_uri", errRedirectURI.Error())
		return
	case len(in.GrantTypes) > 0 && !slices.Contains(in.GrantTypes, oidc.GrantTypeCode),
		len(in.ResponseTypes) > 0 && !slices.Contains(in.ResponseTypes, oidc.ResponseTypeCode):
		fail("invalid_client_metadata", "the server has the grant type authorization_code and the response type code only")
		return
	case slices.ContainsFunc(name, func(r rune) bool { return !unicode.IsPrint(r) }):
		fail("invalid_client_metadata", "client_name has invisible characters")
		return
	case len(name) > maxClientName:
		fail("invalid_client_metadata", "client_name is too long")
		return
	}
	c := application{Name: string(name), Redirect: in.Redirect}
	text, err := json.Marshal(c)
	if err == nil {
		c.ID, err = s.clientSeal.Encrypt(string(text))
	}
	if err != nil {
		s.fail(w, r, err)
		return
	}
	webauth.WriteJSON(w, http.StatusCreated, struct { // section 3.2.1: the registered metadata
		ID         string              `json:"client_id"`
		IssuedAt   int64               `json:"client_id_issued_at"`
		Name       string              `json:"client_name,omitempty"`
		Redirect   []string            `json:"redirect_uris"`
		AuthMethod oidc.AuthMethod     `json:"token_endpoint_auth_method"`
		Grants     []oidc.GrantType    `json:"grant_types"`
		Responses  []oidc.ResponseType `json:"response_types"`
	}{c.ID, time.Now().Unix(), c.Name, c.Redirect, c.AuthMethod(), c.GrantTypes(), c.ResponseTypes()})
}

// The methods below implement op.Client.

func (c *application) GetID() string                       { return c.ID }
func (c *application) RedirectURIs() []string              { return c.Redirect }
func (c *application) PostLogoutRedirectURIs() []string    { return nil }
func (c *application) ApplicationType() op.ApplicationType { return op.ApplicationTypeNative }
func (c *application) AuthMethod() oidc.AuthMethod         { return oidc.AuthMethodNone }
func (c *application) ResponseTypes() []oidc.ResponseType {
	return []oidc.ResponseType{oidc.ResponseTypeCode}
}
func (c *application) LoginURL(string) string                                   { return "" } // authorize writes the form
func (c *application) AccessTokenType() op.AccessTokenType                      { return op.AccessTokenTypeBearer }
func (c *application) IDTokenLifetime() time.Duration                           { return accessLifetime }
func (c *application) DevMode() bool                                            { return false }
func (c *application) IsScopeAllowed(scope string) bool                         { return slices.Contains(Scopes, scope) }
func (c *application) IDTokenUserinfoClaimsAssertion() bool                     { return false }
func (c *application) ClockSkew() time.Duration                                 { return 0 }
func (c *application) RestrictAdditionalIdTokenScopes() func([]string) []string { return sameScopes }
func (c *application) RestrictAdditionalAccessTokenScopes() func([]string) []string {
	return sameScopes
}

func (c *application) GrantTypes() []oidc.GrantType {
	return []oidc.GrantType{oidc.GrantTypeCode, oidc.GrantTypeRefreshToken}
}

func sameScopes(scopes []string) []string { return scopes }
