package forwarded

import "strings"

// clientHeaders are request headers that clients set themselves, in lower case: a proxy passes
// them on, so they cannot have the address of the client. net/http removes some of them, such as
// Host and Connection, from Request.Header. The list is not complete.
var clientHeaders = map[string]bool{
	"host": true, "authorization": true, "cookie": true, "user-agent": true, "referer": true, "origin": true,
	"from": true, "expect": true, "max-forwards": true, "range": true, "date": true, // RFC 9110
	"cache-control": true, "pragma": true, // RFC 9111
	"priority": true, "dnt": true, "upgrade-insecure-requests": true, "last-event-id": true,

	// Hop-by-hop headers (RFC 9110 section 7.6.1, RFC 9112 section 9)
	"connection": true, "proxy-connection": true, "keep-alive": true, "te": true, "trailer": true, "transfer-encoding": true,
	"upgrade": true, "http2-settings": true, "proxy-authorization": true, "proxy-authenticate": true,
}

var clientHeaderPrefixes = []string{"accept", "content-", "if-", "sec-", "access-control-"}

// isClientHeader reports whether clients set the header themselves.
func isClientHeader(name string) bool {
	name = strings.ToLower(name)
	for _, prefix := range clientHeaderPrefixes {
		if strings.HasPrefix(name, prefix) {
			return true
		}
	}
	return clientHeaders[name]
}
