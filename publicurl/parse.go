package publicurl

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// Option changes what [Parse] accepts. The zero Option changes nothing.
type Option struct {
	insecureHTTP bool
}

// AllowInsecureHTTP accepts http for every host. Passwords and tokens then cross
// the network in the clear, and OAuth clients refuse such an issuer (RFC 8414 section 2).
// Use it in closed test networks only.
func AllowInsecureHTTP() Option { return Option{insecureHTTP: true} }

// Parse reads a base URL as an operator types it: scheme, host, and if needed a
// port and the path that the server is mounted on. The package comment lists what is
// normalised and what is refused. Blanks at either end are refused too.
//
// The scheme is https. http is accepted for loopback hosts, which browsers also
// treat as secure: localhost, names under .localhost (RFC 6761 section 6.3),
// 127.0.0.0/8 and [::1]; for others only with [AllowInsecureHTTP].
//
// The error is an [*Error].
func Parse(s string, opts ...Option) (Base, error) {
	b, f := parse(s, opts)
	if f != nil {
		e := f.inURL(s)
		if t, ok := suggest(s); ok {
			e.Hint += fmt.Sprintf("; write %q", t)
		}
		return Base{}, e
	}
	return b, nil
}

func parse(s string, opts []Option) (Base, *fault) {
	if strings.TrimSpace(s) == "" {
		return Base{}, &fault{ErrEmpty, 0, "write a base URL such as https://mail.example.com"}
	}
	if f := checkText(s); f != nil {
		return Base{}, f
	}
	var buf [128]byte
	o, f := parseOrigin(buf[:0], s, forHTTP)
	if f != nil {
		return Base{}, f
	}
	if !o.secure() && !isLoopback(string(o.text[len("http://"):o.nameEnd])) {
		allowed := false
		for _, opt := range opts {
			allowed = allowed || opt.insecureHTTP
		}
		if !allowed {
			return Base{}, &fault{ErrScheme, 0, "http is for loopback hosts only; use https"}
		}
	}
	if f := checkPrefix(s[o.end:], o.end); f != nil {
		return Base{}, f
	}
	text := s
	if canonical := appendPrefix(o.text, s[o.end:]); string(canonical) != s {
		text = string(canonical)
	}
	return Base{
		text:    text,
		origin:  uint16(len(o.text)), // at most 8+253+6
		nameEnd: uint16(o.nameEnd),
		port:    o.port,
		mode:    absolute,
	}, nil
}

// FromHostname returns the base https://host for a host name or an IP address.
// An IPv6 address may have brackets. The rules of [Parse] for hosts apply. A port, a
// path or a scheme is an error; use Parse for those. The error is an [*Error].
func FromHostname(host string) (Base, error) {
	b, f := fromHostname(host)
	if f != nil {
		return Base{}, f.inURL(host)
	}
	return b, nil
}

func fromHostname(host string) (Base, *fault) {
	if strings.TrimSpace(host) == "" {
		return Base{}, &fault{ErrEmpty, 0, "give a host name such as mail.example.com"}
	}
	if f := checkText(host); f != nil {
		return Base{}, f
	}
	if strings.Contains(host, "@") {
		return Base{}, &fault{ErrUserinfo, 0, "give the host name alone"}
	}
	if i := strings.IndexAny(host, "/?#"); i >= 0 {
		return Base{}, &fault{ErrHost, i, "give the host name alone, without a scheme and a path"}
	}
	name, off := host, 0
	if isBareIPv6(host) {
		name, off = "["+host+"]", -1
	} else {
		var f *fault
		if name, _, f = splitPort(host, 0); f != nil {
			return Base{}, f
		}
		if len(name) < len(host) {
			return Base{}, &fault{ErrPort, len(name), "give the host name alone, without a port"}
		}
	}
	text, f := appendHost([]byte("https://"), name, off)
	if f != nil {
		f.off = max(f.off, 0)
		return Base{}, f
	}
	n := uint16(len(text))
	return Base{text: string(text), origin: n, nameEnd: n, port: 443, mode: absolute}, nil
}

// schemes are the ones that parseOrigin accepts.
type schemes uint8

const (
	forHTTP      schemes = iota // http and https
	forWebSocket                // ws and wss (RFC 6455 section 3), written as http and https
)

// origin is the scheme and authority of a URL in canonical form.
type origin struct {
	text    []byte // http://host or https://host, with the port unless it is the default
	nameEnd int    // end of the host name in text
	port    uint16 // effective
	end     int    // end of the authority in the input
	rootDot bool   // whether the input had one
}

func (o *origin) secure() bool { return o.text[len("http")] == 's' }

// parseOrigin reads scheme and authority (RFC 3986 sections 3.1 and 3.2) of s and
// appends the canonical origin to dst. checkText has passed s.
func parseOrigin(dst []byte, s string, set schemes) (origin, *fault) {
	scheme, _, found := strings.Cut(s, "://")
	start := len(scheme) + len("://")
	var o origin
	switch {
	case found && set == forHTTP && equalFold(scheme, "https"),
		found && set == forWebSocket && equalFold(scheme, "wss"):
		o.text, o.port = append(dst, "https://"...), 443
	case found && set == forHTTP && equalFold(scheme, "http"),
		found && set == forWebSocket && equalFold(scheme, "ws"):
		o.text, o.port = append(dst, "http://"...), 80
	default:
		return origin{}, &fault{ErrScheme, 0, "start with https://"}
	}

	o.end = len(s)
	if i := strings.IndexAny(s[start:], "/?#"); i >= 0 {
		o.end = start + i
	}
	authority := s[start:o.end]
	if strings.Contains(authority, "@") {
		return origin{}, &fault{ErrUserinfo, start, "remove the user name and password: the base URL is public"}
	}
	host, port, f := splitPort(authority, start)
	if f != nil {
		return origin{}, f
	}
	if o.text, f = appendHost(o.text, host, start); f != nil {
		return origin{}, f
	}
	o.nameEnd = len(o.text)
	last, _ := utf8.DecodeLastRuneInString(host)
	o.rootDot = strings.ContainsRune(dots, last)
	if len(host) < len(authority) {
		n, f := parsePort(port, start+len(host)+1)
		if f != nil {
			return origin{}, f
		}
		if n != o.port { // RFC 3986 section 6.2.3: the default port is left out
			o.text, o.port = append(o.text, s[start+len(host):o.end]...), n
		}
	}
	return o, nil
}

// equalFold compares with a text in lower case. [strings.EqualFold] folds beyond
// ASCII and would take "http\u017f" for "https".
func equalFold(s, lower string) bool {
	if len(s) != len(lower) {
		return false
	}
	for i := range len(s) {
		c := s[i]
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		if c != lower[i] {
			return false
		}
	}
	return true
}

// splitPort cuts the authority at the colon before the port. Without that colon
// host is the whole authority.
func splitPort(authority string, off int) (host, port string, f *fault) {
	if authority == "" {
		return "", "", &fault{ErrHost, off, "the host is missing"}
	}
	if authority[0] == '[' {
		i := strings.IndexByte(authority, ']')
		if i < 0 {
			return "", "", &fault{ErrHost, off, `close the IPv6 address with "]"`}
		}
		host, port = authority[:i+1], authority[i+1:]
		if port != "" && port[0] != ':' {
			return "", "", &fault{ErrHost, off + i + 1, `only ":port" or the path may follow "]"`}
		}
		return host, strings.TrimPrefix(port, ":"), nil
	}
	if isBareIPv6(authority) {
		return "", "", &fault{ErrHost, off, "put the IPv6 address in brackets, as in https://[2001:db8::1]:8443"}
	}
	host, port, _ = strings.Cut(authority, ":")
	if host == "" {
		return "", "", &fault{ErrHost, off, "the host is missing"}
	}
	return host, port, nil
}

// parsePort accepts only the spelling of a port that browsers write.
func parsePort(s string, off int) (uint16, *fault) {
	if s == "" {
		return 0, &fault{ErrPort, off, "remove the colon, or write the port behind it"}
	}
	n := 0
	for i := range len(s) {
		c := s[i]
		if c < '0' || c > '9' {
			return 0, &fault{ErrPort, off + i, "a port is a decimal number"}
		}
		if n = n*10 + int(c-'0'); n > 65535 {
			return 0, &fault{ErrPort, off, "a port is at most 65535"}
		}
	}
	switch {
	case n == 0:
		return 0, &fault{ErrPort, off, "port 0 cannot be reached; write the port that clients connect to"}
	case s[0] == '0':
		return 0, &fault{ErrPort, off, "remove the zeros in front of the port"}
	}
	return uint16(n), nil
}

// checkText refuses characters that browsers remove or rewrite before they parse (WHATWG
// URL section 4.4) and characters that an operator cannot see, anywhere in a URL or path.
func checkText(s string) *fault {
	for i := 0; i < len(s); {
		c := s[i]
		switch {
		case c == ' ':
			return &fault{ErrCharacter, i, "remove the blank"}
		case c < 0x20 || c == 0x7f:
			return &fault{ErrCharacter, i, fmt.Sprintf("remove the control character %U", c)}
		case c == '\\':
			return &fault{ErrCharacter, i, `write "/" for the backslash`}
		case c < utf8.RuneSelf:
			i++
			continue
		}
		r, n := utf8.DecodeRuneInString(s[i:])
		if r == utf8.RuneError && n == 1 {
			return &fault{ErrCharacter, i, "the text is not valid UTF-8"}
		}
		// The joiners are letters of some host names (RFC 5892 appendix A).
		if isInvisible(r) && r != '\u200c' && r != '\u200d' {
			return &fault{ErrCharacter, i, fmt.Sprintf("remove the invisible character %U", r)}
		}
		i += n
	}
	return nil
}
