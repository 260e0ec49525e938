package proxyproto

// The first bytes of a PROXY header. Those of version 1 include the protocol word and the
// byte after it, because "PROXY NOOP" is a legal IMAP command whose tag is PROXY.
var signatures = [...]string{
	v2Signature,
	"PROXY TCP4 ",
	"PROXY TCP6 ",
	"PROXY UNKNOWN ",
	"PROXY UNKNOWN\r",
}

const (
	v2Signature   = "\r\n\r\n\x00\r\nQUIT\n" // proxy-protocol.txt section 2.2
	v1Signature   = "PROXY"                  // section 2.1
	allSignatures = 1<<len(signatures) - 1
)

// A verdict describes the bytes of a stream so far.
type verdict uint8

const (
	undecided verdict = iota // may still become a header
	noHeader                 // is not a header, and will not become one
	isHeader                 // begins with a signature
)

// A matcher compares the beginning of a stream with the signatures, in pieces
// of any size. The zero value is at the start of the stream.
type matcher struct {
	pos   uint8 // bytes matched so far
	dead  uint8 // set of signatures that no longer fit
	found uint8 // the signature that was found
}

// feed takes the next bytes of the stream. Once it returned noHeader or
// isHeader it must not be called again.
func (m *matcher) feed(b []byte) verdict {
	for _, c := range b {
		for i, s := range signatures {
			if m.dead&(1<<i) != 0 {
				continue
			}
			if s[m.pos] != c {
				m.dead |= 1 << i
			} else if int(m.pos) == len(s)-1 {
				m.found = uint8(i)
				return isHeader
			}
		}
		if m.dead == allSignatures {
			return noHeader
		}
		m.pos++
	}
	return undecided
}
