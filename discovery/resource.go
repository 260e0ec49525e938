package discovery

import (
	"net/url"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/seed-94e48765/portico/publicurl"
)

// A Resource is a protected resource and the authorization servers that issue tokens
// for it (RFC 9728 section 2). Clients find its document from its URL or from
// a 401 answer: see [Set.Challenge].
//
// With Config.OAuth or Config.AuthorizationServers the base is a protected resource by
// default, and with Config.JMAP the session too. An entry with the same Path replaces the
// default.
type Resource struct {
	// Path is that of the resource below the base, such as "/dav/cal/"; "" is the
	// base itself. The resource is exactly this URL: a client must not use the
	// document for another URL (RFC 9728 section 3.3), nor for a URL below it.
	Path string

	Name string // resource_name, for people to read

	// AuthorizationServers are the issuers of authorization servers, as they
	// spell themselves (authorization_servers). The default is the server's own with
	// Config.OAuth, and Config.AuthorizationServers otherwise.
	AuthorizationServers []string

	// Scopes are scopes_supported. The default is OAuth.Scopes. With
	// Config.AuthorizationServers those of the base are the scopes that autoconfig names.
	Scopes []string

	// BearerMethods are bearer_methods_supported: "header", "body" and "query"
	// (RFC 6750 section 2); default "header".
	BearerMethods []string

	// Extra contains further members of the document.
	Extra map[string]any
}

// ResourceDocument names the document of the protected resource with this
// [Resource.Path]: BaseResource for "".
func ResourceDocument(path string) Document { return BaseResource + Document(path) }

// A resourceMetadata is the document (RFC 9728 section 2).
type resourceMetadata struct {
	Resource             string   `json:"resource"`
	AuthorizationServers []string `json:"authorization_servers,omitempty"`
	Scopes               []string `json:"scopes_supported,omitempty"`
	BearerMethods        []string `json:"bearer_methods_supported,omitempty"`
	Name                 string   `json:"resource_name,omitempty"`
}

const resourceClause = "RFC 9728 section 2"

func (b *builder) resources() {
	b.realm()
	all := b.config.Resources
	implied := func(path string) {
		if !slices.ContainsFunc(all, func(r Resource) bool { return r.Path == path }) {
			all = append(slices.Clip(all), Resource{Path: path})
		}
	}
	issued := len(b.tokenIssuers()) > 0
	if issued {
		implied("")
	}
	if j := b.config.JMAP; j != nil && j.SessionPath != None {
		b.set.sessionResource = orDefault(j.SessionPath, defaultSessionPath)
		if issued {
			implied(b.set.sessionResource)
		}
	}
	for i, r := range all {
		if slices.ContainsFunc(all[:i], func(before Resource) bool { return before.Path == r.Path }) {
			b.twice(ResourceDocument(r.Path))
			continue
		}
		b.resource(r)
	}
}

func (b *builder) resource(r Resource) {
	d := ResourceDocument(r.Path)
	m := resourceMetadata{
		Resource:             b.base.String(),
		AuthorizationServers: r.AuthorizationServers,
		Scopes:               r.Scopes,
		BearerMethods:        listOr(r.BearerMethods, "header"),
		Name:                 r.Name,
	}
	if r.Path != "" {
		u, err := b.base.Join(r.Path)
		if err != nil {
			b.fail(&Error{Document: d, Field: "resource", Input: r.Path, Rule: `use a path below the base, or "" for the base itself`, Clause: resourceClause, Err: err})
			return
		}
		m.Resource = u
	}
	m.AuthorizationServers = listOr(m.AuthorizationServers, b.tokenIssuers()...)
	if b.config.OAuth != nil && m.Scopes == nil {
		m.Scopes = b.metadata.Scopes
	}
	if !utf8.ValidString(r.Name) {
		b.fail(&Error{Document: d, Field: "resource_name", Input: r.Name, Rule: "use valid UTF-8", Clause: "RFC 8259 section 8.1"})
	}
	b.checkIssuers(d, "authorization_servers", r.AuthorizationServers)
	if r.Scopes != nil { // else they have been checked
		b.checkList(d, "scopes_supported", r.Scopes, isScope, scopeRule, scopeClause)
	}
	b.checkList(d, "bearer_methods_supported", m.BearerMethods, func(s string) bool { return s == "header" || s == "body" || s == "query" }, `use "header", "body" and "query"`, resourceClause)
	b.checkExtra(d, r.Extra, "RFC 9728 section 3.2", resourceClause)

	paths, metadataURL := b.resourcePaths(r.Path)
	if b.base.IsRelative() {
		// A resource identifier is an absolute URL (RFC 9728 section 1.2). What would
		// be wrong on the real base is an error already.
		b.encode(d, m, r.Extra)
		b.absent(d, paths...)
	} else {
		b.add(d, m, r.Extra, paths...)
	}
	b.challenge(r.Path, metadataURL)
}

// resourcePaths returns the paths of the document of a resource, and its URL, or ""
// with a relative base.
//
// A document is valid only if its resource is the URL from which the client made the
// location (RFC 9728 section 3.3). For a resource below the base that leaves one location,
// which a proxy does not strip because it is at the origin. For the base the locations of
// WellKnownAliases are valid too. /mail/.well-known/oauth-protected-resource is made
// from https://example.com/mail by the rule of OpenID, and the resource is the same. If
// the proxy strips /mail, it arrives as
// /.well-known/oauth-protected-resource, which also is where clients of the Model
// Context Protocol look last: they accept a resource above their own URL. A client
// that began at https://example.com refuses the document, as it would refuse a 404.
func (b *builder) resourcePaths(path string) (paths []string, metadataURL string) {
	paths = b.wellKnown(publicurl.OAuthProtectedResource)
	if path != "" {
		paths = []string{paths[0] + path}
	}
	if b.base.IsRelative() {
		return paths, ""
	}
	resource := path
	if path == "" {
		resource = b.base.String()
	}
	metadataURL, err := b.base.MetadataURL(resource)
	if err != nil { // Join has accepted the path
		b.fail(&Error{Document: ResourceDocument(path), Field: "resource", Input: path, Rule: "it has no metadata URL", Clause: "RFC 9728 section 3.1", Err: err})
	}
	if path != "" {
		paths = []string{strings.TrimPrefix(metadataURL, b.base.Origin())}
	}
	return paths, metadataURL
}

// isHTTPS reports whether s is an https URL with a host, without user information, and with
// the characters of RFC 3986 only: url.Parse accepts the placeholder in https://<host>.
func isHTTPS(s string) bool {
	u, err := url.Parse(s)
	if err != nil || u.Scheme != "https" || u.Hostname() == "" || u.User != nil || !isASCII(s) || strings.ContainsAny(s, "\"<>\\^`{|}") {
		return false
	}
	port, err := strconv.ParseUint(u.Port(), 10, 16)
	return u.Port() == "" || err == nil && port > 0
}

// baseScopes returns the scopes of the base as a protected resource.
func (b *builder) baseScopes() []string {
	for _, r := range b.config.Resources {
		if r.Path == "" {
			return r.Scopes
		}
	}
	return nil
}
