package publicurl_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/url"

	"github.com/seed-94e48765/portico/publicurl"
)

func Example() {
	base, err := publicurl.Parse("https://mail.example.com")
	if err != nil {
		fmt.Println(err)
		return
	}
	token, err := base.Join("/auth/token")
	fmt.Println(base, token, err)
	// Output: https://mail.example.com https://mail.example.com/auth/token <nil>
}

func ExampleParse_port() {
	base, err := publicurl.Parse("https://mail.example.com:8443")
	fmt.Println(base.Origin(), base.Host(), base.Hostname(), base.Port(), err)
	base, err = publicurl.Parse("https://mail.example.com:443/")
	fmt.Println(base.Origin(), base.Host(), base.Hostname(), base.Port(), err)
	// Output:
	// https://mail.example.com:8443 mail.example.com:8443 mail.example.com 8443 <nil>
	// https://mail.example.com mail.example.com mail.example.com 443 <nil>
}

func ExampleParse_pathMount() {
	base, err := publicurl.Parse("https://Example.com/mail/")
	fmt.Println(base, base.Prefix(), err)
	fmt.Println(base.MustJoin("/login"))
	// Output:
	// https://example.com/mail /mail <nil>
	// https://example.com/mail/login
}

func ExampleParse_error() {
	_, err := publicurl.Parse("https://example.com/mail/.well-known/openid-configuration")
	fmt.Println(errors.Is(err, publicurl.ErrPath))
	var e *publicurl.Error
	if errors.As(err, &e) {
		fmt.Println(e.Offset, e.Hint)
	}
	_, err = publicurl.Parse("https://admin:secret@mail.example.com")
	fmt.Println(err)
	// Output:
	// true
	// 24 this is the URL of a discovery document; cut the .well-known part, the server adds it; write "https://example.com/mail"
	// publicurl: user information not allowed at byte 8 of "https://mail.example.com": remove the user name and password: the base URL is public; write "https://mail.example.com"
}

func ExampleAllowInsecureHTTP() {
	_, err := publicurl.Parse("http://mail.test")
	fmt.Println(err)
	base, err := publicurl.Parse("http://mail.test", publicurl.AllowInsecureHTTP())
	fmt.Println(base, err)
	// Output:
	// publicurl: scheme not usable at byte 0 of "http://mail.test": http is for loopback hosts only; use https; write "https://mail.test"
	// http://mail.test <nil>
}

func ExampleFromHostname() {
	base, err := publicurl.FromHostname("bücher.example")
	fmt.Println(base, err)
	// Output: https://xn--bcher-kva.example <nil>
}

func ExampleFromEnv() {
	env := map[string]string{"MAIL_PUBLIC_URL": "https://example.com/mail"}
	lookup := func(key string) (string, bool) { v, ok := env[key]; return v, ok } // os.LookupEnv in a server

	base, source, err := publicurl.FromEnv(lookup, "MAIL_PUBLIC_URL", "mx1.example.com")
	fmt.Println(base, source, err)

	env["MAIL_PUBLIC_URL"] = ""
	base, source, err = publicurl.FromEnv(lookup, "MAIL_PUBLIC_URL", "mx1.example.com")
	fmt.Println(base, source, err)

	base, source, err = publicurl.FromEnv(lookup, "MAIL_PUBLIC_URL", "")
	fmt.Println(base.IsRelative(), source, err)

	env["MAIL_PUBLIC_URL"] = "example.com/mail"
	_, source, err = publicurl.FromEnv(lookup, "MAIL_PUBLIC_URL", "mx1.example.com")
	fmt.Println(source, err)
	// Output:
	// https://example.com/mail variable <nil>
	// https://mx1.example.com default hostname <nil>
	// true nothing <nil>
	// variable publicurl: scheme not usable at byte 0 of "example.com/mail": correct the variable MAIL_PUBLIC_URL: start with https://; write "https://example.com/mail"
}

func ExampleRelative() {
	base, err := publicurl.Relative("")
	fmt.Println(base.IsRelative(), base.MustJoin("/login"), err)
	mounted, err := publicurl.Relative("/mail")
	fmt.Println(mounted.IsRelative(), mounted.MustJoin("/login"), err)
	// Output:
	// true /login <nil>
	// true /mail/login <nil>
}

func ExampleBase_JoinQuery() {
	base, _ := publicurl.Parse("https://example.com/mail")
	fmt.Println(base.JoinQuery("/login", url.Values{"next": {"/inbox?a=b"}}))
	// Output: https://example.com/mail/login?next=%2Finbox%3Fa%3Db <nil>
}

func ExampleBase_Template() {
	base, _ := publicurl.Parse("https://example.com/mail")
	fmt.Println(base.Template("/jmap/download/{accountId}/{blobId}/{name}?accept={type}"))
	// Output: https://example.com/mail/jmap/download/{accountId}/{blobId}/{name}?accept={type} <nil>
}

func ExampleBase_WebSocket() {
	base, _ := publicurl.Parse("https://example.com/mail")
	fmt.Println(base.WebSocket("/jmap/ws"))
	// Output: wss://example.com/mail/jmap/ws <nil>
}

func ExampleBase_WellKnown() {
	base, _ := publicurl.Parse("https://example.com/mail")
	for _, name := range []publicurl.Name{
		publicurl.OAuthAuthorizationServer, publicurl.OAuthProtectedResource, publicurl.OpenIDConfiguration,
		publicurl.JMAP, publicurl.CalDAV, publicurl.CardDAV,
	} {
		u, err := base.WellKnown(name)
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Println(u)
	}
	// Output:
	// https://example.com/.well-known/oauth-authorization-server/mail
	// https://example.com/.well-known/oauth-protected-resource/mail
	// https://example.com/mail/.well-known/openid-configuration
	// https://example.com/.well-known/jmap
	// https://example.com/.well-known/caldav
	// https://example.com/.well-known/carddav
}

func ExampleBase_WellKnownAliases() {
	base, _ := publicurl.Parse("https://example.com/mail")
	aliases, err := base.WellKnownAliases(publicurl.OAuthAuthorizationServer)
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, u := range aliases {
		fmt.Println(u)
	}
	// Output:
	// https://example.com/.well-known/oauth-authorization-server/mail
	// https://example.com/mail/.well-known/oauth-authorization-server
	// https://example.com/.well-known/oauth-authorization-server
}

func ExampleBase_MetadataURL() {
	base, _ := publicurl.Parse("https://example.com/mail")
	fmt.Println(base.MetadataURL("/jmap"))
	fmt.Println(base.MetadataURL("https://example.com/mail/jmap"))
	// Output:
	// https://example.com/.well-known/oauth-protected-resource/mail/jmap <nil>
	// https://example.com/.well-known/oauth-protected-resource/mail/jmap <nil>
}

func ExampleBase_Contains() {
	base, _ := publicurl.Parse("https://example.com/mail")
	fmt.Println(base.Contains("https://example.com/mail/login"))
	fmt.Println(base.Contains("https://example.com/mailbox"))
	fmt.Println(base.Contains("https://example.com/mail/../admin"))
	// Output:
	// true
	// false
	// false
}

func ExampleBase_MarshalText() {
	base, _ := publicurl.Parse("https://Example.com:443/mail/")
	text, err := json.Marshal(map[string]publicurl.Base{"publicURL": base})
	fmt.Println(string(text), err)
	// Output: {"publicURL":"https://example.com/mail"} <nil>
}
