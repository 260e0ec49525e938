package discovery

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"unicode/utf8"
)

// An Account is the part of the JMAP session that depends on the user that a request is
// signed in as (RFC 8620 section 2).
type Account struct {
	// Username is the name with which the user signed in.
	Username string

	// Accounts are the accounts that the user may use, by their id: 1 to 255
	// of the characters A-Z, a-z, 0-9, "-" and "_" (RFC 8620 section 1.2).
	Accounts map[string]JMAPAccount

	// PrimaryAccounts has the id of the user's own account for a capability,
	// which that account must have among its Capabilities.
	PrimaryAccounts map[string]string
}

// A JMAPAccount is one of the accounts of an [Account].
type JMAPAccount struct {
	Name       string // shown to the user, such as the email address of the owner
	IsPersonal bool   // the account belongs to the user and is not shared
	IsReadOnly bool   // the user cannot change anything in it

	// Capabilities (accountCapabilities) are those whose methods the user may
	// use with this account, each with a value that encodes to a JSON object;
	// nil is the empty object. They are among those of the server.
	Capabilities map[string]any
}

// A session is the Session object (RFC 8620 section 2).
type session struct {
	Capabilities    json.RawMessage           `json:"capabilities"`
	Accounts        map[string]sessionAccount `json:"accounts"`
	PrimaryAccounts map[string]string         `json:"primaryAccounts"`
	Username        string                    `json:"username"`
	APIURL          string                    `json:"apiUrl"`
	DownloadURL     string                    `json:"downloadUrl"`
	UploadURL       string                    `json:"uploadUrl"`
	EventSourceURL  string                    `json:"eventSourceUrl,omitempty"`
	State           string                    `json:"state"` // the last: Session fills it in
}

type sessionAccount struct {
	Name         string                     `json:"name"`
	IsPersonal   bool                       `json:"isPersonal"`
	IsReadOnly   bool                       `json:"isReadOnly"`
	Capabilities map[string]json.RawMessage `json:"accountCapabilities"`
}

// A sessionTemplate has the common members of the sessions of all accounts.
type sessionTemplate struct {
	fields       session
	extra        []byte // members, each with a comma before it
	capabilities map[string]bool
}

// Session returns the JMAP session document of an account and its state, for the
// sessionState of API responses (RFC 8620 section 3.4). The state is a hash of the rest of
// the document, so that it changes when the document changes, also by [Server.Swap]. The
// error is an [*Error] if the account breaks a rule of RFC 8620 section 2, and if the Set
// has no JMAP session.
func (s *Set) Session(a Account) (body []byte, state string, err error) {
	if s == nil || s.session == nil {
		return nil, "", &Error{Document: JMAPDocument, Field: "session", Rule: "the Set has no JMAP session: set Config.JMAP"}
	}
	t := s.session
	doc := t.fields
	doc.Username, doc.PrimaryAccounts = a.Username, a.PrimaryAccounts
	if doc.Accounts, err = t.accounts(a); err != nil {
		return nil, "", err
	}
	if doc.PrimaryAccounts == nil {
		doc.PrimaryAccounts = map[string]string{} // null is not an object
	}
	body, err = marshal(doc)
	if err != nil {
		return nil, "", fmt.Errorf("discovery: cannot encode the session: %w", err)
	}
	body = bytes.TrimSuffix(body, []byte(`"}`)) // after it comes the state
	hash := sha256.New()
	hash.Write(body)
	hash.Write(t.extra)
	state = base64.RawURLEncoding.EncodeToString(hash.Sum(nil)[:12])
	body = append(body, state...)
	body = append(body, '"')
	body = append(body, t.extra...)
	return append(body, '}'), state, nil
}

// accounts validates an account against RFC 8620 section 2 and returns its accounts
// as they are encoded.
func (t *sessionTemplate) accounts(a Account) (map[string]sessionAccount, error) {
	fail := func(field, input, rule, clause string) error {
		return &Error{Document: JMAPDocument, Field: field, Input: input, Rule: rule, Clause: clause}
	}
	if !utf8.ValidString(a.Username) {
		return nil, fail("username", a.Username, "it must be valid UTF-8", "RFC 8620 section 1.5")
	}
	accounts := make(map[string]sessionAccount, len(a.Accounts))
	for _, id := range slices.Sorted(maps.Keys(a.Accounts)) {
		from := a.Accounts[id]
		if !isID(id) {
			return nil, fail("accounts", id, `an account id is 1 to 255 letters, digits, "-" and "_"`, "RFC 8620 section 1.2")
		}
		if !utf8.ValidString(from.Name) {
			return nil, fail("name", from.Name, "it must be valid UTF-8", "RFC 8620 section 1.5")
		}
		capabilities := make(map[string]json.RawMessage, len(from.Capabilities))
		for _, name := range slices.Sorted(maps.Keys(from.Capabilities)) {
			if !t.capabilities[name] {
				return nil, fail("accountCapabilities", name, "the server does not have this capability: add it to JMAP.Capabilities", sessionClause)
			}
			value, err := marshalObject(from.Capabilities[name])
			if err != nil {
				return nil, fail("accountCapabilities", name, "the value must encode to a JSON object: "+err.Error(), sessionClause)
			}
			capabilities[name] = value
		}
		accounts[id] = sessionAccount{from.Name, from.IsPersonal, from.IsReadOnly, capabilities}
	}
	for _, name := range slices.Sorted(maps.Keys(a.PrimaryAccounts)) {
		account, ok := accounts[a.PrimaryAccounts[name]]
		if !ok {
			return nil, fail("primaryAccounts", a.PrimaryAccounts[name], "it must be the id of one of the accounts", sessionClause)
		}
		if _, ok := account.Capabilities[name]; !ok {
			return nil, fail("primaryAccounts", name, "the account must have this capability", sessionClause)
		}
	}
	return accounts, nil
}

// isID reports whether s is an Id (RFC 8620 section 1.2).
func isID(s string) bool {
	if len(s) < 1 || len(s) > 255 {
		return false
	}
	for i := range len(s) {
		switch c := s[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '-', c == '_':
		default:
			return false
		}
	}
	return true
}

// RFC 8620 section 2: no cache may keep a session. Clients request it again when the
// sessionState of a response has changed.
const sessionCache = "no-cache, no-store, must-revalidate"

// serveSession answers a request for the session. Its URLs and the challenge are
// those of set, even if Swap is called meanwhile.
func (s *Server) serveSession(set *Set, w http.ResponseWriter, r *http.Request) {
	if !reads(w, r) { // before Session: a preflight has no credentials
		return
	}
	account, err := s.config.Session(r)
	var body []byte
	if err == nil {
		body, _, err = set.Session(account)
	}
	f := answerFields(w)
	f.set("Cache-Control", sessionCache)
	switch {
	case errors.Is(err, ErrUnauthenticated):
		f.set("Www-Authenticate", set.Challenge(r, set.sessionResource))
		f.send(w, r, http.StatusUnauthorized, textPlain, unauthorizedBody)
	case err != nil:
		if s.config.OnError != nil {
			s.config.OnError(r, err)
		}
		if errors.Is(err, ErrUnavailable) {
			f.set("Retry-After", "10")
			f.send(w, r, http.StatusServiceUnavailable, textPlain, []byte("503 service unavailable\n"))
			return
		}
		f.send(w, r, http.StatusInternalServerError, textPlain, []byte("500 internal server error\n"))
	default:
		f.send(w, r, http.StatusOK, contentTypeJSON, body)
	}
}
