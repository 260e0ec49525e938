package forwarded_test

import (
	"net/netip"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/seed-94e48765/portico/forwarded"
	"github.com/seed-94e48765/portico/trustnet"
)

// The oracle is a second, simple resolver: it joins the lines, cuts entries off the right
// end, and parses addresses with net/netip. The fuzz targets compare it with the real one.

// oracle returns the correct result of a walk from the trusted address peer. A count that is
// not 0 is TrustedHops.
func oracle(name forwarded.Header, lines []string, peer netip.Addr, trusted *trustnet.Set, maxHops, count int) forwarded.Result {
	res := forwarded.Result{Last: peer, Peer: peer, Reason: forwarded.NoHeader}
	if len(lines) == 0 {
		return res
	}
	rest, more := strings.Join(lines, ","), true
	for more {
		if res.Hops == maxHops {
			res.Reason = forwarded.TooManyHops
			return res
		}
		var a netip.Addr
		var reason forwarded.Reason
		if name == forwarded.XForwardedFor {
			a, reason, rest, more = oracleAddress(rest)
		} else {
			a, reason, rest, more = oracleElement(rest)
		}
		if reason != forwarded.UntrustedHop {
			res.Reason = reason
			return res
		}
		if counted := count == res.Hops+1; counted && (a.IsLoopback() || a.IsMulticast()) {
			res.Reason = forwarded.Malformed
			return res
		} else if counted || count == 0 && !trusted.Contains(a) {
			res.Client, res.Last, res.Hops = a, a, res.Hops+1
			res.Reason = forwarded.UntrustedHop
			if counted {
				res.Reason = forwarded.CountedHop
			}
			return res
		}
		res.Last = a
		res.Hops++
	}
	res.Reason = forwarded.AllTrusted
	if count > 0 {
		res.Reason = forwarded.TooFewHops
	}
	return res
}

// oracleAddress reads the last entry of an X-Forwarded-For header. The reason is
// UntrustedHop if it is an address.
func oracleAddress(s string) (a netip.Addr, reason forwarded.Reason, rest string, more bool) {
	i := strings.LastIndexByte(s, ',')
	entry := s[i+1:]
	if len(entry) > forwarded.MaxToken {
		return a, forwarded.Malformed, "", false
	}
	rest, more = s[:max(i, 0)], i >= 0
	entry = strings.Trim(entry, " \t")
	if a, ok := oracleIP(entry, portPattern); ok {
		return a, oracleKnown(a), rest, more
	}
	if a, err := netip.ParseAddr(entry); err == nil && a.Is6() && zonePattern.MatchString(a.Zone()) {
		a = a.WithZone("").Unmap()
		return a, oracleKnown(a), rest, more
	}
	return a, oracleHidden(entry), "", false
}

var (
	portPattern     = regexp.MustCompile(`^(:[0-9]{1,5})?$`)
	nodePortPattern = regexp.MustCompile(`^(:([0-9]{1,5}|_[A-Za-z0-9._-]+))?$`)
	zonePattern     = regexp.MustCompile(`^[!-Z\\^-~]*$`) // visible, no brackets
	hiddenPattern   = regexp.MustCompile(`^((?i:unknown)|_[A-Za-z0-9._-]+)$`)
)

// oracleIP parses v4, v4:port, [v6] and [v6]:port.
func oracleIP(s string, port *regexp.Regexp) (netip.Addr, bool) {
	host, rest := s, ""
	bracketed := strings.HasPrefix(s, "[")
	if bracketed {
		var ok bool
		if host, rest, ok = strings.Cut(s[1:], "]"); !ok {
			return netip.Addr{}, false
		}
	} else if i := strings.IndexByte(s, ':'); i >= 0 {
		host, rest = s[:i], s[i:]
	}
	a, err := netip.ParseAddr(host)
	if err != nil || a.Is6() != bracketed || !zonePattern.MatchString(a.Zone()) || !port.MatchString(rest) {
		return netip.Addr{}, false
	}
	if n, err := strconv.Atoi(strings.TrimPrefix(rest, ":")); err == nil && n > 65535 {
		return netip.Addr{}, false
	}
	return a.WithZone("").Unmap(), true
}

func oracleKnown(a netip.Addr) forwarded.Reason {
	if a.IsUnspecified() {
		return forwarded.Obfuscated
	}
	return forwarded.UntrustedHop
}

func oracleHidden(s string) forwarded.Reason {
	if hiddenPattern.MatchString(s) {
		return forwarded.Obfuscated
	}
	return forwarded.Malformed
}

// The grammar of RFC 7239 section 4, blanks around semicolons added. (?s-s:…) and
// \x escapes make it a grammar of bytes, after latin1.
const (
	tchars  = "[!#$%&'*+.^_`|~0-9A-Za-z-]+"
	quoted  = `"(?:[\t \x21\x23-\x5b\x5d-\x7e\x{80}-\x{ff}]|\\[\t \x21-\x7e\x{80}-\x{ff}])*"`
	pair    = tchars + `=(?:` + tchars + `|` + quoted + `)`
	blanks  = `[ \t]*`
	element = blanks + `(?:` + pair + `)?(?:` + blanks + `;` + blanks + `(?:` + pair + `)?)*` + blanks
)

var (
	elementPattern = regexp.MustCompile(`^` + element + `$`)
	firstPattern   = regexp.MustCompile(`^` + element)
	pairPattern    = regexp.MustCompile(pair)
	escapePattern  = regexp.MustCompile(`\\(.)`)
)

// latin1 returns s with each byte as one character, for the regular expressions.
func latin1(s string) string {
	r := make([]rune, len(s))
	for i := range len(s) {
		r[i] = rune(s[i])
	}
	return string(r)
}

// leftToRight splits a Forwarded header into elements by the grammar. It returns false
// if the header does not follow the grammar, or has an empty element.
func leftToRight(s string) (elements []string, ok bool) {
	for {
		n := utf8.RuneCountInString(firstPattern.FindString(latin1(s))) // a rune for each byte
		if strings.Trim(s[:n], " \t;") == "" {
			return nil, false
		}
		elements = append(elements, s[:n])
		if n == len(s) {
			return elements, true
		}
		if s[n] != ',' {
			return nil, false
		}
		s = s[n+1:]
	}
}

// oracleElement returns the last element of a Forwarded header. It is the shortest text after
// a comma that the grammar accepts, or the whole header.
func oracleElement(s string) (a netip.Addr, reason forwarded.Reason, rest string, more bool) {
	for i := len(s); i >= 0; i-- {
		if i > 0 && s[i-1] != ',' {
			continue
		}
		if len(s)-i > forwarded.MaxElement {
			break
		}
		text := latin1(s[i:])
		if !elementPattern.MatchString(text) {
			continue
		}
		params := map[string]string{}
		for i, p := range pairPattern.FindAllString(text, -1) {
			if i == forwarded.MaxPairs {
				return a, forwarded.Malformed, "", false
			}
			name, value, _ := strings.Cut(p, "=")
			name = strings.ToLower(name)
			if strings.HasPrefix(value, `"`) {
				value = escapePattern.ReplaceAllString(value[1:len(value)-1], "$1")
			}
			if _, twice := params[name]; twice && (name == "for" || name == "by" || name == "host" || name == "proto") {
				return a, forwarded.Malformed, "", false
			}
			params[name] = value
		}
		node, ok := params["for"]
		if !ok {
			return a, forwarded.Malformed, "", false
		}
		rest, more = s[:max(i-1, 0)], i > 0
		if a, ok := oracleIP(node, nodePortPattern); ok {
			return a, oracleKnown(a), rest, more
		}
		if name, port, ok := strings.Cut(node, ":"); ok && nodePortPattern.MatchString(":"+port) {
			if n, err := strconv.Atoi(port); err != nil || n <= 65535 {
				node = name
			}
		}
		return a, oracleHidden(node), "", false
	}
	return a, forwarded.Malformed, "", false
}
