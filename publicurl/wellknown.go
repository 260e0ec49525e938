package publicurl

import "strings"

// Name is a well-known name (RFC 8615 section 3), the one segment that follows
// "/.well-known/".
type Name string

// The well-known names with rules for path-mounted servers.
const (
	OAuthAuthorizationServer Name = "oauth-authorization-server" // RFC 8414 section 3
	OAuthProtectedResource   Name = "oauth-protected-resource"   // RFC 9728 section 3
	OpenIDConfiguration      Name = "openid-configuration"       // OpenID Connect Discovery 1.0 section 4
	JMAP                     Name = "jmap"                       // RFC 8620 section 2.2
	CalDAV                   Name = "caldav"                     // RFC 6764 section 5
	CardDAV                  Name = "carddav"                    // RFC 6764 section 5
)

const wellKnown = "/.well-known/"

// WellKnown returns the URL of the well-known document of the base according to its
// specification. With https://example.com/mail:
//
//   - OAuthAuthorizationServer and OAuthProtectedResource are inserted before the
//     prefix: https://example.com/.well-known/oauth-authorization-server/mail
//     (RFC 8414 section 3.1, RFC 9728 section 3.1);
//   - OpenIDConfiguration is appended to it:
//     https://example.com/mail/.well-known/openid-configuration (OpenID Connect
//     Discovery 1.0 section 4.1);
//   - every other name is at the origin, without the prefix:
//     https://example.com/.well-known/jmap (RFC 8615 section 3).
//
// A proxy that mounts the server on a path must therefore route these locations to
// it too. They are not below the base, so [Base.Contains] is false. On a relative base
// WellKnown returns path-absolute references. The error is an [*Error].
func (b Base) WellKnown(name Name) (string, error) {
	if err := b.checkName(name); err != nil {
		return "", err
	}
	switch name {
	case OAuthAuthorizationServer, OAuthProtectedResource:
		return b.Origin() + wellKnown + string(name) + b.Prefix(), nil
	case OpenIDConfiguration:
		return b.text + wellKnown + string(name), nil
	default:
		return b.Origin() + wellKnown + string(name), nil
	}
}

// WellKnownAliases returns every location that clients try for the document, in
// the usual order, that of [Base.WellKnown] first. A base without a prefix has one
// location. With a prefix clients also
//
//   - append every name to the base, in the way of OpenID;
//   - insert OpenID's, in the way of OAuth (RFC 8414 section 5);
//   - fall back to the origin for the two OAuth names, as clients of the Model
//     Context Protocol do. On a host that is shared this location may belong to
//     another server.
//
// The error is an [*Error].
func (b Base) WellKnownAliases(name Name) ([]string, error) {
	first, err := b.WellKnown(name)
	if err != nil {
		return nil, err
	}
	if b.Prefix() == "" {
		return []string{first}, nil
	}
	var (
		atOrigin = b.Origin() + wellKnown + string(name)
		inserted = atOrigin + b.Prefix()
		appended = b.text + wellKnown + string(name)
	)
	switch name {
	case OAuthAuthorizationServer, OAuthProtectedResource:
		return []string{inserted, appended, atOrigin}, nil
	case OpenIDConfiguration:
		return []string{appended, inserted}, nil
	default:
		return []string{atOrigin, appended}, nil
	}
}

// MetadataURL returns the URL of the metadata of a protected resource under the base (RFC
// 9728 section 3.1): the well-known part is inserted between the host and the path. It is
// the resource_metadata of a WWW-Authenticate challenge.
//
// The resource is either the identifier itself, a URL that the base contains, or a
// path for [Base.Join]. Both may have a query (RFC 9728 section 1.2 advises against it)
// and must not have a fragment. With https://example.com/mail the result for both
// "https://example.com/mail/jmap" and "/jmap" is
// https://example.com/.well-known/oauth-protected-resource/mail/jmap.
//
// A resource identifier is an absolute URL, so the error for a relative base is of kind
// ErrRelative. The error is an [*Error].
func (b Base) MetadataURL(resource string) (string, error) {
	switch b.mode {
	case invalid:
		return "", b.zero()
	case relative:
		f := fault{ErrRelative, 0, "a resource identifier is an absolute URL; it needs a base with a host"}
		return "", f.inURL(resource)
	}
	if strings.HasPrefix(resource, "/") {
		if f := b.checkResource(resource, 0); f != nil {
			return "", f.inPath(resource)
		}
		return b.metadataURL(b.Prefix() + resource), nil
	}
	rest, f := b.resourcePath(resource)
	if f != nil {
		return "", f.inURL(resource)
	}
	return b.metadataURL(rest), nil
}

// metadataURL inserts the well-known part before a path with query. RFC 9728
// section 3.1: a slash that ends the path directly behind the host is removed.
func (b Base) metadataURL(rest string) string {
	if rest == "/" || strings.HasPrefix(rest, "/?") {
		rest = rest[1:]
	}
	return b.Origin() + wellKnown + string(OAuthProtectedResource) + rest
}

// resourcePath returns path and query of a resource identifier under the base.
func (b Base) resourcePath(resource string) (string, *fault) {
	if resource == "" {
		return "", &fault{ErrEmpty, 0, `give the resource's URL, or its path under the base such as "/jmap"`}
	}
	if f := checkText(resource); f != nil {
		return "", f
	}
	o, f := parseOrigin(nil, resource, forHTTP)
	if f != nil {
		return "", f
	}
	rest := resource[o.end:]
	path, _, _ := strings.Cut(rest, "?")
	if !b.hasOrigin(&o) || !hasPrefix(path, b.Prefix()) {
		return "", &fault{ErrOutside, 0, "a resource has the origin of the base and lies below it: " + b.text}
	}
	return rest, b.checkResource(rest, o.end)
}

// checkResource checks path and query of a resource identifier.
func (b Base) checkResource(rest string, off int) *fault {
	if f := checkText(rest); f != nil {
		f.off += off
		return f
	}
	if i := strings.IndexByte(rest, '#'); i >= 0 {
		return &fault{ErrFragment, off + i, "a resource identifier has no fragment (RFC 9728 section 1.2)"}
	}
	path, query, _ := strings.Cut(rest, "?")
	if f := checkPath(path, off, withEncodedSeparators); f != nil {
		return f
	}
	return checkChars(query, off+len(path)+1, ErrQuery, 0)
}

func (b Base) checkName(name Name) error {
	if b.mode == invalid {
		return b.zero()
	}
	s := string(name)
	f := &fault{ErrWellKnown, 0, `give one segment, such as "jmap", without "/.well-known/"`}
	if s == "" || s == "." || s == ".." {
		return f.inPath(s)
	}
	for i := range len(s) {
		if c := s[i]; !isAlphanumeric(c) && strings.IndexByte("-._~", c) < 0 {
			f.off = i
			return f.inPath(s)
		}
	}
	return nil
}
