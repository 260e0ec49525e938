package discovery

import (
	"crypto/sha256"
	"encoding/base64"
	"strconv"
)

// A Document names one of the documents of a [Set], for [Set.Bytes]. If there may be several
// documents of a kind, a function such as [ResourceDocument] returns the name.
type Document string

// The documents that a Set has at most once.
const (
	OAuthDocument   Document = "oauth-authorization-server" // RFC 8414
	OpenIDDocument  Document = "openid-configuration"       // OpenID Connect Discovery 1.0
	WebUIDocument   Document = "api-discover"
	JMAPDocument    Document = "jmap-session" // depends on the account: Set.Session, never Set.Bytes
	BaseResource    Document = "oauth-protected-resource"
	DAVDocument     Document = "dav" // redirects only
	configDocument  Document = "config"
	contentTypeJSON          = "application/json"
)

// A document is an encoded body with its header fields.
type document struct {
	body        []byte
	etag        string // with its quotes
	contentType string
	length      string
}

func newDocument(body []byte, contentType string) *document {
	sum := sha256.Sum256(body)
	etag := `"` + base64.RawURLEncoding.EncodeToString(sum[:18]) + `"`
	return &document{
		body:        body,
		etag:        etag,
		contentType: contentType,
		length:      strconv.Itoa(len(body)),
	}
}
