package guard

import (
	"errors"
	"log/slog"
	"net/http"
	"strconv"
	"time"

	"github.com/seed-94e48765/portico/examples/mailfront/internal/client"
)

// The reasons for a refusal. A connection may go on after ErrWrongPassword only.
var (
	ErrBanned        = errors.New("guard: too many wrong passwords: the client is banned for a time")
	ErrTooFast       = errors.New("guard: the rate limit is exceeded: try later")
	ErrBusy          = errors.New("guard: too many passwords are being compared: try later")
	ErrTooManyOpen   = errors.New("guard: too many open connections of this client")
	ErrAllOpen       = errors.New("guard: too many open connections")
	ErrWrongPassword = errors.New("guard: wrong name or password")
)

// busyFor is the wait after ErrBusy. No limit is used up, so a place is free soon.
const busyFor = 10 * time.Second

// A refusal is one of the reasons with its duration.
type refusal struct {
	reason error
	wait   time.Duration
}

func refused(reason error, wait time.Duration) error { return &refusal{reason, wait} }

func (r *refusal) Error() string { return r.reason.Error() }
func (r *refusal) Unwrap() error { return r.reason }

// tooFast returns the refusal of a limit that is used up.
func tooFast(l *limit) error {
	missing := max(0, 1-l.Tokens())
	wait := time.Duration(missing / float64(l.Limit()) * float64(time.Second))
	return refused(ErrTooFast, max(wait, time.Until(l.spent)))
}

// RetryAfter returns how long the client has to wait after an error that wraps ErrBanned,
// ErrTooFast or ErrBusy: the rest of the ban, or the time until the limit allows one more
// action. It is a number of whole seconds, rounded up, and at least one.
func RetryAfter(err error) time.Duration {
	wait := busyFor
	if r := (*refusal)(nil); errors.As(err, &r) {
		wait = r.wait
	}
	return max(1, (wait+time.Second-1)/time.Second) * time.Second
}

// SetRetryAfter sets the header Retry-After (RFC 9110 section 10.2.3) and returns the HTTP
// status for an error that wraps ErrBanned, ErrTooFast or ErrBusy.
func SetRetryAfter(h http.Header, err error) (status int) {
	h.Set("Retry-After", strconv.FormatInt(int64(RetryAfter(err)/time.Second), 10))
	if errors.Is(err, ErrBusy) {
		return http.StatusServiceUnavailable
	}
	return http.StatusTooManyRequests // RFC 6585 section 4
}

// Refuse answers and logs a request that is refused with an error that wraps ErrBanned, ErrTooFast or
// ErrBusy.
func (g *Guard) Refuse(w http.ResponseWriter, cl client.Client, err error) {
	cl.Log(g.log, "request_refused", slog.String("reason", err.Error()))
	status := SetRetryAfter(w.Header(), err)
	http.Error(w, "Too many requests or wrong passwords. Try again in "+RetryAfter(err).String()+".", status)
}
