package main

import (
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/oauth2"

	"github.com/seed-94e48765/portico/examples/mailfront/internal/signin/signintest"
)

const echoRequest = `{"using":["urn:ietf:params:jmap:core"],"methodCalls":[["Core/echo",{"hello":true,"n":9007199254740993},"c1"]]}`

func basicAuth(password string) string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(testAccount+":"+password))
}

func TestCoreEcho(t *testing.T) {
	for _, test := range []struct{ base, how string }{
		{base: testBase, how: direct},
		{base: testBase + ":8443", how: direct},
		{base: testBase + "/mail", how: direct},
		{base: testBase + "/mail", how: stripped},
		{base: testBase + "/mail", how: kept},
	} {
		t.Run(test.base+" "+test.how, func(t *testing.T) {
			s := newSite(t, test.base, test.how, nil)
			verifier := oauth2.GenerateVerifier()
			_, tokens := s.Token(signintest.CodeForm(s.SignIn(s.AuthURL(verifier)).Get("code"), verifier))
			for name, authorization := range map[string]string{
				"the password as a token": "Bearer " + testPassword,
				"the password":            basicAuth(testPassword),
				"an access token":         "Bearer " + tokens["access_token"].(string),
			} {
				response, body := s.do(http.MethodGet, "/jmap/session", "", "Authorization", authorization)
				require.Equal(t, http.StatusOK, response.StatusCode, name)
				var session struct{ APIURL, Username, State string }
				require.NoError(t, json.Unmarshal([]byte(body), &session))
				require.Equal(t, test.base+"/jmap/", session.APIURL)
				require.Equal(t, testAccount, session.Username)
				response, body = s.do(http.MethodPost, session.APIURL, echoRequest, "Authorization", authorization, "Content-Type", "application/json; charset=utf-8")
				require.Equal(t, http.StatusOK, response.StatusCode, name)
				require.Equal(t, "no-store", response.Header.Get("Cache-Control"))
				require.JSONEq(t, `{"methodResponses":[["Core/echo",{"hello":true,"n":9007199254740993},"c1"]],"sessionState":"`+session.State+`"}`, body)
				require.Contains(t, body, "9007199254740993", "as it came")
			}
		})
	}
}

func TestAPIsChallenge(t *testing.T) {
	s := newSite(t, testBase+"/mail", stripped, nil)
	for _, test := range []struct{ method, path string }{
		{method: "POST", path: "/jmap/"},
		{method: "POST", path: "/jmap"},
		{method: "GET", path: "/jmap/session"},
		{method: "GET", path: "/jmap/eventsource/?ping=0"},
		{method: "POST", path: "/jmap/upload/demo/"},
		{method: "GET", path: "/jmap/download/demo/b/n"},
		{method: "PROPFIND", path: "/dav/cal/"},
		{method: "PROPFIND", path: "/dav/card"},
		{method: "GET", path: "/auth/userinfo"},
		{method: "POST", path: "/auth/introspect"},
	} {
		for name, authorization := range map[string]string{
			"nothing": "", "wrong password": basicAuth("wrong-secret"), "wrong token": "Bearer wrong-secret", "no scheme": testPassword, "empty": "Bearer ",
		} {
			response, body := s.do(test.method, test.path, "", "Authorization", authorization)
			require.Equal(t, http.StatusUnauthorized, response.StatusCode, "%s %s", name, test.path)
			require.Contains(t, strings.Join(response.Header.Values("WWW-Authenticate"), ", "), "Bearer", "%s %s", name, test.path)
			require.NotContains(t, body, "secret")
		}
	}
	require.NotZero(t, s.logged("proto=http event=login_failed client_ip="))
	require.NotContains(t, s.log.String(), "wrong-secret")
}

func TestAPIsRequireScope(t *testing.T) {
	s := newSite(t, testBase, direct, nil)
	narrow, _, _ := s.AccessToken("scope", "email")
	full, _, _ := s.AccessToken("scope", mailScope)
	for _, test := range []struct {
		method, path string
		allowed      int // status of the answer to a token with the scope
	}{
		{method: "POST", path: "/jmap/", allowed: http.StatusBadRequest},
		{method: "POST", path: "/jmap/upload/" + jmapAccountID + "/", allowed: http.StatusCreated},
		{method: "GET", path: "/jmap/download/" + jmapAccountID + "/b/n", allowed: http.StatusNotFound},
		{method: "GET", path: "/jmap/eventsource/?types=*&closeafter=state&ping=0", allowed: http.StatusOK},
		{method: "PROPFIND", path: "/dav/cal/", allowed: http.StatusMultiStatus},
		{method: "PROPFIND", path: "/dav/card/", allowed: http.StatusMultiStatus},
	} {
		t.Run(test.method+" "+test.path, func(t *testing.T) {
			response, _ := s.do(test.method, test.path, "", "Authorization", "Bearer "+narrow)
			require.Equal(t, http.StatusForbidden, response.StatusCode)
			require.Contains(t, strings.Join(response.Header.Values("WWW-Authenticate"), ", "), `error="insufficient_scope", scope="`+mailScope+`"`)
			if strings.Contains(test.path, "eventsource") {
				return // the stream does not end
			}
			response, body := s.do(test.method, test.path, "", "Authorization", "Bearer "+full)
			require.Equal(t, test.allowed, response.StatusCode, body)
		})
	}
}

func TestJMAPErrors(t *testing.T) {
	s := newSite(t, testBase, direct, nil)
	calls := func(n int) string {
		return `{"using":["urn:ietf:params:jmap:core"],"methodCalls":[` + strings.TrimSuffix(strings.Repeat(`["Core/echo",{},"c"],`, n), ",") + `]}`
	}
	for name, test := range map[string]struct {
		body, contentType, want, limit string
	}{
		"another type":        {body: echoRequest, contentType: "text/plain", want: "notJSON", limit: ""},
		"no type":             {body: echoRequest, contentType: "", want: "notJSON", limit: ""},
		"no JSON":             {body: "{", contentType: "application/json", want: "notJSON", limit: ""},
		"two values":          {body: echoRequest + echoRequest, contentType: "application/json", want: "notJSON", limit: ""},
		"no UTF-8":            {body: `{"using":["` + "\xff" + `"],"methodCalls":[]}`, contentType: "application/json", want: "notJSON", limit: ""},
		"an array":            {body: "[]", contentType: "application/json", want: "notRequest", limit: ""},
		"null":                {body: "null", contentType: "application/json", want: "notRequest", limit: ""},
		"no using":            {body: `{"methodCalls":[]}`, contentType: "application/json", want: "notRequest", limit: ""},
		"no calls":            {body: `{"using":[]}`, contentType: "application/json", want: "notRequest", limit: ""},
		"a call of two":       {body: `{"using":[],"methodCalls":[["Core/echo",{}]]}`, contentType: "application/json", want: "notRequest", limit: ""},
		"arguments: array":    {body: `{"using":[],"methodCalls":[["Core/echo",[],"c"]]}`, contentType: "application/json", want: "notRequest", limit: ""},
		"an id: number":       {body: `{"using":[],"methodCalls":[["Core/echo",{},1]]}`, contentType: "application/json", want: "notRequest", limit: ""},
		"unknown capability":  {body: `{"using":["urn:ietf:params:jmap:mail"],"methodCalls":[]}`, contentType: "application/json", want: "unknownCapability", limit: ""},
		"too many calls":      {body: calls(17), contentType: "application/json", want: "limit", limit: "maxCallsInRequest"},
		"more than the limit": {body: `{"using":["` + strings.Repeat("x", 1<<20) + `"]}`, contentType: "application/json", want: "limit", limit: "maxSizeRequest"},
	} {
		response, body := s.do(http.MethodPost, "/jmap/", test.body, "Authorization", "Bearer "+testPassword, "Content-Type", test.contentType)
		require.Equal(t, http.StatusBadRequest, response.StatusCode, name)
		require.Equal(t, "application/problem+json", response.Header.Get("Content-Type"), name)
		var got struct {
			Type, Limit, Detail string
			Status              int
		}
		require.NoError(t, json.Unmarshal([]byte(body), &got), name)
		require.Equal(t, "urn:ietf:params:jmap:error:"+test.want, got.Type, name)
		require.Equal(t, test.limit, got.Limit, name)
		require.Equal(t, http.StatusBadRequest, got.Status, name)
	}
	post := func(body string) string {
		response, answer := s.do(http.MethodPost, "/jmap/", body, "Authorization", "Bearer "+testPassword, "Content-Type", "application/json")
		require.Equal(t, http.StatusOK, response.StatusCode, answer)
		return answer
	}
	require.Contains(t, post(`{"using":["urn:ietf:params:jmap:core"],"methodCalls":[["Email/get",{"a":1},"x"],["Core/echo",{},"y"]]}`),
		`"methodResponses":[["error",{"type":"unknownMethod"},"x"],["Core/echo",{},"y"]]`)
	require.Contains(t, post(`{"using":[],"methodCalls":[["Core/echo",{},"y"]]}`), `["error",{"type":"unknownMethod"},"y"]`, "without its capability")
	require.Equal(t, 16, strings.Count(post(calls(16)), "Core/echo"))
	response, _ := s.do(http.MethodGet, "/jmap/", "", "Authorization", "Bearer "+testPassword)
	require.Equal(t, http.StatusMethodNotAllowed, response.StatusCode)
	response, _ = s.do(http.MethodOptions, "/jmap/", "")
	require.Equal(t, http.StatusNoContent, response.StatusCode)
	require.Equal(t, "*", response.Header.Get("Access-Control-Allow-Origin"))
	require.Contains(t, response.Header.Get("Access-Control-Allow-Headers"), "Authorization")
}

func TestBlobsComeBackAndAreNoPages(t *testing.T) {
	s := newSite(t, testBase, direct, nil)
	bearer := []string{"Authorization", "Bearer " + testPassword}
	response, body := s.do(http.MethodPost, "/jmap/upload/demo/", "<script>alert(1)</script>", append(bearer, "Content-Type", "text/html")...)
	require.Equal(t, http.StatusCreated, response.StatusCode, body)
	var got struct {
		AccountID, BlobID, Type string
		Size                    int
	}
	require.NoError(t, json.Unmarshal([]byte(body), &got))
	require.Equal(t, "demo", got.AccountID)
	require.Equal(t, "text/html", got.Type)
	require.Equal(t, 25, got.Size)
	path := "/jmap/download/demo/" + got.BlobID + "/a%22b.html?accept=text/html"
	response, body = s.do(http.MethodGet, path, "", bearer...)
	require.Equal(t, "<script>alert(1)</script>", body)
	require.Equal(t, "text/html", response.Header.Get("Content-Type"))
	require.Regexp(t, "^attachment;", response.Header.Get("Content-Disposition"))
	require.Contains(t, response.Header.Get("Content-Security-Policy"), "sandbox")
	require.Equal(t, "nosniff", response.Header.Get("X-Content-Type-Options"))
	for i := range maxBlobs {
		s.do(http.MethodPost, "/jmap/upload/demo/", strings.Repeat("x", i), bearer...)
	}
	for _, path := range []string{path, "/jmap/download/other/" + got.BlobID + "/n"} {
		response, _ = s.do(http.MethodGet, path, "", bearer...)
		require.Equal(t, http.StatusNotFound, response.StatusCode, path)
	}
	response, body = s.do(http.MethodPost, "/jmap/upload/other/", "x", bearer...)
	require.Equal(t, http.StatusNotFound, response.StatusCode)
	require.Contains(t, body, "about:blank")
	response, body = s.do(http.MethodPost, "/jmap/upload/demo/", strings.Repeat("x", 1<<20+1), bearer...)
	require.Equal(t, http.StatusRequestEntityTooLarge, response.StatusCode)
	require.Contains(t, body, "maxSizeUpload")
}

func TestEventSourceShutdown(t *testing.T) {
	s := newSite(t, testBase, direct, nil)
	response, _ := s.do(http.MethodGet, "/jmap/eventsource/?ping=soon", "", "Authorization", "Bearer "+testPassword)
	require.Equal(t, http.StatusBadRequest, response.StatusCode)
	r, err := http.NewRequestWithContext(s.ctx, http.MethodGet, s.Base+"/jmap/eventsource/?types=*&closeafter=no&ping=30", nil)
	require.NoError(t, err)
	r.Header.Set("Authorization", "Bearer "+testPassword)
	response, err = s.client.Do(r)
	require.NoError(t, err)
	defer response.Body.Close()
	require.Equal(t, http.StatusOK, response.StatusCode)
	require.Equal(t, "text/event-stream", response.Header.Get("Content-Type"))
	require.NoError(t, s.stop(), "it does not hold up the end")
	rest, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	require.Equal(t, ":\n\n", string(rest))
}

// NGINX forwards a header in HTTP/2 only when the body begins.
func TestTheEventSourceBeginsAtOnce(t *testing.T) {
	for _, test := range []struct{ name, how, proto string }{
		{name: "HTTP/1.1", how: plain, proto: "HTTP/1.1"},
		{name: "HTTP/2", how: direct, proto: "HTTP/2.0"},
	} {
		t.Run(test.name, func(t *testing.T) {
			base := testBase
			if test.how == plain {
				base = "http://127.0.0.1"
			}
			s := newSite(t, base, test.how, nil)
			r, err := http.NewRequestWithContext(s.ctx, http.MethodGet, s.Base+"/jmap/eventsource/?types=*&closeafter=no&ping=0", nil)
			require.NoError(t, err)
			r.Header.Set("Authorization", "Bearer "+testPassword)
			transport := s.client.Transport.(*http.Transport).Clone()
			transport.ForceAttemptHTTP2 = true
			defer transport.CloseIdleConnections()
			response, err := transport.RoundTrip(r)
			require.NoError(t, err)
			defer response.Body.Close()
			require.Equal(t, test.proto, response.Proto)
			first := make([]byte, 3)
			_, err = io.ReadFull(response.Body, first)
			require.NoError(t, err)
			require.Equal(t, ":\n\n", string(first), "a comment")
		})
	}
}

func TestCrossSiteJMAPGuesses(t *testing.T) {
	s := newSite(t, testBase, direct, nil)
	const evil = "https://evil.example"
	for range 30 {
		response, _ := s.do(http.MethodPost, "/jmap/", "{}", "Authorization", "Bearer guess", "Origin", evil)
		require.Equal(t, http.StatusUnauthorized, response.StatusCode)
	}
	response, _ := s.do(http.MethodGet, "/jmap/session", "", "Authorization", "Bearer "+testPassword, "Origin", evil)
	require.Equal(t, http.StatusUnauthorized, response.StatusCode, "it may not go on guessing")
	response, _ = s.do(http.MethodGet, "/jmap/session", "", "Authorization", "Bearer "+testPassword)
	require.Equal(t, http.StatusOK, response.StatusCode, "the visitor is served")
}

func TestAGuessInTheFormOfATokenIsAGuess(t *testing.T) {
	s := newSite(t, testBase, direct, nil)
	s.comeFromElsewhere()
	for range 10 {
		s.do(http.MethodGet, "/jmap/session", "", "Authorization", "Bearer one.two.three.four.guess")
	}
	response, _ := s.do(http.MethodGet, "/jmap/session", "", "Authorization", "Bearer "+testPassword)
	require.Equal(t, http.StatusTooManyRequests, response.StatusCode)
}
