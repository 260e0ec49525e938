package discovery_test

import (
	"fmt"
	"strings"

	"github.com/seed-94e48765/portico/discovery"
)

// A mail server behind an identity provider, such as Keycloak, that issues the tokens.
func ExampleConfig_foreignIssuer() {
	set, err := discovery.Build(discovery.Config{
		Base:                 mustParse("https://mail.example.com"),
		AuthorizationServers: []string{"https://id.example.com/realms/mail"},
		JMAP:                 &discovery.JMAP{},
		DAV:                  &discovery.DAV{},
		WebUI:                &discovery.WebUI{},
		Resources:            []discovery.Resource{{Scopes: []string{"openid", "email"}}}, // of the server itself
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(set.Challenge(nil, "", "openid"))
	fmt.Printf("%s\n", set.Bytes(discovery.BaseResource))
	fmt.Printf("%s\n", set.Bytes(discovery.WebUIDocument))
	// Output:
	// Bearer realm="https://mail.example.com", scope="openid", resource_metadata="https://mail.example.com/.well-known/oauth-protected-resource"
	// {"resource":"https://mail.example.com","authorization_servers":["https://id.example.com/realms/mail"],"scopes_supported":["openid","email"],"bearer_methods_supported":["header"]}
	// {"issuer":"https://id.example.com/realms/mail"}
}

// An operator has copied the URL of a document in place of the issuer.
func ExampleConfig_pastedDiscoveryURL() {
	_, err := discovery.Build(discovery.Config{
		Base:                 mustParse("https://mail.example.com"),
		AuthorizationServers: []string{"https://id.example.com/realms/mail/.well-known/openid-configuration"},
	})
	fmt.Println(err)
	// Output:
	// discovery: config: AuthorizationServers: "https://id.example.com/realms/mail/.well-known/openid-configuration": this is the URL of a document: use the issuer as the document spells it, "https://id.example.com/realms/mail" or "https://id.example.com/realms/mail/" (RFC 8414 section 2)
}

// A mail server at which people sign in with passkeys, so that mail clients use only OAuth 2.0.
func ExampleMail_withoutPasswords() {
	set, err := discovery.Build(discovery.Config{
		Base:  mustParse("https://mail.example.com"),
		OAuth: &discovery.OAuth{RegistrationPath: "/auth/register"},
		Mail: &discovery.Mail{
			Domains:        []string{"example.com"},
			Services:       []discovery.Service{{Protocol: discovery.IMAP}, {Protocol: discovery.Submission}},
			Authentication: []discovery.AuthMethod{discovery.AuthOAuth2},
		},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Printf("%s\n", set.Bytes(discovery.UserAgentDocument))
	// Output:
	// {"protocols":{"imap":{"host":"mail.example.com"},"submit":{"host":"mail.example.com"},"smtp":{"host":"mail.example.com"}},"authentication":{"oauth-public":{"issuer":"https://mail.example.com"},"password":false},"info":{"provider":{"name":"mail.example.com"}}}
}

// A mail server with hosts of its own for the second of its domains.
func ExampleMail_twoDomains() {
	set, err := discovery.Build(discovery.Config{
		Base: mustParse("https://mail.example.com"),
		Mail: &discovery.Mail{
			Domains:   []string{"example.com", "example.net"},
			Services:  []discovery.Service{{Protocol: discovery.IMAP}},
			PerDomain: map[string][]discovery.Service{"example.net": {{Protocol: discovery.IMAP, Host: "imap.example.net"}}},
		},
		MTASTS: &discovery.MTASTS{
			MX:        []string{"mx.example.com"},
			PerDomain: map[string][]string{"example.net": {"mx.example.net"}},
		},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, r := range set.DNS() {
		if strings.HasPrefix(r.Name, "_imaps.") {
			fmt.Println(r)
		}
	}
	policy := string(set.Bytes(discovery.MTASTSDocument + ":example.net"))
	fmt.Print(strings.ReplaceAll(policy, "\r\n", "\n"))
	// Output:
	// _imaps._tcp.example.com. 3600 IN SRV 0 1 993 mail.example.com.
	// _imaps._tcp.example.net. 3600 IN SRV 0 1 993 imap.example.net.
	// version: STSv1
	// mode: testing
	// mx: mx.example.net
	// max_age: 604800
}
