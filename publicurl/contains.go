package publicurl

import "strings"

// Contains reports whether u is the base or is below it, by whole segments:
// https://h/mail contains https://h/mail/login and not https://h/mailbox. A query
// and a fragment do not matter.
//
// Scheme, host and port are compared as browsers compare them: HTTPS://H:443 is the same
// origin, and https://h. with a root dot is not. Contains returns false if clients or
// proxies could disagree about the meaning of u, as with user information, blanks, backslashes, dot segments, also escaped or with a parameter
// ("..;x"), empty segments, malformed escapes in the path. Contains does not
// consider servers that unescape a path twice. Variables of RFC 6570 level 1 are accepted.
//
// A relative base contains path-absolute references only, and no absolute base
// contains those.
func (b Base) Contains(u string) bool { return b.contains(u, forHTTP) }

// ContainsWebSocket is like [Base.Contains] for URLs with the scheme wss, or ws on an
// http base. It returns false for a URL with a fragment (RFC 6455 section 3).
func (b Base) ContainsWebSocket(u string) bool {
	return !strings.Contains(u, "#") && b.contains(u, forWebSocket)
}

// SameOrigin reports whether u is an absolute URL with the scheme, host and port
// of the base (RFC 6454 section 5). The path is not compared. It returns false for a
// relative base, which has no origin.
func (b Base) SameOrigin(u string) bool {
	_, same := b.cutOrigin(u, forHTTP)
	return same
}

func (b Base) contains(u string, set schemes) bool {
	rest, ok := u, b.mode == relative && strings.HasPrefix(u, "/") && checkText(u) == nil
	if b.mode == absolute {
		rest, ok = b.cutOrigin(u, set)
	}
	if !ok {
		return false
	}
	path, tail := rest, ""
	if i := strings.IndexAny(rest, "?#"); i >= 0 {
		path, tail = rest[:i], rest[i:]
	}
	return isASCII(tail) &&
		hasPrefix(path, b.Prefix()) &&
		checkPath(path, 0, withVariables|withEncodedSeparators) == nil
}

// cutOrigin returns what follows the authority of u if u has the origin of b.
func (b Base) cutOrigin(u string, set schemes) (rest string, same bool) {
	if b.mode != absolute || checkText(u) != nil {
		return "", false
	}
	var buf [128]byte
	o, f := parseOrigin(buf[:0], u, set)
	if f != nil || !b.hasOrigin(&o) {
		return "", false
	}
	return u[o.end:], true
}

// hasOrigin reports whether o is the origin of b for a browser. A browser treats a name
// with a root dot as another host; Parse removes the dot from a configured name.
func (b Base) hasOrigin(o *origin) bool {
	return string(o.text) == b.Origin() && !o.rootDot
}

// hasPrefix reports whether path begins with the segments of prefix, which is
// canonical: escapes in path may be in either case.
func hasPrefix(path, prefix string) bool {
	if len(path) < len(prefix) || len(path) > len(prefix) && path[len(prefix)] != '/' {
		return false
	}
	digits := 0 // of an escape, still to come
	for i := range len(prefix) {
		c := path[i]
		switch {
		case digits > 0:
			c = upper(c)
			digits--
		case c == '%':
			digits = 2
		}
		if c != prefix[i] {
			return false
		}
	}
	return true
}
