package publicurl

// Base is a public base URL, or a relative base for the time before a host name
// exists. It is immutable, may be compared with ==, used as a map key and shared
// between goroutines. The zero Base is invalid: its methods return empty strings, false,
// or an error of kind [ErrZero].
type Base struct {
	text    string // canonical; every other field follows from it
	origin  uint16 // text[:origin] is the origin, text[origin:] the prefix
	nameEnd uint16 // end of the host name in text
	port    uint16 // effective
	mode    mode
}

type mode uint8

const (
	invalid mode = iota
	relative
	absolute
)

// Relative returns the base of a server that has no host name yet (bootstrap) or has
// lost it (recovery). Its methods return path-absolute references (RFC 3986 section
// 4.2), such as /login, which a browser resolves against the address by which it
// reached the server.
//
// The prefix is "" or the path that the server is mounted on, such as "/mail". The rules
// of [Parse] for paths apply. The error is an [*Error].
func Relative(prefix string) (Base, error) {
	if f := checkRelative(prefix); f != nil {
		return Base{}, f.inPath(prefix)
	}
	return Base{text: string(appendPrefix(nil, prefix)), mode: relative}, nil
}

func checkRelative(prefix string) *fault {
	if f := checkText(prefix); f != nil {
		return f
	}
	if prefix != "" && prefix[0] != '/' {
		return &fault{ErrPath, 0, `give the prefix alone, such as "/mail", or "" without a prefix`}
	}
	return checkPrefix(prefix, 0)
}

// IsRelative reports whether b comes from [Relative]. It is false for the zero
// Base.
func (b Base) IsRelative() bool { return b.mode == relative }

// String returns the base in its canonical form, such as
// "https://example.com/mail", without a slash at the end. This is the issuer of
// OAuth and OpenID documents. The string of a relative base is its prefix, and that of
// the zero Base is "".
func (b Base) String() string { return b.text }

// Origin returns scheme, host and port as a browser serialises them (RFC 6454
// section 6.2), such as "https://mail.example.com:8443": the default port is
// left out. Origin returns "" for a relative base and for the zero Base.
func (b Base) Origin() string { return b.text[:b.origin] }

// Host returns the host, and the port unless it is the default one, as in the
// Host header field: "mail.example.com:8443", "[2001:db8::1]". It returns "" for a
// relative base and for the zero Base.
func (b Base) Host() string { return b.text[b.hostStart():b.origin] }

// Hostname returns the host without the port and, for IPv6, without the brackets,
// as in a certificate or a DNS query. It returns "" for a relative base and for the zero
// Base.
func (b Base) Hostname() string {
	name := b.text[b.hostStart():b.nameEnd]
	if name != "" && name[0] == '[' {
		return name[1 : len(name)-1]
	}
	return name
}

// Port returns the effective TCP port, which is 443 for https and 80 for http if the URL
// has no port. It returns 0 for a relative base and for the zero Base.
func (b Base) Port() uint16 { return b.port }

// Prefix returns the path that the server is mounted on, such as "/mail", without
// a slash at the end, or "" if the server has the whole host.
func (b Base) Prefix() string { return b.text[b.origin:] }

// secure reports whether b is an https base.
func (b Base) secure() bool { return b.mode == absolute && b.text[len("http")] == 's' }

func (b Base) hostStart() int {
	switch {
	case b.mode != absolute:
		return 0
	case b.secure():
		return len("https://")
	default:
		return len("http://")
	}
}

// MarshalText implements [encoding.TextMarshaler] with the form of [Base.String].
// It returns an error for a relative base (ErrRelative) and for the zero Base (ErrZero),
// so that neither is stored in a configuration.
func (b Base) MarshalText() ([]byte, error) {
	switch b.mode {
	case absolute:
		return []byte(b.text), nil
	case relative:
		return nil, &Error{Kind: ErrRelative, Input: b.text, Hint: "only a base with a host can be stored"}
	default:
		return nil, b.zero()
	}
}

// UnmarshalText implements [encoding.TextUnmarshaler]: [Parse] without options.
// On error b keeps its value.
func (b *Base) UnmarshalText(text []byte) error {
	parsed, err := Parse(string(text))
	if err != nil {
		return err
	}
	*b = parsed
	return nil
}

func (b Base) zero() *Error {
	return &Error{Kind: ErrZero, Hint: "make a base with Parse, FromHostname, FromEnv or Relative first"}
}
