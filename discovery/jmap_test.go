package discovery

import (
	"encoding/json"
	"math"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
)

// sessionOf returns the session object of nobody's account.
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
		{"https://mail.example.com", push, [5]string{
			"https://mail.example.com/jmap/",
			"https://mail.example.com/jmap/download/{accountId}/{blobId}/{name}?accept={type}",
			"https://mail.example.com/jmap/upload/{accountId}/",
			"https://mail.example.com/jmap/eventsource/?types={types}&closeafter={closeafter}&ping={ping}",
			"wss://mail.example.com/jmap/ws",
		}},
		{"https://example.com:8443/mail", own, [5]string{
			"https://example.com:8443/mail/api",
			"https://example.com:8443/mail/d/{accountId}/{type}/{blobId}?n={name}",
			"https://example.com:8443/mail/u?a={accountId}",
			"https://example.com:8443/mail/e/{types}/{closeafter}/{ping}",
			"wss://example.com:8443/mail/socket",
		}},
		{"http://localhost:8080", push, [5]string{
			"http://localhost:8080/jmap/",
			"http://localhost:8080/jmap/download/{accountId}/{blobId}/{name}?accept={type}",
			"http://localhost:8080/jmap/upload/{accountId}/",
			"http://localhost:8080/jmap/eventsource/?types={types}&closeafter={closeafter}&ping={ping}",
			"ws://localhost:8080/jmap/ws",
		}},
		{"/mail", push, [5]string{
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
		{"no session", JMAP{SessionPath: None}, "session", "must have it", 0},
		{"no API", JMAP{APIPath: None}, "apiUrl", "must have it", 0},
		{"no download", JMAP{DownloadPath: None}, "downloadUrl", "must have it", 0},
		{"no upload", JMAP{UploadPath: None}, "uploadUrl", "must have it", 0},
		{"push over no web socket", JMAP{WebSocketPush: true}, webSocketCapability, "set WebSocketPath too", 0},
		{"download without accountId", JMAP{DownloadPath: "/{blobId}/{name}/{type}"}, "downloadUrl", "{accountId}", 0},
		{"download without blobId", JMAP{DownloadPath: "/{accountId}/{name}/{type}"}, "downloadUrl", "{blobId}", 0},
		{"download without name", JMAP{DownloadPath: "/{accountId}/{blobId}/{type}"}, "downloadUrl", "{name}", 0},
		{"download without type", JMAP{DownloadPath: "/{accountId}/{blobId}/{name}"}, "downloadUrl", "{type}", 0},
		{"upload without accountId", JMAP{UploadPath: "/upload/"}, "uploadUrl", "{accountId}", 0},
		{"event source without types", JMAP{EventSourcePath: "/e?{closeafter}{ping}"}, "eventSourceUrl", "{types}", 0},
		{"event source without closeafter", JMAP{EventSourcePath: "/e?{types}{ping}"}, "eventSourceUrl", "{closeafter}", 0},
		{"event source without ping", JMAP{EventSourcePath: "/e?{types}{closeafter}"}, "eventSourceUrl", "{ping}", 0},
		{"event source without any", JMAP{EventSourcePath: "/e"}, "eventSourceUrl", "{types}", 3},
		{"variables have case", JMAP{UploadPath: "/upload/{accountid}/"}, "uploadUrl", "{accountId}", 2},
		{"variable that no client has", JMAP{UploadPath: "/{accountId}/{user}"}, "uploadUrl", "{user}", 0},
		{"operator", JMAP{UploadPath: "/{+accountId}"}, "uploadUrl", "level 1", 0},
		{"open brace", JMAP{UploadPath: "/{accountId"}, "uploadUrl", "level 1", 0},
		{"template that is a URL", JMAP{UploadPath: "https://example.com/{accountId}"}, "uploadUrl", "below the base", 0},
		{"API that is a template", JMAP{APIPath: "/{accountId}"}, "apiUrl", "below the base", 0},
		{"API without a slash", JMAP{APIPath: "jmap"}, "apiUrl", "below the base", 0},
		{"API at the session", JMAP{APIPath: "/jmap/session"}, "apiUrl", "choose another", 0},
		{"web socket that is a URL", JMAP{WebSocketPath: "wss://example.com/ws"}, webSocketCapability, "below the base", 0},
		{"session with a query", JMAP{SessionPath: "/s?x"}, "session", "below the base", 0},
		{"session that climbs", JMAP{SessionPath: "/a/../s"}, "session", "below the base", 0},
		{"session with an escaped slash", JMAP{SessionPath: "/a%2Fb"}, "path", "escaped slash", 0},
		{"session at the well-known location", JMAP{SessionPath: "/.well-known/jmap"}, "path", "choose another", 0},
		{"negative limit", JMAP{Core: Core{MaxCallsInRequest: -1}}, "maxCallsInRequest", "UnsignedInt", 0},
		{"limit of 2^53", JMAP{Core: Core{MaxSizeUpload: 1 << 53}}, "maxSizeUpload", "UnsignedInt", 0},
		{"collation with a blank", JMAP{Core: Core{CollationAlgorithms: []string{"i;a b"}}}, "collationAlgorithms", "registry", 0},
		{"core as a capability", JMAP{Capabilities: map[string]any{coreCapability: nil}}, "capabilities", "JMAP.Core", 0},
		{"web socket as a capability", JMAP{Capabilities: map[string]any{"URN:ietf:params:jmap:websocket": nil}}, "capabilities", "JMAP.WebSocketPath", 0},
		{"capability that is no URI", JMAP{Capabilities: map[string]any{"mail": nil}}, "capabilities", "URI", 0},
		{"capability with a blank", JMAP{Capabilities: map[string]any{"urn:x: y": nil}}, "capabilities", "URI", 0},
		{"capability that is a list", JMAP{Capabilities: map[string]any{"urn:x:y": []int{}}}, "capabilities", "JSON object", 0},
		{"capability that does not encode", JMAP{Capabilities: map[string]any{"urn:x:y": math.NaN()}}, "capabilities", "JSON object", 0},
		{"extra that shadows", JMAP{Extra: map[string]any{"apiURL": "x"}}, "Extra", "shadow", 0},
		{"extra that shadows the state", JMAP{Extra: map[string]any{"\u017ftate": "x"}}, "Extra", "shadow", 0},
		{"extra that does not encode", JMAP{Extra: map[string]any{"x": func() {}}}, "Extra", "cannot encode", 0},
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
