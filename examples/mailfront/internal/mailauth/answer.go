package mailauth

import (
	"errors"

	"github.com/seed-94e48765/portico/discovery"
	"github.com/seed-94e48765/portico/examples/mailfront/internal/guard"
)

// An Answer has the replies of the protocols to an error of a login.
type Answer struct {
	SMTP     int    // reply code, RFC 4954 section 6
	Enhanced [3]int // RFC 3463
	IMAP     string // response code, RFC 9051 section 7.1
	Bad      bool   // BAD in IMAP, otherwise NO
	POP3     string // response code, RFC 2449 section 8 and RFC 3206
	Text     string
}

var answers = []struct {
	err error
	Answer
}{
	{guard.ErrWrongPassword, Answer{SMTP: 535, Enhanced: [3]int{5, 7, 8}, IMAP: "AUTHENTICATIONFAILED", POP3: "AUTH", Text: "Authentication failed"}},
	{guard.ErrBanned, tooMany},
	{guard.ErrTooFast, tooMany},
	{guard.ErrBusy, tooMany},
	{discovery.ErrUnavailable, unavailable},
	{ErrPlaintext, Answer{SMTP: 523, Enhanced: [3]int{5, 7, 10}, IMAP: "PRIVACYREQUIRED", POP3: "SYS/PERM", Text: "TLS is required"}},
	{ErrMechanism, Answer{SMTP: 504, Enhanced: [3]int{5, 5, 4}, Text: "Unsupported authentication mechanism"}},
	{ErrSyntax, Answer{SMTP: 501, Enhanced: [3]int{5, 5, 2}, Bad: true, Text: "Malformed message of the mechanism"}},
}

// tooMany is the answer that ends the connection.
var tooMany = Answer{SMTP: 421, Enhanced: [3]int{4, 7, 0}, IMAP: "UNAVAILABLE", POP3: "SYS/TEMP", Text: "Too many logins"}

var unavailable = Answer{SMTP: 454, Enhanced: [3]int{4, 7, 0}, IMAP: "UNAVAILABLE", POP3: "SYS/TEMP", Text: "The login is not available now: try later"}

// AnswerTo returns the answer to an error of this package or of package guard. For any other error it
// returns a temporary failure.
func AnswerTo(err error) Answer {
	for _, a := range answers {
		if errors.Is(err, a.err) {
			if a.Answer == tooMany {
				a.Text += ": try again in " + guard.RetryAfter(err).String()
			}
			return a.Answer
		}
	}
	return unavailable
}
