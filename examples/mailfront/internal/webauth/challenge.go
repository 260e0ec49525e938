package webauth

import (
	"errors"
	"net/http"

	"github.com/seed-94e48765/portico/discovery"
	"github.com/seed-94e48765/portico/examples/mailfront/internal/client"
	"github.com/seed-94e48765/portico/examples/mailfront/internal/guard"
)

// Challenge answers a request that [Auth.Authenticate] has refused with err. The challenge
// refers to the metadata of exactly the requested resource, if the Config has that resource (RFC
// 9728 section 3.3).
func (a *Auth) Challenge(w http.ResponseWriter, r *http.Request, err error) {
	if errors.Is(err, ErrScope) { // RFC 6750 section 3.1
		a.Current().Forbidden(w, r, r.URL.Path, "openid")
		return
	}
	if errors.Is(err, guard.ErrTooFast) || errors.Is(err, guard.ErrBusy) { // the password may be right
		w.Header().Del("WWW-Authenticate")
		a.Guard.Refuse(w, client.FromRequest(r), err)
		return
	}
	if errors.Is(err, discovery.ErrUnavailable) { // the token may be valid
		w.Header().Del("WWW-Authenticate")
		w.Header().Set("Retry-After", RetryAfterOutage)
		http.Error(w, "The token cannot be checked now. Try later.", http.StatusServiceUnavailable)
		return
	}
	a.Current().Unauthorized(w, r, r.URL.Path)
}

// ChallengeBasic is like Challenge and adds a challenge for Basic, after which clients such as
// those of DAV request a password from the user.
func (a *Auth) ChallengeBasic(w http.ResponseWriter, r *http.Request, err error) {
	if !client.FromRequest(r).IsPlaintext() { // otherwise the client would send the password unencrypted
		w.Header().Add("WWW-Authenticate", `Basic realm="mailfront", charset="UTF-8"`) // RFC 7617 section 2.1
	}
	a.Challenge(w, r, err)
}
