// What to copy: receivedField: a Received field that tells of the client, and of
// its TLS, where all that this machine has seen is a proxy (RFC 5321 section 4.4).
// What to change: nothing.

package main

import (
	"bytes"
	"crypto/tls"
	"net"
	"net/netip"
	"regexp"
	"strings"
	"time"

	"github.com/seed-94e48765/portico/examples/mailfront/internal/client"
)

// A trace is what the field is made of.
type trace struct {
	client client.Client
	helo   string
	tls    string // of tlsWords
	user   bool   // logged in
	by     string // this server
	id     string
	to     []string
	at     time.Time
}

// receivedField returns it with its CRLF. Nothing that a client or proxy said
// gets into it unchecked.
func (t trace) receivedField() string {
	var b strings.Builder
	b.WriteString("Received: from ")
	if helo := strings.ToLower(t.helo); len(helo) <= 253 && domainPattern.MatchString(helo) {
		b.WriteString(helo)
	} else if literal := literalOf(t.helo); literal != "" {
		b.WriteString(literal)
	} else {
		b.WriteString("unknown")
	}
	if t.client.Known && t.client.IP.IsValid() {
		b.WriteString(" (" + addressLiteral(t.client.IP) + ")")
	} else {
		b.WriteString(" (client not known)") // a comment; the proxy's address would be a lie
	}
	if t.client.TLS && t.tls != "" {
		b.WriteString("\r\n\t(using " + t.tls + ")")
	}
	b.WriteString("\r\n\tby " + t.by + " with " + t.protocol() + " id " + t.id)
	if len(t.to) == 1 && plainAddress.MatchString(t.to[0]) && len(t.to[0]) <= 254 { // more would tell of Bcc, section 7.2
		b.WriteString("\r\n\tfor <" + t.to[0] + ">")
	}
	b.WriteString(";\r\n\t" + t.at.Format(time.RFC1123Z) + "\r\n")
	return b.String()
}

// protocol is what RFC 3848 says. go-smtp does not tell who said HELO.
func (t trace) protocol() string {
	protocol := "ESMTP"
	if t.client.TLS {
		protocol += "S"
	}
	if t.user {
		protocol += "A"
	}
	return protocol
}

// addressLiteral is that of RFC 5321 section 4.1.3.
func addressLiteral(ip netip.Addr) string {
	if ip.Is6() {
		return "[IPv6:" + ip.String() + "]"
	}
	return "[" + ip.String() + "]"
}

// literalOf returns helo if it is an address literal, else "".
func literalOf(helo string) string {
	inner, opened := strings.CutPrefix(helo, "[")
	inner, closed := strings.CutSuffix(inner, "]")
	if ip, err := netip.ParseAddr(strings.TrimPrefix(inner, "IPv6:")); err == nil && opened && closed && ip.Zone() == "" {
		return addressLiteral(ip)
	}
	return ""
}

// tlsWords tells the version and cipher of the client's TLS: what the proxy says
// that ended it, or else what we have seen. The client has to be on TLS: what we
// see may be the proxy's own.
func tlsWords(cl client.Client, c net.Conn) string {
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
			return "" // a proxy ended it, and did not say more
		}
		c = below.NetConn()
	}
}

// tlsWord is how versions and ciphers look. Info.TLS holds any words of a proxy.
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

// wellFormed refuses a message that could say more than its lines do: a line that
// goes on with ours, as it begins with a blank (RFC 5322 section 2.2.3), and a bare CR
// (RFC 5321 section 2.3.8), where some readers see the end of a line.
func wellFormed(message []byte) bool {
	if len(message) > 0 && (message[0] == ' ' || message[0] == '\t') {
		return false
	}
	for {
		i := bytes.IndexByte(message, '\r')
		if i < 0 {
			return true
		}
		if message = message[i+1:]; len(message) == 0 || message[0] != '\n' {
			return false
		}
	}
}

// splitMessage returns the header with its last line end, and the rest.
func splitMessage(message []byte) (header, rest []byte) {
	for end := 0; end < len(message); {
		line := message[end:]
		if i := bytes.IndexByte(line, '\n'); i >= 0 {
			line = line[:i+1]
		}
		if len(bytes.TrimRight(line, "\r\n")) == 0 {
			return message[:end], message[end:]
		}
		end += len(line)
	}
	return message, nil
}

// A field is a header field, as it is in the message.
type field []byte

// fieldsOf cuts a header before every line that does not go on with another.
func fieldsOf(header []byte) []field {
	var fields []field
	begin := 0
	for i := range header {
		next := i + 1
		if header[i] == '\n' && (next == len(header) || header[next] != ' ' && header[next] != '\t') {
			fields = append(fields, field(header[begin:next]))
			begin = next
		}
	}
	if begin < len(header) {
		fields = append(fields, field(header[begin:]))
	}
	return fields
}

// split returns the name and the unfolded value.
func (f field) split() (name, value string) {
	name, value, _ = strings.Cut(string(f), ":")
	value = strings.NewReplacer("\r", "", "\n", "").Replace(value)
	return strings.TrimSpace(name), strings.TrimSpace(value)
}

// withoutForged returns the header without the results that claim to be of this
// server (RFC 8601 section 5). Any mention of its name counts: there are many ways
// to write one in front of the first semicolon, and nobody has to believe the
// results of others.
func withoutForged(header []byte, server string) []byte {
	kept := make([]byte, 0, len(header))
	for _, f := range fieldsOf(header) {
		name, value := f.split()
		value = strings.ToLower(strings.ReplaceAll(value, `\`, ""))
		if !strings.EqualFold(name, "Authentication-Results") || !strings.Contains(value, server) {
			kept = append(kept, f...)
		}
	}
	return kept
}
