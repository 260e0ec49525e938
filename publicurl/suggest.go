package publicurl

import (
	"cmp"
	"strings"
)

// suggest guesses the intended base from a text that Parse refused. It adds neither a host
// nor a port, and Parse accepts its result without options.
func suggest(raw string) (string, bool) {
	s, from, to := redact(raw)
	if strings.ContainsAny(raw[from:to], `/\?#`) {
		return "", false // the "@" may be in a path without a host behind it
	}
	s = strings.ReplaceAll(strings.TrimFunc(s, isNoise), `\`, "/")
	scheme, slashes := "", 0
	for {
		rest, ok := cutPrefixFold(s, "https:")
		if ok {
			scheme = "https://"
		} else if rest, ok = cutPrefixFold(s, "http:"); ok {
			scheme = "http://"
		} else {
			break
		}
		s = strings.TrimLeft(rest, "/")
		slashes = len(rest) - len(s)
	}
	separator := "//" // the end of a scheme whose colon is missing or is another character
	if scheme == "" {
		separator = "/"
		s = strings.TrimPrefix(s, "//")
	}
	if rest, misspelt := cutMisspeltScheme(s, separator); misspelt != "" {
		s, slashes = rest, 0
		scheme = cmp.Or(scheme, misspelt)
	}
	scheme = cmp.Or(scheme, "https://")
	if slashes > 2 || strings.HasPrefix(s, "/") {
		return "", false // a path, whose first segment is not a host
	}
	if i := strings.IndexAny(s, "?#"); i >= 0 {
		s = s[:i]
	}
	host, path, _ := strings.Cut(s, "/")
	s = host + repairPath("/"+path)
	b, f := parse(scheme+s, nil)
	// A port of plain HTTP is not the port of HTTPS.
	if f != nil && scheme == "http://" && !strings.Contains(host, ":") {
		b, f = parse("https://"+s, nil)
	}
	if f != nil {
		return "", false
	}
	return b.text, true
}

// cutMisspeltScheme removes a scheme that lacks its colon, or has another character in its
// place, as in https//host and https.//host. It would be taken for the host. The result is
// the rest and the scheme as it is spelt, or "" if s does not begin with one.
func cutMisspeltScheme(s, separator string) (rest, scheme string) {
	for _, name := range [...]string{"https", "http"} {
		rest, ok := cutPrefixFold(s, name)
		if !ok {
			continue
		}
		rest = strings.TrimLeft(rest, ".:;,")
		if strings.HasPrefix(rest, separator) {
			return strings.TrimLeft(rest, "/"), name + "://"
		}
	}
	return s, ""
}

// repairPath cuts the well-known part out of a path that begins with "/", merges
// slashes and escapes what is not ASCII. The result begins with "/" too.
func repairPath(path string) string {
	if i, n := findWellKnown(path); i >= 0 {
		// An inserted location (RFC 8414 section 3.1) has the issuer's own path
		// behind the name, an appended one (OpenID Discovery section 4) before
		// the well-known part.
		_, rest, _ := strings.Cut(strings.TrimPrefix(path[i+n:], "/"), "/")
		path = path[:i] + "/" + rest
	}
	for strings.Contains(path, "//") {
		path = strings.ReplaceAll(path, "//", "/")
	}
	var b strings.Builder
	for i := range len(path) {
		if path[i] < 0x80 {
			b.WriteByte(path[i])
		} else {
			b.WriteString(escape(path[i : i+1]))
		}
	}
	return b.String()
}

func cutPrefixFold(s, prefix string) (string, bool) {
	if len(s) >= len(prefix) && equalFold(s[:len(prefix)], prefix) {
		return s[len(prefix):], true
	}
	return s, false
}
