package forwarded

import "net/netip"

// maxToken is the largest length of an entry of X-Forwarded-For, blanks included. The
// longest valid entry is an IPv6 address with an IPv4 tail, a zone of 15 bytes (Linux's
// IFNAMSIZ), brackets and a port: 69 bytes. Without a bound, a client's kilobytes
// without a comma would be searched for one.
const maxToken = 128

// address reads the rightmost entry of an X-Forwarded-For header.
func (l *list) address() (netip.Addr, fault) {
	s := l.rest
	if len(s) > maxToken {
		s = s[len(s)-maxToken:]
	}
	i := len(s)
	for i > 0 && s[i-1] != ',' {
		i--
	}
	cut := len(l.rest) - len(s)
	if i == 0 && cut > 0 && l.rest[cut-1] != ',' {
		return netip.Addr{}, faultTooLong
	}
	l.readTo(cut + i)
	if s = trim(s[i:]); s == "" {
		return netip.Addr{}, faultEmpty
	}
	return parseAddress(s)
}
