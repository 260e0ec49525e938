package msgauth

import (
	"crypto/tls"
	"net"
	"net/netip"
	"regexp"
	"strings"
	"time"

	"github.com/seed-94e48765/portico/examples/mailfront/internal/client"
)

// A Trace has the facts for a Received field.
type Trace struct {
	Client client.Client
	HELO   string
	TLS    string // from DescribeTLS
	User   bool   // whether the client has logged in
	UTF8   bool   // whether the client has used SMTPUTF8
	By     string // host name of this server
	ID     string
	To     []string
	At     time.Time
}

// Field returns the Received field (RFC 5321 section 4.4) with its CRLF. It contains text of the
// client or of a proxy only if the text is well-formed. If the client is not known, the field
// has no address.
func (t Trace) Field() string {
	var b strings.Builder
	b.WriteString("Received: from ")
	if helo := strings.ToLower(t.HELO); IsDomain(helo) {
		b.WriteString(helo)
	} else if literal := literalOf(t.HELO); literal != "" {
		b.WriteString(literal)
	} else {
		b.WriteString("unknown")
	}
	if t.Client.Known && t.Client.IP.IsValid() {
		b.WriteString(" (" + addressLiteral(t.Client.IP) + ")")
	} else {
		b.WriteString(" (client not known)") // a comment instead of the address, because the proxy's address would be wrong
	}
	if t.Client.TLS && t.TLS != "" {
		b.WriteString("\r\n\t(using " + t.TLS + ")")
	}
	b.WriteString("\r\n\tby " + t.By + " with " + t.protocol() + " id " + t.ID)
	if len(t.To) == 1 && plainAddress.MatchString(t.To[0]) && len(t.To[0]) <= 254 { // several recipients could reveal Bcc, section 7.2
		b.WriteString("\r\n\tfor <" + t.To[0] + ">")
	}
	b.WriteString(";\r\n\t" + t.At.Format(time.RFC1123Z) + "\r\n")
	return b.String()
}

// protocol returns a name of RFC 3848 or RFC 6531 section 3.7.3. go-smtp does not report whether the
// client has used HELO.
func (t Trace) protocol() string {
	protocol := "ESMTP"
	if t.UTF8 {
		protocol = "UTF8SMTP"
	}
	if t.Client.TLS {
		protocol += "S"
	}
	if t.User {
		protocol += "A"
	}
	return protocol
}

// addressLiteral returns the address literal of RFC 5321 section 4.1.3.
func addressLiteral(ip netip.Addr) string {
	if ip.Is6() {
		return "[IPv6:" + ip.String() + "]"
	}
	return "[" + ip.String() + "]"
}

// literalOf returns helo if it is an address literal, and "" otherwise.
func literalOf(helo string) string {
	inner, opened := strings.CutPrefix(helo, "[")
	inner, closed := strings.CutSuffix(inner, "]")
	if ip, err := netip.ParseAddr(strings.TrimPrefix(inner, "IPv6:")); err == nil && opened && closed && ip.Zone() == "" {
		return addressLiteral(ip)
	}
	return ""
}

// DescribeTLS returns the version and cipher of the client's TLS, from the PROXY header or
// otherwise from c. Use it only if cl.TLS is set, because the TLS of c may be the proxy's own.
// It returns "" if neither is available.
func DescribeTLS(cl client.Client, c net.Conn) string {
	if cl.Info != nil && cl.Info.TLS != nil && cl.Info.TLS.Client {
		return wordsOf(cl.Info.TLS.Version, cl.Info.TLS.Cipher)
	}
	for {
		if tc, ok := c.(*tls.Conn); ok {
			state := tc.ConnectionState()
			version := strings.Replace(tls.VersionName(state.Version), "TLS ", "TLSv", 1)
			return wordsOf(version, tls.CipherSuiteName(state.CipherSuite))
		}
		below, ok := c.(interface{ NetConn() net.Conn })
		if !ok {
			return "" // a proxy has ended the TLS and reports no version
		}
		c = below.NetConn()
	}
}

// tlsWord matches versions and ciphers. Info.TLS may contain any text of a proxy.
var tlsWord = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$`)

func wordsOf(version, cipher string) string {
	if !tlsWord.MatchString(version) {
		return ""
	}
	if !tlsWord.MatchString(cipher) {
		return version
	}
	return version + " with cipher " + cipher
}
