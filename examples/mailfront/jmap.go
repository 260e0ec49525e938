// Copy the errors of a JMAP API (RFC 8620 section 3.6), and sessionState, which comes from the
// session that package discovery builds from the current Set. jmap_references.go resolves result
// references. Change methods, which has Core/echo only.

package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"slices"
	"unicode/utf8"

	"github.com/seed-94e48765/portico/discovery"
	"github.com/seed-94e48765/portico/examples/mailfront/internal/webauth"
)

const (
	jmapCore      = "urn:ietf:params:jmap:core"
	jmapAccountID = "demo"
)

// jmapLimits are the limits that the session publishes and the server enforces.
var jmapLimits = discovery.Core{
	MaxSizeUpload:         1 << 20,
	MaxConcurrentUpload:   4,
	MaxSizeRequest:        1 << 20,
	MaxConcurrentRequests: 4,
	MaxCallsInRequest:     16,
	MaxObjectsInGet:       500,
	MaxObjectsInSet:       500,
}

// A jmapServer is the JMAP server for the only account.
type jmapServer struct {
	f        *frontend
	requests chan struct{} // one value for each request that runs
	uploads  chan struct{}
	blobs    blobs
}

func newJMAPServer(f *frontend) *jmapServer {
	return &jmapServer{
		f:        f,
		requests: make(chan struct{}, jmapLimits.MaxConcurrentRequests),
		uploads:  make(chan struct{}, jmapLimits.MaxConcurrentUpload),
	}
}

func (j *jmapServer) routes(mux *http.ServeMux) {
	webauth.CrossOrigin(mux, "/jmap", j.api, http.MethodPost) // otherwise ServeMux would redirect without the prefix
	webauth.CrossOrigin(mux, "/jmap/{$}", j.api, http.MethodPost)
	webauth.CrossOrigin(mux, "/jmap/upload/{account}", j.upload, http.MethodPost)
	webauth.CrossOrigin(mux, "/jmap/upload/{account}/{$}", j.upload, http.MethodPost)
	webauth.CrossOrigin(mux, "/jmap/download/{account}/{blob}/{name}", j.download, http.MethodGet)
	webauth.CrossOrigin(mux, "/jmap/eventsource", j.events, http.MethodGet)
	webauth.CrossOrigin(mux, "/jmap/eventsource/{$}", j.events, http.MethodGet)
}

// session implements discovery.ServerConfig.Session.
func (f *frontend) session(r *http.Request) (discovery.Account, error) {
	c, err := f.api.Authenticate(r)
	if err != nil {
		return discovery.Account{}, err
	}
	return jmapAccount(c), nil
}

func jmapAccount(c webauth.Caller) discovery.Account {
	return discovery.Account{
		Username: c.Account,
		Accounts: map[string]discovery.JMAPAccount{
			jmapAccountID: {Name: c.Account, IsPersonal: true},
		},
	}
}

// A jmapRequest is a Request object (RFC 8620 section 3.3).
type jmapRequest struct {
	Using       []string          `json:"using"`
	MethodCalls []jmapInvocation  `json:"methodCalls"`
	CreatedIDs  map[string]string `json:"createdIds"`
}

// A jmapInvocation is an Invocation (section 3.2): a name, an arguments object and an id.
type jmapInvocation struct {
	Name      string
	Arguments json.RawMessage
	ID        string
}

var errInvocation = errors.New("an Invocation is an array of a name, an object and an id")

// UnmarshalJSON implements json.Unmarshaler.
func (i *jmapInvocation) UnmarshalJSON(b []byte) error {
	var parts []json.RawMessage
	if err := json.Unmarshal(b, &parts); err != nil || len(parts) != 3 {
		return errInvocation
	}
	isString := func(b []byte) bool { return bytes.HasPrefix(b, []byte(`"`)) }
	if !isString(parts[0]) || !bytes.HasPrefix(parts[1], []byte("{")) || !isString(parts[2]) {
		return errInvocation
	}
	i.Arguments = parts[1]
	return errors.Join(json.Unmarshal(parts[0], &i.Name), json.Unmarshal(parts[2], &i.ID))
}

// MarshalJSON implements json.Marshaler.
func (i jmapInvocation) MarshalJSON() ([]byte, error) {
	return json.Marshal([]any{i.Name, i.Arguments, i.ID})
}

// api handles the API endpoint (section 3.1).
func (j *jmapServer) api(w http.ResponseWriter, r *http.Request) {
	c, done, ok := j.admit(w, r, j.requests, "maxConcurrentRequests")
	if !ok {
		return
	}
	defer done()
	if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || kind != "application/json" {
		jmapProblem(w, http.StatusBadRequest, "notJSON", "", "the Content-Type must be application/json")
		return
	}
	body, ok := readBody(w, r, jmapLimits.MaxSizeRequest, http.StatusBadRequest, "maxSizeRequest")
	if !ok {
		return
	}
	if !json.Valid(body) || !utf8.Valid(body) { // section 1.5: I-JSON
		jmapProblem(w, http.StatusBadRequest, "notJSON", "", "the body is not JSON in UTF-8")
		return
	}
	var request jmapRequest
	if err := json.Unmarshal(body, &request); err != nil || request.Using == nil || request.MethodCalls == nil {
		jmapProblem(w, http.StatusBadRequest, "notRequest", "", "the body is not a Request object: it needs using and methodCalls")
		return
	}
	if i := slices.IndexFunc(request.Using, func(name string) bool { return name != jmapCore }); i >= 0 {
		jmapProblem(w, http.StatusBadRequest, "unknownCapability", "", fmt.Sprintf("%q is not a capability of this server", request.Using[i]))
		return
	}
	if int64(len(request.MethodCalls)) > jmapLimits.MaxCallsInRequest {
		jmapProblem(w, http.StatusBadRequest, "limit", "maxCallsInRequest", "the request has too many method calls")
		return
	}
	_, state, err := j.f.documents.Current().Session(jmapAccount(c))
	if err != nil {
		j.f.api.ServerError(w, r, err)
		return
	}
	calls := jmapResolver{responses: []jmapInvocation{}, left: maxReferenced}
	for _, call := range request.MethodCalls {
		calls.responses = append(calls.responses, j.call(&calls, request.Using, call))
	}
	response := struct { // section 3.4
		MethodResponses []jmapInvocation  `json:"methodResponses"`
		CreatedIDs      map[string]string `json:"createdIds,omitempty"`
		SessionState    string            `json:"sessionState"`
	}{calls.responses, request.CreatedIDs, state}
	webauth.NoStore(w)
	webauth.WriteJSON(w, http.StatusOK, response)
}

// call runs a method. The references in its arguments are resolved first, for every method
// (section 3.7).
func (j *jmapServer) call(calls *jmapResolver, using []string, call jmapInvocation) jmapInvocation {
	if call.Name != "Core/echo" || !slices.Contains(using, jmapCore) {
		return (&jmapError{Type: "unknownMethod"}).invocation(call.ID) // section 3.6.2
	}
	arguments, err := calls.resolve(call.Arguments)
	if err != nil {
		return err.invocation(call.ID)
	}
	return jmapInvocation{Name: call.Name, Arguments: arguments, ID: call.ID} // section 4: the arguments are returned unchanged
}

// admit authenticates a request and counts it while it runs. If it returns false, the request has
// been answered.
func (j *jmapServer) admit(w http.ResponseWriter, r *http.Request, running chan struct{}, limit string) (webauth.Caller, func(), bool) {
	c, err := j.f.authenticate(r)
	if err != nil {
		j.f.api.Challenge(w, r, err)
		return c, nil, false
	}
	select {
	case running <- struct{}{}:
		return c, func() { <-running }, true
	default:
		jmapProblem(w, http.StatusBadRequest, "limit", limit, "wait for other requests to end")
		return c, nil, false
	}
}

// readBody reads the body of a request up to a limit. If it returns false, the request has been
// answered, or the client has closed the connection.
func readBody(w http.ResponseWriter, r *http.Request, most int64, status int, limit string) ([]byte, bool) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, most))
	var tooLong *http.MaxBytesError
	if errors.As(err, &tooLong) {
		jmapProblem(w, status, "limit", limit, fmt.Sprintf("the body is longer than %d bytes", most))
	}
	return body, err == nil
}

// jmapProblem writes a problem document (section 3.6.1, RFC 7807).
func jmapProblem(w http.ResponseWriter, status int, name, limit, detail string) {
	problem := map[string]any{"type": "urn:ietf:params:jmap:error:" + name, "status": status, "detail": detail}
	if name == "" {
		problem["type"] = "about:blank"
	}
	if limit != "" {
		problem["limit"] = limit
	}
	webauth.NoStore(w)
	b, err := json.Marshal(problem)
	if err != nil {
		http.Error(w, "internal server error", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(status)
	w.Write(b)
}
