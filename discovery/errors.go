package discovery

import (
	"errors"
	"fmt"
	"strings"
)

// ErrUnauthenticated is returned by [ServerConfig.Session] when a request has no
// credentials, or a wrong password or token. The answer is 401 with the challenge of
// [Set.Challenge].
var ErrUnauthenticated = errors.New("discovery: the request is not authenticated")

// ErrUnavailable is returned by [ServerConfig.Session] when the account cannot be determined
// at the moment, because an identity provider or a store does not answer. The answer is 503
// with Retry-After: 10, and the client keeps its token.
var ErrUnavailable = errors.New("discovery: the account cannot be determined at the moment")

// An Error is a mistake in a [Config]. [Build] reports all mistakes that it finds, joined;
// errors.As returns the first.
type Error struct {
	Document Document // the document that would be wrong, or the section of the Config: "config", "jmap", "mail"
	Field    string   // its member, as it is spelt there, or the field of the section: "Services[0].Host"
	Input    string   // the value in the Config; "" if it is missing
	Rule     string   // the rule, and the correction
	Clause   string   // the source of the rule: "RFC 8414 section 2"; "" for a rule of this package
	Err      error    // an error of package publicurl, or nil
}

// Error quotes the input and ends with the clause.
func (e *Error) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "discovery: %s: %s: ", e.Document, e.Field)
	if e.Input != "" {
		fmt.Fprintf(&b, "%q: ", e.Input)
	}
	b.WriteString(e.Rule)
	if e.Err != nil {
		fmt.Fprintf(&b, ": %v", e.Err)
	}
	if e.Clause != "" {
		fmt.Fprintf(&b, " (%s)", e.Clause)
	}
	return b.String()
}

// Unwrap returns Err.
func (e *Error) Unwrap() error { return e.Err }
