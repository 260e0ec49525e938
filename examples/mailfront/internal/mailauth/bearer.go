package mailauth

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

const (
	xoauth2 = "XOAUTH2"

	separator = "\x01" // kvsep, RFC 7628 section 3.1
)

// A bearer is the message of a client for OAUTHBEARER or XOAUTH2.
type bearer struct {
	user  string // the account in the message; may be ""
	token string
	err   error // ErrSyntax, or errNoToken
}

// parseOAuthBearer parses the message of a client (RFC 7628 section 3.1), such as
//
//	n,a=user@example.com,^Ahost=mail.example.com^Aport=993^Aauth=Bearer vF9dft4qmT^A^A
//
// The values of host and port are checked but not used, because the server has one name only. Other
// keys are ignored.
func parseOAuthBearer(message string) bearer {
	flag, rest, ok1 := strings.Cut(message, ",")
	authzid, pairs, ok2 := strings.Cut(rest, ",")
	switch {
	case !ok1 || !ok2:
		return malformed("the GS2 header is missing")
	case flag != "n" && flag != "y": // p= is channel binding, RFC 5801 section 4
		return malformed("channel binding is not supported")
	}
	user, err := parseAuthzid(authzid)
	if err != nil {
		return bearer{err: err}
	}
	values, err := parsePairs(pairs)
	if err != nil {
		return bearer{err: err}
	}
	if port := values["port"]; strings.Trim(port, "0123456789") != "" || len(port) > 5 {
		return malformed("the port is not a number")
	}
	return bearerOf(user, values)
}

// parseXOAuth2 parses the message of a client, such as
//
//	user=user@example.com^Aauth=Bearer vF9dft4qmT^A^A
//
// The reference is Google's description,
// https://developers.google.com/workspace/gmail/imap/xoauth2-protocol.
func parseXOAuth2(message string) bearer {
	values, err := parsePairs(separator + message)
	if err != nil {
		return bearer{err: err}
	}
	if values["user"] == "" {
		return malformed("the user is missing")
	}
	return bearerOf(values["user"], values)
}

func malformed(what string) bearer { return bearer{err: syntaxError(what)} }

func syntaxError(what string) error { return fmt.Errorf("%w: %s", ErrSyntax, what) }

// parseAuthzid parses gs2-authzid (RFC 5801 section 4), which is empty or consists of a= and a name in
// which a comma is written =2C and an equals sign =3D.
func parseAuthzid(text string) (string, error) {
	if text == "" {
		return "", nil
	}
	name, ok := strings.CutPrefix(text, "a=")
	plain := strings.NewReplacer("=2C", "", "=3D", "").Replace(name)
	if !ok || name == "" || strings.Contains(plain, "=") || strings.ContainsRune(name, 0) || !utf8.ValidString(name) {
		return "", syntaxError("the authorization identity is not a= and a name")
	}
	return strings.NewReplacer("=2C", ",", "=3D", "=").Replace(name), nil
}

// parsePairs parses kvsep *kvpair kvsep. A duplicate key is an error.
func parsePairs(text string) (map[string]string, error) {
	text, ok1 := strings.CutPrefix(text, separator)
	text, ok2 := strings.CutSuffix(text, separator)
	if !ok1 || !ok2 || text != "" && !strings.HasSuffix(text, separator) {
		return nil, syntaxError("the separators are missing")
	}
	values := make(map[string]string)
	for pair := range strings.SplitSeq(strings.TrimSuffix(text, separator), separator) {
		key, value, ok := strings.Cut(pair, "=")
		if _, twice := values[key]; twice || !ok || !isKey(key) || !isValue(value) {
			return nil, syntaxError("not a list of keys and values")
		}
		values[key] = value
	}
	return values, nil
}

func isKey(s string) bool { // key = 1*(ALPHA)
	for _, c := range []byte(s) {
		if c|0x20 < 'a' || c|0x20 > 'z' {
			return false
		}
	}
	return s != ""
}

func isValue(s string) bool { // value = *(VCHAR / SP / HTAB / CR / LF), and UTF-8 for names
	for _, c := range s {
		if c < ' ' && c != '\t' && c != '\r' && c != '\n' || c == 0x7f {
			return false
		}
	}
	return utf8.ValidString(s)
}

// bearerOf parses the value of the key auth, which is that of the header Authorization in HTTP.
func bearerOf(user string, values map[string]string) bearer {
	auth, ok := values["auth"]
	if !ok {
		return malformed("auth is missing")
	}
	scheme, token, _ := strings.Cut(auth, " ")
	token = strings.TrimLeft(token, " ")
	switch {
	case auth == "" || strings.EqualFold(scheme, "Bearer") && token == "":
		return bearer{user: user, err: errNoToken} // RFC 7628 section 4.3
	case !strings.EqualFold(scheme, "Bearer"):
		return malformed("the authorization scheme is not Bearer")
	case !isToken(token):
		return malformed("the token has characters that RFC 6750 section 2.1 does not allow")
	}
	return bearer{user: user, token: token}
}

// isToken reports whether s is a b64token (RFC 6750 section 2.1).
func isToken(s string) bool {
	body := strings.TrimRight(s, "=")
	for _, c := range []byte(body) {
		letter := c|0x20 >= 'a' && c|0x20 <= 'z'
		digit := c >= '0' && c <= '9'
		if !letter && !digit && !strings.ContainsRune("-._~+/", rune(c)) {
			return false
		}
	}
	return body != ""
}
