package forwarded

import "net/netip"

// maxToken bounds an entry of X-Forwarded-For, the blanks around it included. The
// longest that means anything is an IPv6 address with an IPv4 tail, a zone of 15
// bytes (Linux's IFNAMSIZ), brackets and a port: 69 bytes. Without a bound, a
// client's kilobytes without a comma would be searched for one.
const maxToken = 128

// address reads the rightmost entry of an X-Forwarded-For header.
func (l *list) address() (netip.Addr, fault) {
	s := l.rest
	i := len(s)
	floor := max(i-maxToken, 0)
	for i > floor && s[i-1] != ',' {
		i--
	}
	if i > 0 && s[i-1] != ',' {
		return netip.Addr{}, faultTooLong
	}
	l.readTo(i)
	if s = trim(s[i:]); s == "" {
		return netip.Addr{}, faultEmpty
	}
	return parseAddress(s)
}
