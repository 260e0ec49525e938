package discovery

import (
	"encoding/json"
	"math"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
)

// sessionOf returns the session object of an empty account.
func sessionOf(t testing.TB, c Config) map[string]any {
	t.Helper()
	set, err := Build(c)
	require.NoError(t, err)
	body, _, err := set.Session(Account{})
	require.NoError(t, err)
	var object map[string]any
	require.NoError(t, json.Unmarshal(body, &object))
	return object
}

func TestSessionURLs(t *testing.T) {
	own := JMAP{
		APIPath:         "/api",
		DownloadPath:    "/d/{accountId}/{type}/{blobId}?n={name}",
		UploadPath:      "/u?a={accountId}",
		EventSourcePath: "/e/{types}/{closeafter}/{ping}",
		WebSocketPath:   "/socket",
	}
	push := JMAP{EventSourcePath: eventSourceTemplate, WebSocketPath: "/jmap/ws"}
	tests := []struct {
		base string
		jmap JMAP
		want [5]string // apiUrl downloadUrl uploadUrl eventSourceUrl websocket
	}{
		{base: "https://mail.example.com", jmap: push, want: [5]string{
			"https://mail.example.com/jmap/",
			"https://mail.example.com/jmap/download/{accountId}/{blobId}/{name}?accept={type}",
			"https://mail.example.com/jmap/upload/{accountId}/",
			"https://mail.example.com/jmap/eventsource/?types={types}&closeafter={closeafter}&ping={ping}",
			"wss://mail.example.com/jmap/ws",
		}},
		{base: "https://example.com:8443/mail", jmap: own, want: [5]string{
			"https://example.com:8443/mail/api",
			"https://example.com:8443/mail/d/{accountId}/{type}/{blobId}?n={name}",
			"https://example.com:8443/mail/u?a={accountId}",
			"https://example.com:8443/mail/e/{types}/{closeafter}/{ping}",
			"wss://example.com:8443/mail/socket",
		}},
		{base: "http://localhost:8080", jmap: push, want: [5]string{
			"http://localhost:8080/jmap/",
			"http://localhost:8080/jmap/download/{accountId}/{blobId}/{name}?accept={type}",
			"http://localhost:8080/jmap/upload/{accountId}/",
			"http://localhost:8080/jmap/eventsource/?types={types}&closeafter={closeafter}&ping={ping}",
			"ws://localhost:8080/jmap/ws",
		}},
		{base: "/mail", jmap: push, want: [5]string{
			"/mail/jmap/",
			"/mail/jmap/download/{accountId}/{blobId}/{name}?accept={type}",
			"/mail/jmap/upload/{accountId}/",
			"/mail/jmap/eventsource/?types={types}&closeafter={closeafter}&ping={ping}",
			"/mail/jmap/ws",
		}},
	}
	for _, tt := range tests {
		t.Run(tt.base, func(t *testing.T) {
			got := sessionOf(t, Config{Base: mustBase(t, tt.base), JMAP: &tt.jmap})
			socket := got["capabilities"].(map[string]any)[webSocketCapability]
			require.Equal(t, map[string]any{"url": tt.want[4], "supportsPush": false}, socket)
			require.Equal(t, tt.want[:4], []string{
				got["apiUrl"].(string), got["downloadUrl"].(string), got["uploadUrl"].(string), got["eventSourceUrl"].(string),
			})
		})
	}
}

func TestSessionCapabilities(t *testing.T) {
	type limits struct {
		MaxSizeScriptName int `json:"maxSizeScriptName"`
	}
	got := sessionOf(t, Config{Base: mustBase(t, "https://example.com"), JMAP: &JMAP{
		WebSocketPath: "/jmap/ws",
		WebSocketPush: true,
		Core:          Core{MaxObjectsInGet: 1, MaxSizeUpload: 1<<53 - 1, CollationAlgorithms: []string{"i;ascii-casemap"}},
		Capabilities: map[string]any{
			"urn:ietf:params:jmap:mail":        nil,
			"urn:ietf:params:jmap:submission":  map[string]any(nil),
			"urn:ietf:params:jmap:sieve":       limits{512},
			"https://example.com/apis/foobar/": map[string]any{"maxFoosFinangled": 42},
		},
		Extra: map[string]any{"vendor": []int{1}},
	}})
	want := `{
		"urn:ietf:params:jmap:core": {
			"maxSizeUpload": 9007199254740991, "maxConcurrentUpload": 4, "maxSizeRequest": 10000000, "maxConcurrentRequests": 4,
			"maxCallsInRequest": 16, "maxObjectsInGet": 1, "maxObjectsInSet": 500, "collationAlgorithms": ["i;ascii-casemap"]
		},
		"urn:ietf:params:jmap:websocket": {"url": "wss://example.com/jmap/ws", "supportsPush": true},
		"urn:ietf:params:jmap:mail": {}, "urn:ietf:params:jmap:submission": {},
		"urn:ietf:params:jmap:sieve": {"maxSizeScriptName": 512},
		"https://example.com/apis/foobar/": {"maxFoosFinangled": 42}
	}`
	capabilities, err := json.Marshal(got["capabilities"])
	require.NoError(t, err)
	require.JSONEq(t, want, string(capabilities))
	require.Equal(t, []any{1.0}, got["vendor"])

	got = sessionOf(t, Config{Base: mustBase(t, "https://example.com"), JMAP: &JMAP{}})
	require.NotContains(t, got, "eventSourceUrl")
	capabilities, err = json.Marshal(got["capabilities"])
	require.NoError(t, err)
	require.JSONEq(t, `{"urn:ietf:params:jmap:core": {
		"maxSizeUpload": 50000000, "maxConcurrentUpload": 4, "maxSizeRequest": 10000000, "maxConcurrentRequests": 4,
		"maxCallsInRequest": 16, "maxObjectsInGet": 500, "maxObjectsInSet": 500, "collationAlgorithms": []
	}}`, string(capabilities))
}

func TestConfigCanChangeAfterBuild(t *testing.T) {
	value := map[string]any{"a": 1}
	j := &JMAP{Capabilities: map[string]any{"urn:x:y": value}, Extra: map[string]any{"x": value}}
	set, err := Build(Config{Base: mustBase(t, "https://example.com"), JMAP: j})
	require.NoError(t, err)
	before, _, err := set.Session(Account{})
	require.NoError(t, err)
	value["a"] = 2
	j.APIPath = "/other"
	delete(j.Capabilities, "urn:x:y")
	after, _, err := set.Session(Account{})
	require.NoError(t, err)
	require.Equal(t, string(before), string(after))
}

func TestJMAPRules(t *testing.T) {
	tests := []struct {
		name  string
		jmap  JMAP
		field string
		rule  string // part of the rule
		count int    // of the errors, if more than 1
	}{
		{name: "no session", jmap: JMAP{SessionPath: None}, field: "session", rule: "must have it"},
		{name: "no API", jmap: JMAP{APIPath: None}, field: "apiUrl", rule: "must have it"},
		{name: "no download", jmap: JMAP{DownloadPath: None}, field: "downloadUrl", rule: "must have it"},
		{name: "no upload", jmap: JMAP{UploadPath: None}, field: "uploadUrl", rule: "must have it"},
		{name: "push over no web socket", jmap: JMAP{WebSocketPush: true}, field: webSocketCapability, rule: "set WebSocketPath too"},
		{name: "download without accountId", jmap: JMAP{DownloadPath: "/{blobId}/{name}/{type}"}, field: "downloadUrl", rule: "{accountId}"},
		{name: "download without blobId", jmap: JMAP{DownloadPath: "/{accountId}/{name}/{type}"}, field: "downloadUrl", rule: "{blobId}"},
		{name: "download without name", jmap: JMAP{DownloadPath: "/{accountId}/{blobId}/{type}"}, field: "downloadUrl", rule: "{name}"},
		{name: "download without type", jmap: JMAP{DownloadPath: "/{accountId}/{blobId}/{name}"}, field: "downloadUrl", rule: "{type}"},
		{name: "upload without accountId", jmap: JMAP{UploadPath: "/upload/"}, field: "uploadUrl", rule: "{accountId}"},
		{name: "event source without types", jmap: JMAP{EventSourcePath: "/e?{closeafter}{ping}"}, field: "eventSourceUrl", rule: "{types}"},
		{name: "event source without closeafter", jmap: JMAP{EventSourcePath: "/e?{types}{ping}"}, field: "eventSourceUrl", rule: "{closeafter}"},
		{name: "event source without ping", jmap: JMAP{EventSourcePath: "/e?{types}{closeafter}"}, field: "eventSourceUrl", rule: "{ping}"},
		{name: "event source without any", jmap: JMAP{EventSourcePath: "/e"}, field: "eventSourceUrl", rule: "{types}", count: 3},
		{name: "variables have case", jmap: JMAP{UploadPath: "/upload/{accountid}/"}, field: "uploadUrl", rule: "{accountId}", count: 2},
		{name: "variable that no client has", jmap: JMAP{UploadPath: "/{accountId}/{user}"}, field: "uploadUrl", rule: "{user}"},
		{name: "operator", jmap: JMAP{UploadPath: "/{+accountId}"}, field: "uploadUrl", rule: "level 1"},
		{name: "open brace", jmap: JMAP{UploadPath: "/{accountId"}, field: "uploadUrl", rule: "level 1"},
		{name: "template that is a URL", jmap: JMAP{UploadPath: "https://example.com/{accountId}"}, field: "uploadUrl", rule: "below the base"},
		{name: "API that is a template", jmap: JMAP{APIPath: "/{accountId}"}, field: "apiUrl", rule: "below the base"},
		{name: "API without a slash", jmap: JMAP{APIPath: "jmap"}, field: "apiUrl", rule: "below the base"},
		{name: "API at the session", jmap: JMAP{APIPath: "/jmap/session"}, field: "apiUrl", rule: "choose another"},
		{name: "web socket that is a URL", jmap: JMAP{WebSocketPath: "wss://example.com/ws"}, field: webSocketCapability, rule: "below the base"},
		{name: "session with a query", jmap: JMAP{SessionPath: "/s?x"}, field: "session", rule: "below the base"},
		{name: "session that climbs", jmap: JMAP{SessionPath: "/a/../s"}, field: "session", rule: "below the base"},
		{name: "session with an escaped slash", jmap: JMAP{SessionPath: "/a%2Fb"}, field: "path", rule: "escaped slash"},
		{name: "session at the well-known location", jmap: JMAP{SessionPath: "/.well-known/jmap"}, field: "path", rule: "choose another"},
		{name: "negative limit", jmap: JMAP{Core: Core{MaxCallsInRequest: -1}}, field: "maxCallsInRequest", rule: "UnsignedInt"},
		{name: "limit of 2^53", jmap: JMAP{Core: Core{MaxSizeUpload: 1 << 53}}, field: "maxSizeUpload", rule: "UnsignedInt"},
		{name: "collation with a blank", jmap: JMAP{Core: Core{CollationAlgorithms: []string{"i;a b"}}}, field: "collationAlgorithms", rule: "registry"},
		{name: "core as a capability", jmap: JMAP{Capabilities: map[string]any{coreCapability: nil}}, field: "capabilities", rule: "JMAP.Core"},
		{name: "web socket as a capability", jmap: JMAP{Capabilities: map[string]any{"URN:ietf:params:jmap:websocket": nil}}, field: "capabilities", rule: "JMAP.WebSocketPath"},
		{name: "capability that is not a URI", jmap: JMAP{Capabilities: map[string]any{"mail": nil}}, field: "capabilities", rule: "URI"},
		{name: "capability with a blank", jmap: JMAP{Capabilities: map[string]any{"urn:x: y": nil}}, field: "capabilities", rule: "URI"},
		{name: "capability that is a list", jmap: JMAP{Capabilities: map[string]any{"urn:x:y": []int{}}}, field: "capabilities", rule: "JSON object"},
		{name: "capability that does not encode", jmap: JMAP{Capabilities: map[string]any{"urn:x:y": math.NaN()}}, field: "capabilities", rule: "JSON object"},
		{name: "extra that shadows", jmap: JMAP{Extra: map[string]any{"apiURL": "x"}}, field: "Extra", rule: "shadow"},
		{name: "extra that shadows the state", jmap: JMAP{Extra: map[string]any{"\u017ftate": "x"}}, field: "Extra", rule: "shadow"},
		{name: "extra that does not encode", jmap: JMAP{Extra: map[string]any{"x": func() {}}}, field: "Extra", rule: "cannot encode"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			errs := buildErrors(t, Config{Base: mustBase(t, "https://example.com"), JMAP: &tt.jmap})
			require.Len(t, errs, max(tt.count, 1))
			require.Contains(t, []Document{JMAPDocument, jmapRedirect}, errs[0].Document)
			require.Equal(t, tt.field, errs[0].Field)
			require.Contains(t, errs[0].Rule, tt.rule)
			if house := []string{"below the base", "level 1", "choose another", "escaped slash"}; !slices.Contains(house, tt.rule) {
				require.Regexp(t, `^RFC \d+ section [\d.]+$`, errs[0].Clause)
			}
		})
	}
}

func TestEveryErrorIsReported(t *testing.T) {
	errs := buildErrors(t, Config{
		Base: mustBase(t, "https://example.com"),
		JMAP: &JMAP{APIPath: "x", UploadPath: "/", Core: Core{MaxObjectsInGet: -1}},
		DAV:  &DAV{CalendarPath: "x"},
	})
	var fields []string
	for _, e := range errs {
		fields = append(fields, string(e.Document)+" "+e.Field)
	}
	require.ElementsMatch(t, []string{"jmap-session apiUrl", "jmap-session uploadUrl", "jmap-session maxObjectsInGet", "dav CalendarPath"}, fields)
}
