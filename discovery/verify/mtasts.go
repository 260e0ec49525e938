package verify

import (
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

const maxMTASTSAge = 31_557_600 // seconds, a year

// mtaSTSPolicy checks an MTA-STS policy (RFC 8461 section 3.2).
func (v *verifier) mtaSTSPolicy(l mailLocation, a *fetched) {
	has := make(map[string]string) // the first of each counts
	var usable, unusable []string  // values of mx, which may be repeated
	for line := range strings.Lines(string(a.body)) {
		name, value, ok := strings.Cut(strings.TrimRight(line, "\r\n"), ":")
		if !ok {
			continue
		}
		value = strings.Trim(value, " \t")
		if _, again := has[name]; !again {
			has[name] = value
		}
		switch {
		case name != "mx":
		case isMXPattern(value):
			usable = append(usable, value)
		default:
			unusable = append(unusable, value)
		}
	}
	modes := []string{"enforce", "testing", "none"}
	age, err := strconv.ParseUint(has["max_age"], 10, 64)
	if has["version"] != "STSv1" || !slices.Contains(modes, has["mode"]) || err != nil || age > maxMTASTSAge {
		v.malformedMail(l, a, "a policy with version: STSv1, a mode of enforce, testing and none, and max_age in seconds, a year at most")
		return
	}
	if has["mode"] != "none" && (len(usable) == 0 || len(unusable) > 0) {
		f := Finding{Document: l.document, URL: l.url, Field: "mx", Rule: ruleMalformed, Severity: SeverityError, Got: "no mx", Want: "a name such as mx.example.com, or *.example.com",
			Hint: "senders that obey the policy deliver no mail to the domain, since no host matches it: list the name of every MX record, in A-labels, a line each (RFC 8461 section 3.2)"}
		if len(unusable) > 0 {
			f.Got = strings.Join(unusable, ", ")
		}
		if len(usable) > 0 {
			f.Severity = SeverityWarning
			f.Hint = "this mx matches no host, and senders may refuse the whole policy: write a host name in A-labels, with a wildcard as its first label only (RFC 8461 section 3.2)"
		}
		v.add(f)
		return
	}
	if t := mediaType(a); t != "text/plain" {
		v.add(Finding{Document: l.document, URL: l.url, Rule: ruleContentType, Severity: SeverityWarning, Got: a.header.Get("Content-Type"), Want: "text/plain",
			Hint: "RFC 8461 section 3.2 requires the type, and some senders check it"})
	}
}

// isMXPattern reports whether a value of mx is a domain name, or one whose first label is
// the wildcard (RFC 8461 section 3.2, RFC 5321 section 4.1.2). An address literal is
// neither.
func isMXPattern(s string) bool {
	s = strings.TrimPrefix(s, "*.")
	if s == "" || len(s) > 253 {
		return false
	}
	if _, err := netip.ParseAddr(s); err == nil {
		return false
	}
	for label := range strings.SplitSeq(s, ".") {
		if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' {
			return false
		}
		for _, c := range []byte(label) {
			if c != '-' && (c < '0' || c > '9') && (c|0x20 < 'a' || c|0x20 > 'z') {
				return false
			}
		}
	}
	return true
}
