package main

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/oauth2"

	"github.com/seed-94e48765/portico/examples/mailfront/internal/signin/signintest"
	"github.com/seed-94e48765/portico/proxyproto"
)

func base64Of(text string) string { return base64.StdEncoding.EncodeToString([]byte(text)) }

func saslBearer(user, token string) string {
	return base64Of("n," + user + ",\x01host=mail.example.test\x01port=993\x01auth=Bearer " + token + "\x01\x01")
}

func saslXOAuth2(user, token string) string {
	return base64Of("user=" + user + "\x01auth=Bearer " + token + "\x01\x01")
}

// A tokenClient signs in with one message of a mechanism. It returns the error message in
// between, if there is one, and the last answer.
type tokenClient func(s *script, mechanism, message string) (challenge, answer string)

var tokenClients = map[string]tokenClient{
	"submissions": func(s *script, mechanism, message string) (challenge, answer string) {
		answer = s.smtp("AUTH %s %s", mechanism, message)
		if text, ok := strings.CutPrefix(answer, "334 "); ok {
			return text, s.smtp("AQ==")
		}
		return "", answer
	},
	"imaps": func(s *script, mechanism, message string) (challenge, answer string) {
		s.send("i AUTHENTICATE %s %s\r\n", mechanism, message)
		answer = s.line()
		if text, ok := strings.CutPrefix(answer, "+ "); ok {
			s.send("AQ==\r\n")
			return text, s.until("i ")
		}
		return "", answer
	},
	"pop3s": func(s *script, mechanism, message string) (challenge, answer string) {
		s.send("AUTH %s %s\r\n", mechanism, message)
		answer = s.line()
		if text, ok := strings.CutPrefix(answer, "+ "); ok {
			s.send("AQ==\r\n")
			return text, s.line()
		}
		return "", answer
	},
}

// openMail returns a connection on TLS, after the greeting.
func (r *running) openMail(listener string) *script {
	r.t.Helper()
	s := newScript(r.t, onTLS(r.t, r.proxied(listener, header(nil))))
	greet(s, listener)
	return s
}

var (
	tokenAccepted = map[string]string{"submissions": "^235 ", "imaps": "^i OK ", "pop3s": `^\+OK `}
	tokenRefused  = map[string]string{"submissions": "^535 5.7.8 ", "imaps": `^i NO \[AUTHENTICATIONFAILED\] `, "pop3s": `^-ERR \[AUTH\] `}
	tokenPutOff   = map[string]string{"submissions": "^454 4.7.0 ", "imaps": `^i NO \[UNAVAILABLE\] `, "pop3s": `^-ERR \[SYS/TEMP\] `}
)

// changed returns a token with another character in the middle.
func changed(token string) string {
	b := []byte(token)
	i := len(b) / 2
	for b[i] == '.' {
		i++
	}
	if b[i] == 'A' {
		b[i] = 'B'
	} else {
		b[i] = 'A'
	}
	return string(b)
}

func TestATokenOfTheSignInServesMail(t *testing.T) {
	s := newSite(t, testBase, direct, map[string]string{"MAILFRONT_TRUSTED_PROXIES": proxyIP, "MAILFRONT_HTTPS_CLIENT": "forwarded"})
	good, _, _ := s.AccessToken()
	narrow, _, _ := s.AccessToken("scope", "email")
	revoked, code, verifier := s.AccessToken()
	status, _ := s.Token(signintest.CodeForm(code, verifier))
	require.Equal(t, http.StatusBadRequest, status, "a code that comes twice ends the sign-in")
	foreign, _, _ := newSite(t, testBase, direct, nil).AccessToken()
	verifier = oauth2.GenerateVerifier()
	unused := s.SignIn(s.AuthURL(verifier)).Get("code")
	status, answer := s.Token(signintest.CodeForm(s.SignIn(s.AuthURL(verifier, "scope", "openid offline_access")).Get("code"), verifier))
	require.Equal(t, http.StatusOK, status, answer)
	idToken, _ := answer["id_token"].(string)
	refreshToken, _ := answer["refresh_token"].(string)
	require.NotEmpty(t, idToken)
	require.NotEmpty(t, refreshToken)
	for _, test := range []struct {
		name, user, token string
		status, status2   string // of OAUTHBEARER and XOAUTH2; "" if the token is accepted
	}{
		{name: "a token", token: good},
		{name: "a token with its user", user: testAccount, token: good},
		{name: "a token with another user", user: "else@example.test", token: good, status: "invalid_token", status2: "401"},
		{name: "without the scope", token: narrow, status: "insufficient_scope", status2: "403"},
		{name: "revoked", token: revoked, status: "invalid_token", status2: "401"},
		{name: "of another server", token: foreign, status: "invalid_token", status2: "401"},
		{name: "an ID token", token: idToken, status: "invalid_token", status2: "401"},
		{name: "a refresh token", token: refreshToken, status: "invalid_token", status2: "401"},
		{name: "a code", token: unused, status: "invalid_token", status2: "401"},
		{name: "the password", token: "correct-horse", status: "invalid_token", status2: "401"},
		{name: "changed", token: changed(good), status: "invalid_token", status2: "401"},
		{name: "too long", token: strings.Repeat("x", 8<<10), status: "invalid_token", status2: "401"},
		{name: "malformed", token: "a b", status: "invalid_request", status2: "400"},
	} {
		for listener, signIn := range tokenClients {
			for mechanism, status := range map[string]string{"OAUTHBEARER": test.status, "XOAUTH2": test.status2} {
				t.Run(fmt.Sprintf("%s/%s/%s", test.name, listener, mechanism), func(t *testing.T) {
					r := *s.running
					r.t = t
					message := saslBearer(strings.TrimSuffix("a="+test.user, "a="), test.token)
					if mechanism == "XOAUTH2" {
						user := test.user
						if user == "" {
							user = testAccount
						}
						message = saslXOAuth2(user, test.token)
					}
					h := header(nil)
					h.Source = clientAddr(t, test.name) // another client, which is not banned
					c := newScript(t, onTLS(t, r.proxied(listener, h)))
					greet(c, listener)
					challenge, answer := signIn(c, mechanism, message)
					if status == "" {
						require.Empty(t, challenge)
						require.Regexp(t, tokenAccepted[listener], answer)
						return
					}
					require.Regexp(t, tokenRefused[listener], answer)
					text, err := base64.StdEncoding.DecodeString(challenge)
					require.NoError(t, err)
					var got map[string]string
					require.NoError(t, json.Unmarshal(text, &got), "%s", text)
					require.Equal(t, map[string]string{
						"status": status, "schemes": "bearer", "scope": mailScope,
						"openid-configuration": testBase + "/.well-known/openid-configuration",
					}, got)
					r.awaitLog("proto="+listener, "event=login_failed", "client_ip="+clientAddr(t, test.name).IP.String())
				})
			}
		}
	}
	require.NotContains(t, s.log.String(), good)
	require.NotContains(t, s.log.String(), revoked)
}

func TestWrongTokensCauseBan(t *testing.T) {
	r := runMailfront(t, nil)
	for range 3 {
		for listener, signIn := range tokenClients {
			_, answer := signIn(r.openMail(listener), "OAUTHBEARER", saslBearer("", "wrong"))
			require.Regexp(t, tokenRefused[listener], answer)
		}
	}
	_, answer := tokenClients["imaps"](r.openMail("imaps"), "XOAUTH2", saslXOAuth2(testAccount, "wrong"))
	require.Regexp(t, tokenPutOff["imaps"], answer)
	r.awaitLogs(1, "event=ban ", "banned="+clientIP+"/32")
}

// Nothing listens at the issuer.
func TestUncheckedToken(t *testing.T) {
	r := runMailfront(t, map[string]string{"MAILFRONT_AUTHORIZATION_SERVERS": "https://127.0.0.1:1", "MAILFRONT_PUBLIC_URL": testBase})
	for range 5 {
		for listener, signIn := range tokenClients {
			s := r.openMail(listener)
			challenge, answer := signIn(s, "OAUTHBEARER", saslBearer("", "opaque"))
			require.Empty(t, challenge)
			require.Regexp(t, tokenPutOff[listener], answer)
			if listener == "imaps" {
				require.Regexp(t, loggedIn["imap"], logins["imap"](s), "the password is still good, on the same connection")
			}
		}
	}
	require.Zero(t, r.logged("event=login_failed"))
	require.Equal(t, 3, r.logged("event=token_unchecked"), "one line a minute for each listener")
	require.Equal(t, 1, r.logged("identity provider cannot be used"))
}

func TestPlaintextTokenIsLogged(t *testing.T) {
	for listener, refused := range map[string]string{"submission": "^523 ", "imap": `^i NO \[PRIVACYREQUIRED\]`, "pop3": `^-ERR \[SYS/PERM\]`} {
		for name, c := range map[string]struct {
			header *proxyproto.TLS
			log    []string
		}{
			"known":     {header: &proxyproto.TLS{}, log: []string{"tls_known=true", "not encrypted"}},
			"not known": {log: []string{"tls_known=false", "not known", "setting=MAILFRONT_TLS_TERMINATED"}},
		} {
			t.Run(listener+"/"+name, func(t *testing.T) {
				r := runMailfront(t, nil)
				for range 3 {
					s := newScript(t, r.proxied(listener, header(c.header)))
					greet(s, listener)
					_, answer := tokenClients[listener+"s"](s, "OAUTHBEARER", saslBearer("", "x"))
					require.Regexp(t, refused, answer)
				}
				r.awaitLogs(1, append(c.log, "level=WARN", "proto="+listener+" ", "event=plaintext_refused", "client_ip="+clientIP)...)
				require.Zero(t, r.logged("event=login_failed"))
			})
		}
	}
}

// closes replaces an answer if the server closes the connection.
const closes = "closes"

func TestUnfinishedExchanges(t *testing.T) {
	r := runMailfront(t, nil)
	wrong := saslBearer("", "wrong")
	for _, test := range []struct {
		name, listener string
		steps          [][2]string // what is sent, and a pattern of the answer's last line
	}{
		{name: "cancelled, then signed in", listener: "submissions", steps: [][2]string{{"AUTH OAUTHBEARER", "^334 "}, {"*", "^501 "}, {"AUTH PLAIN " + saslPlain(testAccount, testPassword), "^235 "}, {"AUTH PLAIN x", "^503 "}}},
		{name: "an empty initial response", listener: "submissions", steps: [][2]string{{"AUTH PLAIN =", "^501 5.5.2 "}, {"AUTH OAUTHBEARER =", "^334 "}, {"AQ==", "^535 "}, {"AUTH LOGIN =", "^334 UGFzc3dvcmQ6"}, {"=", "^535 "}}},
		{name: "LOGIN", listener: "submissions", steps: [][2]string{{"AUTH LOGIN", "^334 VXNlcm5hbWU6"}, {base64Of(testAccount), "^334 UGFzc3dvcmQ6"}, {base64Of(testPassword), "^235 "}}},
		{name: "the error message is cancelled, until the connection ends", listener: "submissions", steps: [][2]string{
			{"AUTH OAUTHBEARER " + wrong, "^334 "}, {"*", "^501 "}, {"AUTH OAUTHBEARER " + wrong, "^334 "}, {"*", "^501 "},
			{"AUTH OAUTHBEARER " + wrong, "^334 "}, {"*", "^501 "}, {"AUTH PLAIN", "^334 "}, {"NOOP", closes}}},
		{name: "an empty answer to the error message", listener: "submissions", steps: [][2]string{{"AUTH XOAUTH2 " + saslXOAuth2(testAccount, "wrong"), "^334 "}, {"", "^535 "}}},
		{name: "pipelined after a right one", listener: "submissions", steps: [][2]string{{"AUTH PLAIN " + saslPlain(testAccount, testPassword) + "\r\nNOOP", "^235 "}, {"NOOP", "^250 "}, {"QUIT", "^250 "}}},
		{name: "pipelined after a wrong one: the command is the answer to the error message", listener: "submissions", steps: [][2]string{{"AUTH OAUTHBEARER " + wrong + "\r\nNOOP\r\nNOOP", "^334 "}, {"RSET", "^535 "}, {"RSET", "^250 "}}},
		{name: "STARTTLS as a response", listener: "submissions", steps: [][2]string{{"AUTH PLAIN", "^334 "}, {"STARTTLS", "^501 "}, {"STARTTLS", "^502 "}}},
		{name: "100 KiB", listener: "submissions", steps: [][2]string{{"AUTH OAUTHBEARER " + strings.Repeat("x", 100<<10), closes}}},
		{name: "100 KiB as a response", listener: "submissions", steps: [][2]string{{"AUTH OAUTHBEARER", "^334 "}, {strings.Repeat("x", 100<<10), closes}}},
		{name: "8 KiB, as RFC 4954 requires", listener: "submissions", steps: [][2]string{{"AUTH OAUTHBEARER", "^334 "}, {saslBearer("", strings.Repeat("x", 8<<10)), "^334 "}, {"AQ==", "^535 "}}},

		{name: "cancelled, then signed in", listener: "imaps", steps: [][2]string{{"a AUTHENTICATE OAUTHBEARER", `^\+ `}, {"*", "^a BAD "}, {"b AUTHENTICATE PLAIN " + saslPlain(testAccount, testPassword), "^b OK "}, {"c AUTHENTICATE PLAIN =", "^c BAD "}}},
		{name: "an empty initial response", listener: "imaps", steps: [][2]string{{"a AUTHENTICATE PLAIN =", "^a BAD "}, {"b AUTHENTICATE OAUTHBEARER =", `^\+ `}, {"AQ==", `^b NO \[AUTHENTICATIONFAILED\]`}}},
		{name: "LOGIN", listener: "imaps", steps: [][2]string{{"a AUTHENTICATE LOGIN", `^\+ VXNlcm5hbWU6`}, {base64Of(testAccount), `^\+ UGFzc3dvcmQ6`}, {base64Of(testPassword), "^a OK "}}},
		{name: "an unknown mechanism", listener: "imaps", steps: [][2]string{{"a AUTHENTICATE CRAM-MD5", "^a NO Unsupported"}}},
		{name: "an empty answer to the error message", listener: "imaps", steps: [][2]string{{"a AUTHENTICATE XOAUTH2 " + saslXOAuth2(testAccount, "wrong"), `^\+ `}, {"", `^a NO \[AUTHENTICATIONFAILED\]`}}},
		{name: "100 KiB", listener: "imaps", steps: [][2]string{{"a AUTHENTICATE OAUTHBEARER " + strings.Repeat("x", 100<<10), "^a (NO|BAD) "}}},
	} {
		t.Run(test.listener+"/"+test.name, func(t *testing.T) {
			r := *r
			r.t = t
			h := header(nil)
			h.Source = clientAddr(t, t.Name())
			s := newScript(t, onTLS(t, r.proxied(test.listener, h)))
			greet(s, test.listener)
			for _, step := range test.steps {
				if step[1] == closes { // perhaps before it has read everything
					io.WriteString(s.Conn, step[0]+"\r\n")
					require.Regexp(t, "^(500 .*)?$", s.end())
					return
				}
				s.send("%s\r\n", step[0])
				require.Regexp(t, step[1], s.line(), "after %.60q", step[0])
			}
		})
	}
	require.NotContains(t, r.log.String(), "panic")
}

// A refused login before STARTTLS does no harm after it.
func TestATokenIsAcceptedAfterSTARTTLS(t *testing.T) {
	s := newSite(t, testBase, direct, map[string]string{"MAILFRONT_TRUSTED_PROXIES": proxyIP, "MAILFRONT_HTTPS_CLIENT": "forwarded"})
	token, _, _ := s.AccessToken()
	for listener, signIn := range tokenClients {
		listener = strings.TrimSuffix(listener, "s")
		for _, mechanism := range []string{"OAUTHBEARER", "XOAUTH2"} {
			t.Run(listener+"/"+mechanism, func(t *testing.T) {
				r := *s.running
				r.t = t
				message := saslBearer("", token)
				if mechanism == "XOAUTH2" {
					message = saslXOAuth2(testAccount, token)
				}
				c := newScript(t, r.proxied(listener, header(nil)))
				greet(c, listener)
				_, answer := signIn(c, mechanism, message)
				require.NotRegexp(t, tokenAccepted[listener+"s"], answer)
				protocol := listener
				if listener == "submission" {
					protocol = "smtp"
				}
				c.send("%s", startTLSCommands[protocol])
				c.line()
				c = c.startTLS()
				if protocol == "smtp" {
					require.Contains(t, c.smtp("EHLO client.example"), "AUTH PLAIN LOGIN OAUTHBEARER XOAUTH2")
				}
				challenge, answer := signIn(c, mechanism, message)
				require.Empty(t, challenge)
				require.Regexp(t, tokenAccepted[listener+"s"], answer)
			})
		}
	}
	require.Zero(t, s.logged("event=login_failed"))
}
