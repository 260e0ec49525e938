// Copy the sessions: a session is a random text, of which only the hash is kept, in a store that
// the nodes share. No changes are needed.

package main

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"time"
	"unicode/utf8"

	"golang.org/x/crypto/bcrypt"

	"github.com/seed-94e48765/portico/examples/mailfront/internal/client"
	"github.com/seed-94e48765/portico/examples/mailfront/internal/store"
	"github.com/seed-94e48765/portico/publicurl"
)

const (
	minPassword = 8  // characters
	maxPassword = 72 // bytes; the limit of bcrypt

	sessionLifetime = 8 * time.Hour
	sessionCookie   = "mailfront-admin"

	// maxSessionCookies is the number of cookies of a request that are looked up. A browser may have one
	// for each path of the page.
	maxSessionCookies = 4
)

// checkNewPassword returns what is wrong with a new password, as a sentence for the person who
// chose it. It returns "" for a valid password.
func checkNewPassword(password, again string) (problem string) {
	switch {
	case utf8.RuneCountInString(password) < minPassword:
		return "Use at least 8 characters."
	case len(password) > maxPassword:
		return "Use at most 72 bytes. A letter beyond ASCII takes two to four bytes."
	case password != again:
		return "The two passwords differ."
	}
	return ""
}

var passwordCost = bcrypt.DefaultCost // tests use a lower cost

func hashPassword(password string) (string, error) {
	hash, err := bcrypt.GenerateFromPassword([]byte(password), passwordCost)
	return string(hash), err
}

// isPassword compares a password with its hash. The time does not depend on how many characters
// match.
func isPassword(hash, password string) bool {
	return bcrypt.CompareHashAndPassword([]byte(hash), []byte(password)) == nil
}

// An adminSession is a session of a browser in which the administrator has signed in.
type adminSession struct {
	CSRF     string    `json:"csrf"`     // token of every form
	Browser  string    `json:"browser"`  // URL at which the administrator signed in; "" if it is not known
	Password string    `json:"password"` // passwordMark of the password at the sign-in
	Expires  time.Time `json:"expires"`
}

// adminSessions keeps the sessions in the store, under the hash of the cookie. The administrator
// is therefore signed in on every node. A new password ends all sessions.
type adminSessions struct{ store store.Store }

func sessionName(cookie string) string { return store.SecretName("admin/session", cookie) }

// passwordMark returns a hash of the password hash. It differs for sessions of different
// passwords.
func passwordMark(passwordHash string) string {
	sum := sha256.Sum256([]byte(passwordHash))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// begin starts a session and returns the value of its cookie.
func (s adminSessions) begin(ctx context.Context, browser, passwordHash string) (cookie string, err error) {
	cookie = rand.Text()
	b, err := json.Marshal(adminSession{
		CSRF: rand.Text(), Browser: browser, Password: passwordMark(passwordHash), Expires: time.Now().Add(sessionLifetime),
	})
	if err != nil {
		return "", err
	}
	_, err = s.store.PutIfAbsent(ctx, sessionName(cookie), b, sessionLifetime)
	return cookie, err
}

// of returns the session of a request, or nil without one. An error is an error of the store.
func (s adminSessions) of(r *http.Request, passwordHash string) (*adminSession, error) {
	cookies, _ := sessionCookies(r)
	for _, cookie := range cookies {
		b, err := s.store.Get(r.Context(), sessionName(cookie))
		if errors.Is(err, store.ErrAbsent) || errors.Is(err, store.ErrSealed) {
			continue // sealed: admit has opened the state, so the secret of the session was removed
		}
		if err != nil {
			return nil, err
		}
		session := new(adminSession)
		if err := json.Unmarshal(b, session); err != nil {
			return nil, err
		}
		if session.Password == passwordMark(passwordHash) && time.Now().Before(session.Expires) {
			return session, nil
		}
	}
	return nil, nil
}

// end ends the session of a request, on every node.
func (s adminSessions) end(r *http.Request) error {
	cookies, _ := sessionCookies(r)
	for _, cookie := range cookies {
		if err := s.store.Delete(r.Context(), sessionName(cookie)); err != nil {
			return err
		}
	}
	return nil
}

// sessionCookies returns the cookies of a request that may belong to a session. Only the first
// maxSessionCookies are looked up, and tooMany is set if there are more.
//
// A site of a sibling domain can set such cookies for the parent domain, with a longer path, so that
// the browser sends them first (RFC 6265 section 5.4). It cannot sign in that way, but it can push the
// cookie of the session out.
func sessionCookies(r *http.Request) (values []string, tooMany bool) {
	for _, cookie := range r.CookiesNamed(sessionCookie) {
		switch {
		case len(cookie.Value) != len(rand.Text()):
		case len(values) == maxSessionCookies:
			return values, true
		default:
			values = append(values, cookie.Value)
		}
	}
	return values, false
}

// newCookie returns a session cookie without Path. The browser then uses the directory of the
// form's address as the browser sees it (RFC 6265 section 5.1.4), such as /mail/admin. The server
// does not know that directory while its public URL is wrong. Likewise, Secure depends on the
// scheme that the browser uses: a first sign-in without a proxy has no TLS.
func newCookie(r *http.Request, cl client.Client, base publicurl.Base, value string) *http.Cookie {
	cookie := &http.Cookie{Name: sessionCookie, Value: value, HttpOnly: true, SameSite: http.SameSiteStrictMode}
	if value == "" {
		cookie.MaxAge = -1
	}
	origin, err := url.Parse(r.Header.Get("Origin"))
	switch {
	case err == nil && origin.Host != "":
		cookie.Secure = origin.Scheme == "https"
	case cl.TLSKnown:
		cookie.Secure = cl.TLS
	default:
		cookie.Secure = strings.HasPrefix(base.Origin(), "https:")
	}
	return cookie
}

// browserURL returns the base URL in the address bar of the browser. It combines the Origin of a
// form with the path in its Referer, because a proxy may have removed a path from the request.
// It returns "" without Origin.
func browserURL(r *http.Request, base publicurl.Base) string {
	origin := r.Header.Get("Origin")
	if o, err := url.Parse(origin); err != nil || o.Host == "" {
		return ""
	}
	referer, err := url.Parse(r.Header.Get("Referer"))
	if err != nil || referer.Scheme+"://"+referer.Host != origin {
		return origin + base.Prefix() // the best guess
	}
	path := referer.EscapedPath()
	return origin + path[:max(0, strings.LastIndex(path, adminPath))]
}
