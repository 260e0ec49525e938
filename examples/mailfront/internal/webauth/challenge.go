package webauth

import (
	"errors"
	"net/http"

	"github.com/seed-94e48765/portico/discovery"
	"github.com/seed-94e48765/portico/examples/mailfront/internal/client"
	"github.com/seed-94e48765/portico/examples/mailfront/internal/guard"
)

// Challenge answers a request that [Auth.Authenticate] has refused with err. The challenge names the
// metadata of exactly the resource that was asked for, if it is one of the Config
// (RFC 9728 section 3.3).
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
	if errors.Is(err, discovery.ErrUnavailable) { // so may the token
		w.Header().Del("WWW-Authenticate")
		w.Header().Set("Retry-After", RetryAfterOutage)
		http.Error(w, "The token cannot be checked now: try later.", http.StatusServiceUnavailable)
		return
	}
	a.Current().Unauthorized(w, r, r.URL.Path)
}

// ChallengeBasic is Challenge with a challenge for Basic, too, on which clients such as
// those of DAV ask for a password.
func (a *Auth) ChallengeBasic(w http.ResponseWriter, r *http.Request, err error) {
	if !client.FromRequest(r).IsPlaintext() { // else the client would send the password unencrypted
		w.Header().Add("WWW-Authenticate", `Basic realm="mailfront", charset="UTF-8"`) // RFC 7617 section 2.1
	}
	a.Challenge(w, r, err)
}
