package publicurl

import (
	"net/url"
	"strings"
)

// Join returns the base with a path appended: https://example.com/mail/login for "/login"
// on https://example.com/mail, and /mail/login on a relative base with the prefix "/mail".
//
// The path begins with "/", is escaped already ([url.PathEscape] for data) and is
// appended unchanged; for "/" the result is the base with a slash at its end. Join refuses dot
// segments and empty segments, also escaped ones, a query (see [Base.JoinQuery]), a
// fragment, and braces (see [Base.Template]). It accepts escaped slashes. The error
// is an [*Error].
func (b Base) Join(path string) (string, error) {
	if err := b.checkJoin(path); err != nil {
		return "", err
	}
	return b.text + path, nil
}

// MustJoin is like [Base.Join] but panics on an error. It is for paths that are
// constants of the program, on a base that is known to be valid.
func (b Base) MustJoin(path string) string {
	u, err := b.Join(path)
	if err != nil {
		panic(err)
	}
	return u
}

// JoinQuery is like [Base.Join] with a query in the form of [url.Values.Encode]. Without
// values the result has no "?". The error is an [*Error].
func (b Base) JoinQuery(path string, query url.Values) (string, error) {
	if err := b.checkJoin(path); err != nil {
		return "", err
	}
	q := query.Encode()
	if q == "" {
		return b.text + path, nil
	}
	return b.text + path + "?" + q, nil
}

// WebSocket is like [Base.Join] with the scheme wss, or ws on an http base (RFC 6455
// section 3). On a relative base it returns the path-absolute reference of Join, which
// browsers resolve against the page and turn into wss or ws. The error is an [*Error].
func (b Base) WebSocket(path string) (string, error) {
	if err := b.checkJoin(path); err != nil {
		return "", err
	}
	if b.mode == relative {
		return b.text + path, nil
	}
	return "ws" + b.text[len("http"):] + path, nil
}

// Template returns the base with a URI template of RFC 6570 level 1 appended, as RFC 8620
// section 2 requires: a path as for [Base.Join], and a query if needed, both with
// variables such as {accountId}. The braces are not escaped, as [url.URL] would do. The
// error is an [*Error].
func (b Base) Template(template string) (string, error) {
	if b.mode == invalid {
		return "", b.zero()
	}
	path, query := cutTemplate(template)
	f := checkReference(template)
	if f == nil {
		f = checkPath(path, 0, withVariables|withEncodedSeparators)
	}
	if f == nil {
		f = checkChars(query, len(path)+1, ErrQuery, withVariables)
	}
	if f != nil {
		return "", f.inPath(template)
	}
	return b.text + template, nil
}

// cutTemplate cuts a template before its query. A "?" in braces belongs to them.
func cutTemplate(s string) (path, query string) {
	braces := false
	for i := range len(s) {
		switch s[i] {
		case '{':
			braces = true
		case '}':
			braces = false
		case '?':
			if !braces {
				return s[:i], s[i+1:]
			}
		}
	}
	return s, ""
}

func (b Base) checkJoin(path string) error {
	if b.mode == invalid {
		return b.zero()
	}
	f := checkReference(path)
	if i := strings.IndexByte(path, '?'); f == nil && i >= 0 {
		f = &fault{ErrQuery, i, `escape "?" as %3F in a path; JoinQuery takes a query`}
	}
	if f == nil {
		f = checkPath(path, 0, withEncodedSeparators)
	}
	if f != nil {
		return f.inPath(path)
	}
	return nil
}

// checkReference checks the rules for both paths and templates.
func checkReference(s string) *fault {
	if s == "" {
		return &fault{ErrEmpty, 0, `give a path such as "/login"; String is the base itself`}
	}
	if f := checkText(s); f != nil {
		return f
	}
	if s[0] != '/' {
		return &fault{ErrPath, 0, `begin the path with "/"; a whole URL is never joined`}
	}
	if i := strings.IndexByte(s, '#'); i >= 0 {
		return &fault{ErrFragment, i, `escape "#" as %23; no published URL has a fragment`}
	}
	return nil
}
