// What to copy: that a session is a random word of which only the hash is kept. What to
// change: nothing.

package main

import (
	"crypto/rand"
	"crypto/sha256"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"golang.org/x/crypto/bcrypt"

	"github.com/seed-94e48765/portico/examples/mailfront/internal/client"
	"github.com/seed-94e48765/portico/publicurl"
)

const (
	minPassword = 8  // characters
	maxPassword = 72 // bytes: bcrypt takes no more

	sessionLifetime = 8 * time.Hour
	maxSessions     = 64
	sessionCookie   = "mailfront-admin"
)

// checkNewPassword returns what is wrong with one, for the person who chose it.
func checkNewPassword(password, again string) (problem string) {
	switch {
	case utf8.RuneCountInString(password) < minPassword:
		return "Use at least 8 characters."
	case len(password) > maxPassword:
		return "Use at most 72 bytes: letters beyond ASCII take two to four."
	case password != again:
		return "The two passwords differ."
	}
	return ""
}

var passwordCost = bcrypt.DefaultCost // less in tests

func hashPassword(password string) (string, error) {
	hash, err := bcrypt.GenerateFromPassword([]byte(password), passwordCost)
	return string(hash), err
}

// isPassword compares in a time that does not tell how much of a password is right.
func isPassword(hash, password string) bool {
	return bcrypt.CompareHashAndPassword([]byte(hash), []byte(password)) == nil
}

// An adminSession is a browser that the administrator has signed in with.
type adminSession struct {
	csrf    string // in every form
	origin  string // of the form that signed in, as the browser said it
	expires time.Time
}

type adminSessions struct {
	mu   sync.Mutex
	open map[[sha256.Size]byte]*adminSession // by the hash of the cookie
}

// begin returns the value of the cookie.
func (s *adminSessions) begin(origin string) string {
	cookie := rand.Text()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.open == nil {
		s.open = make(map[[sha256.Size]byte]*adminSession)
	}
	var oldest [sha256.Size]byte
	for key, session := range s.open {
		if time.Now().After(session.expires) {
			delete(s.open, key)
		} else if o := s.open[oldest]; o == nil || session.expires.Before(o.expires) {
			oldest = key
		}
	}
	if len(s.open) >= maxSessions {
		delete(s.open, oldest)
	}
	s.open[sha256.Sum256([]byte(cookie))] = &adminSession{csrf: rand.Text(), origin: origin, expires: time.Now().Add(sessionLifetime)}
	return cookie
}

// of returns the session of a request, or nil.
func (s *adminSessions) of(r *http.Request) *adminSession {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, cookie := range r.CookiesNamed(sessionCookie) {
		if session := s.open[sha256.Sum256([]byte(cookie.Value))]; session != nil && time.Now().Before(session.expires) {
			return session
		}
	}
	return nil
}

func (s *adminSessions) end(r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, cookie := range r.CookiesNamed(sessionCookie) {
		delete(s.open, sha256.Sum256([]byte(cookie.Value)))
	}
}

// endAll is for a new password.
func (s *adminSessions) endAll() {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.open)
}

// newCookie has no Path: the browser then takes the directory of the form's address
// as it knows it (RFC 6265 section 5.1.4), /mail/admin, which the server does not
// know while its public URL is wrong. In the same way Secure follows the browser's
// own scheme: a first sign-in without a proxy has no TLS.
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
