package discovery

import (
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"

	"github.com/seed-94e48765/portico/publicurl"
)

// JMAP configures the URLs and capabilities of the JMAP server (RFC 8620 section 2,
// RFC 8887 section 3). The session document has these URLs, and the accounts that
// [ServerConfig.Session] returns. GET /.well-known/jmap redirects to it (RFC 8620
// section 2.2).
//
// The session, API, download and upload paths have defaults, and [None] is an error, because
// clients require them. A server without uploads or downloads answers there with an error.
type JMAP struct {
	SessionPath string // the session document; default "/jmap/session"
	APIPath     string // apiUrl; default "/jmap/"

	// The paths of the URI templates (RFC 6570 level 1) contain the variables that RFC
	// 8620 section 2 requires, each in braces, and no others:
	DownloadPath string // accountId, blobId, name, type; default "/jmap/download/{accountId}/{blobId}/{name}?accept={type}"
	UploadPath   string // accountId; default "/jmap/upload/{accountId}/"

	// EventSourcePath is the path of eventSourceUrl (RFC 8620 section 7.3), a template
	// with the variables types, closeafter and ping, such as
	// "/jmap/eventsource/?types={types}&closeafter={closeafter}&ping={ping}". Without it
	// the session has no eventSourceUrl, and clients poll. Some strictly typed clients
	// refuse a session without the member.
	EventSourcePath string

	// WebSocketPath is the endpoint of JMAP over web sockets (RFC 8887), such as
	// "/jmap/ws". Without it the session does not have the capability.
	WebSocketPath string
	WebSocketPush bool // supportsPush: the server sends StateChange objects over web sockets

	Core Core // the limits of the server

	// Capabilities are those beyond core and websocket, such as
	// "urn:ietf:params:jmap:mail", each with a value that encodes to a JSON
	// object; nil is the empty object. Build encodes them, so later changes have no
	// effect.
	Capabilities map[string]any

	// Extra contains further members of the session object, encoded by Build.
	Extra map[string]any
}

// A Core is the object of the capability urn:ietf:params:jmap:core (RFC 8620
// section 2). A limit of 0 is the default, the minimum that the RFC suggests.
// Limits are at most 2^53-1 (section 1.3).
type Core struct {
	MaxSizeUpload         int64 `json:"maxSizeUpload"`         // bytes in one uploaded file; default 50,000,000
	MaxConcurrentUpload   int64 `json:"maxConcurrentUpload"`   // uploads at a time for an account; default 4
	MaxSizeRequest        int64 `json:"maxSizeRequest"`        // bytes in one API request; default 10,000,000
	MaxConcurrentRequests int64 `json:"maxConcurrentRequests"` // API requests at a time for an account; default 4
	MaxCallsInRequest     int64 `json:"maxCallsInRequest"`     // method calls in one API request; default 16
	MaxObjectsInGet       int64 `json:"maxObjectsInGet"`       // objects for one /get call; default 500
	MaxObjectsInSet       int64 `json:"maxObjectsInSet"`       // creates, updates and destroys in one /set call; default 500

	// CollationAlgorithms are the collations (RFC 4790) by which the server can
	// sort, such as "i;unicode-casemap". If it is empty, the list is empty and not absent.
	CollationAlgorithms []string `json:"collationAlgorithms"`
}

// The capabilities that have fields of their own.
const (
	coreCapability      = "urn:ietf:params:jmap:core"
	webSocketCapability = "urn:ietf:params:jmap:websocket"
)

// A webSocket is the object of webSocketCapability (RFC 8887 section 3).
type webSocket struct {
	URL          string `json:"url"`
	SupportsPush bool   `json:"supportsPush"`
}

const (
	defaultSessionPath = "/jmap/session"
	sessionClause      = "RFC 8620 section 2"
	sessionField       = "session" // for errors, and for the one endpoint that is a document itself
)

// jmapRedirect is /.well-known/jmap, which redirects even if Next serves the session.
const jmapRedirect Document = "jmap"

func (b *builder) jmap() {
	j := b.config.JMAP
	if j == nil {
		return
	}
	s := &sessionTemplate{
		fields: session{
			APIURL:      b.jmapURL("apiUrl", j.APIPath, "/jmap/"),
			DownloadURL: b.jmapURL("downloadUrl", j.DownloadPath, "/jmap/download/{accountId}/{blobId}/{name}?accept={type}", "accountId", "blobId", "name", "type"),
			UploadURL:   b.jmapURL("uploadUrl", j.UploadPath, "/jmap/upload/{accountId}/", "accountId"),
		},
		capabilities: make(map[string]bool),
	}
	if !isAbsent(j.EventSourcePath) {
		s.fields.EventSourceURL = b.jmapURL("eventSourceUrl", j.EventSourcePath, "", "types", "closeafter", "ping")
	}
	b.capabilities(j, s)
	b.sessionExtra(j, s)
	path := orDefault(j.SessionPath, defaultSessionPath)
	if b.jmapURL(sessionField, path, "") == "" {
		return
	}
	b.set.session = s
	b.route(route{document: JMAPDocument, dynamic: (*Server).serveSession}, b.below(path)...)
	b.redirect(jmapRedirect, sessionField, path, publicurl.JMAP)
}

// jmapURL returns a URL that the session object must have, a template if there are
// variables.
func (b *builder) jmapURL(field, path, def string, variables ...string) string {
	path = orDefault(path, def)
	if path == None {
		b.fail(&Error{Document: JMAPDocument, Field: field, Rule: "a session must have it: give a path, or leave out the section JMAP", Clause: sessionClause})
		return ""
	}
	if len(variables) == 0 {
		return b.endpoint(JMAPDocument, field, path, "")
	}
	u := b.template(JMAPDocument, field, path)
	if u == "" {
		return ""
	}
	has := templateVariables(path)
	for _, v := range variables {
		if !slices.Contains(has, v) {
			b.fail(&Error{Document: JMAPDocument, Field: field, Input: path, Rule: "the template must contain the variable {" + v + "}", Clause: sessionClause})
		}
	}
	for _, v := range has {
		if !slices.Contains(variables, v) {
			b.fail(&Error{Document: JMAPDocument, Field: field, Input: path, Rule: "remove {" + v + "}: clients have no value for it", Clause: sessionClause})
		}
	}
	return u
}

// templateVariables lists the variables of a template that Base.Template accepts.
func templateVariables(template string) []string {
	var names []string
	for {
		_, after, found := strings.Cut(template, "{")
		if !found {
			return names
		}
		var name string
		name, template, _ = strings.Cut(after, "}")
		names = append(names, name)
	}
}

func (b *builder) capabilities(j *JMAP, s *sessionTemplate) {
	all := map[string]any{coreCapability: b.core(j.Core)}
	if path := j.WebSocketPath; isAbsent(path) {
		if j.WebSocketPush {
			b.fail(&Error{Document: JMAPDocument, Field: webSocketCapability, Rule: "WebSocketPush needs a web socket: set WebSocketPath too", Clause: "RFC 8887 section 3"})
		}
	} else {
		u, err := b.base.WebSocket(path)
		if err != nil {
			b.fail(&Error{Document: JMAPDocument, Field: webSocketCapability, Input: path, Rule: "use a path below the base", Clause: "RFC 8887 section 3", Err: err})
		}
		b.keep(JMAPDocument, webSocketCapability, path)
		all[webSocketCapability] = webSocket{URL: u, SupportsPush: j.WebSocketPush}
	}
	for _, name := range slices.Sorted(maps.Keys(j.Capabilities)) {
		fail := func(rule string) {
			b.fail(&Error{Document: JMAPDocument, Field: "capabilities", Input: name, Rule: rule, Clause: sessionClause})
		}
		switch u, err := url.Parse(name); {
		case err != nil || u.Scheme == "" || !isASCII(name):
			fail("a capability is named by a URI, such as urn:ietf:params:jmap:mail")
			continue
		case strings.EqualFold(name, coreCapability):
			fail("set JMAP.Core instead")
			continue
		case strings.EqualFold(name, webSocketCapability):
			fail("set JMAP.WebSocketPath instead")
			continue
		}
		value, err := marshalObject(j.Capabilities[name])
		if err != nil {
			fail("the value must encode to a JSON object: " + err.Error())
			continue
		}
		all[name] = value
	}
	for name := range all {
		s.capabilities[name] = true
	}
	s.fields.Capabilities, _ = marshal(all) // each is encoded already, or a struct of ours
}

// core fills in the defaults.
func (b *builder) core(c Core) Core {
	for _, limit := range []struct {
		name  string
		value *int64
		def   int64
	}{
		{"maxSizeUpload", &c.MaxSizeUpload, 50_000_000},
		{"maxConcurrentUpload", &c.MaxConcurrentUpload, 4},
		{"maxSizeRequest", &c.MaxSizeRequest, 10_000_000},
		{"maxConcurrentRequests", &c.MaxConcurrentRequests, 4},
		{"maxCallsInRequest", &c.MaxCallsInRequest, 16},
		{"maxObjectsInGet", &c.MaxObjectsInGet, 500},
		{"maxObjectsInSet", &c.MaxObjectsInSet, 500},
	} {
		if *limit.value == 0 {
			*limit.value = limit.def
		}
		if *limit.value < 0 || *limit.value > 1<<53-1 {
			b.fail(&Error{Document: JMAPDocument, Field: limit.name, Input: fmt.Sprint(*limit.value), Rule: "an UnsignedInt is 0 to 2^53-1; 0 is the default here", Clause: "RFC 8620 section 1.3"})
		}
	}
	for _, name := range c.CollationAlgorithms {
		if name == "" || !isASCII(name) {
			b.fail(&Error{Document: JMAPDocument, Field: "collationAlgorithms", Input: name, Rule: "use identifiers of the collation registry, such as i;unicode-casemap", Clause: sessionClause})
		}
	}
	if c.CollationAlgorithms == nil {
		c.CollationAlgorithms = []string{}
	}
	return c
}

// sessionExtra encodes Extra as text to follow the session's own members.
func (b *builder) sessionExtra(j *JMAP, s *sessionTemplate) {
	if len(j.Extra) == 0 {
		return
	}
	if _, err := encodeJSON(session{}, j.Extra); err != nil {
		b.fail(&Error{Document: JMAPDocument, Field: "Extra", Rule: err.Error(), Clause: sessionClause})
		return
	}
	for _, name := range slices.Sorted(maps.Keys(j.Extra)) {
		if strings.HasSuffix(name, "Url") {
			value, _ := marshal(j.Extra[name]) // encodeJSON has done it
			b.checkLink(JMAPDocument, name, value, sessionClause)
		}
	}
	members, _ := marshal(j.Extra)
	s.extra = append([]byte{','}, members[1:len(members)-1]...)
}
