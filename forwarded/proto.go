package forwarded

import "strings"

// readsXForwardedProto reports whether Config.Proto applies to X-Forwarded-Proto.
// Otherwise it applies to the proto parameter of Forwarded.
func (r *Resolver) readsXForwardedProto() bool {
	return r.cfg.Header == XForwardedFor || r.cfg.SingleHeader != ""
}

// A protoFault is the reason why X-Forwarded-Proto is not used.
type protoFault uint8

const (
	protoNone protoFault = iota
	protoAbsent
	protoOther
	protoDiffers
	protoTooMany
)

// listedProto returns the scheme in the lines of X-Forwarded-Proto, "http" or "https".
// Some proxies add a value to the list and others replace it, so that several values
// are accepted if they are equal. If there are more values than hops, trusted proxies did
// not write all of them. One value needs no hop.
func listedProto(lines []string, hops int) (string, protoFault) {
	if len(lines) == 0 {
		return "", protoAbsent
	}
	proto := ""
	n := 0
	for _, line := range lines {
		for more := true; more; {
			var value string
			value, line, more = strings.Cut(line, ",")
			p := protoOf(trim(value))
			n++
			switch {
			case p == "":
				return "", protoOther
			case n > max(hops, 1):
				return "", protoTooMany
			case n > 1 && p != proto:
				return "", protoDiffers
			}
			proto = p
		}
	}
	return proto, protoNone
}

// protoOf returns "http" or "https" if s is one of them in any case (RFC 3986 section
// 3.1), else "".
func protoOf(s string) string {
	const https = "https"
	if len(s) != len(https) && len(s) != len(https)-1 {
		return ""
	}
	for i := range len(s) {
		if s[i]|0x20 != https[i] {
			return ""
		}
	}
	return https[:len(s)]
}
