package trustnet

import (
	"fmt"
	"net/netip"
	"strings"
)

// parseHost checks the name of a dns: item and returns it in lower case. It accepts
// letters, digits, hyphens, and underscores, which Docker Compose allows in the
// names of services.
func parseHost(s string) (string, error) {
	if a, err := netip.ParseAddr(s); err == nil {
		return "", nameErrorf("an address is not a DNS name: write %v", a.WithZone(""))
	}
	if host, _, ok := strings.Cut(s, ":"); ok && isHost(host) {
		return "", nameErrorf("a DNS name has no port: write dns:%s", host)
	}
	if !isHost(s) {
		return "", nameErrorf("not a DNS name: write dns: and letters, digits, hyphens and dots, as in dns:proxy.example.com")
	}
	return strings.ToLower(s), nil
}

// A nameError is an ErrSyntax whose text is about a name, and not about addresses.
type nameError string

func nameErrorf(format string, args ...any) error { return nameError(fmt.Sprintf(format, args...)) }

func (e nameError) Error() string { return string(e) }

func (nameError) Is(target error) bool { return target == ErrSyntax }

func isHost(s string) bool {
	s = strings.TrimSuffix(s, ".")
	if len(s) > 253 { // RFC 1035 section 2.3.4
		return false
	}
	var last string
	for label := range strings.SplitSeq(s, ".") {
		if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' {
			return false
		}
		for i := range len(label) {
			switch c := label[i]; {
			case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '-', c == '_':
			default:
				return false
			}
		}
		last = label
	}
	// Resolvers of the system take 127.1, 0x7f.1 and 2130706433 for addresses.
	digits, isHex := strings.CutPrefix(strings.ToLower(last), "0x")
	return strings.Trim(digits, "0123456789") != "" && !(isHex && strings.Trim(digits, "0123456789abcdef") == "")
}
