package verify

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// An autoconfigForm is a document with the form of a published one. The elements, their order and
// their spelling are those of the source. The text is not.
type autoconfigForm struct {
	source      string
	contentType string // default text/xml
	text        string
}

const (
	xmlDeclaration = `<?xml version="1.0" encoding="UTF-8"?>`
	formUser       = `<username>%EMAILADDRESS%</username>`
	formPassword   = `<authentication>password-cleartext</authentication>`
)

// formServer is a server element with its members in the order that most sources have.
func formServer(element, kind, host string, port int, socket string, more ...string) string {
	return fmt.Sprintf("<%s type=%q><hostname>%s</hostname><port>%d</port><socketType>%s</socketType>%s</%s>", element, kind, host, port, socket, strings.Join(more, ""), element)
}

func imapForm(host string) string {
	return formServer("incomingServer", "imap", host, 993, "SSL", formUser, formPassword)
}

func smtpForm(host string, more ...string) string {
	return formServer("outgoingServer", "smtp", host, 465, "SSL", append([]string{formUser, formPassword}, more...)...)
}

func providerForm(id string, inner ...string) string {
	return `<emailProvider id="` + id + `"><domain>` + id + `</domain><displayName>` + id + `</displayName><displayShortName>` + id + `</displayShortName>` + strings.Join(inner, "\n") + `</emailProvider>`
}

func clientConfigForm(inner ...string) string {
	return `<clientConfig version="1.1">` + "\n" + strings.Join(inner, "\n") + "\n</clientConfig>\n"
}

// autoconfigForms are twenty forms of config-v1.1.xml.
func autoconfigForms() []autoconfigForm {
	const host, domain = "mail.other.example", "other.example"
	ordinary := providerForm(domain, imapForm(host), smtpForm(host))
	return []autoconfigForm{
		{source: "github.com/thunderbird/autoconfig ispdb/googlemail.com.xml: issuer as a host name, two ways to sign in, pop3 options, enable, loginPageInfo",
			text: xmlDeclaration + clientConfigForm(providerForm(domain,
				formServer("incomingServer", "imap", host, 993, "SSL", formUser, "<authentication>OAuth2</authentication>", formPassword),
				formServer("incomingServer", "pop3", host, 995, "SSL", formUser, "<authentication>OAuth2</authentication>", formPassword, "<pop3><leaveMessagesOnServer>true</leaveMessagesOnServer></pop3>"),
				formServer("outgoingServer", "smtp", host, 587, "STARTTLS", formUser, "<authentication>OAuth2</authentication>", formPassword),
				`<documentation url="http://help.other.example/imap?a=1"><descr>How to switch it on</descr></documentation>`),
				`<oAuth2><issuer>accounts.other.example</issuer><scope>https://mail.other.example/ https://www.other.example/auth/contacts</scope><authURL>https://accounts.other.example/o/oauth2/auth</authURL><tokenURL>https://www.other.example/oauth2/v3/token</tokenURL></oAuth2>`,
				`<enable visiturl="https://mail.other.example/mail/?ui=2&amp;shva=1#settings/fwdandpop"><instruction>Switch IMAP on</instruction></enable>`,
				`<webMail><loginPage url="https://accounts.other.example/ServiceLogin?service=mail&amp;continue=http://mail.other.example/"/><loginPageInfo url="https://accounts.other.example/ServiceLogin">`+formUser+`<usernameField id="Email"/><passwordField id="Passwd"/><loginButton id="signIn"/></loginPageInfo></webMail>`)},
		{source: "mailcow-dockerized data/web/autoconfig.php: the host with its port in URLs, two languages, %EMAILDOMAIN% as the domain", contentType: "application/xml",
			text: `<?xml version="1.0"?>` + clientConfigForm(`<emailProvider id="example.com"><domain>%EMAILDOMAIN%</domain><displayName>A server</displayName><displayShortName>server</displayShortName>`,
				imapForm(host), formServer("incomingServer", "imap", host, 143, "STARTTLS", formUser, formPassword), formServer("incomingServer", "pop3", host, 110, "plain", formUser, formPassword), smtpForm(host),
				`<enable visiturl="https://other.example:443/admin.php"><instruction>Change the password</instruction><instruction lang="de">Passwort ändern</instruction></enable></emailProvider>`,
				`<webMail><loginPage url="https://other.example:443/SOGo/" /></webMail>`)},
		{source: "mailinabox conf/mozilla-autoconfig.xml: clientConfigUpdate, addThisServer, useGlobalPreferredServer",
			text: `<?xml version="1.0"?>` + clientConfigForm(providerForm(host, imapForm(host), smtpForm(host, "<addThisServer>true</addThisServer>", "<useGlobalPreferredServer>false</useGlobalPreferredServer>"), `<documentation url="https://mail.other.example/"><descr lang="en">The web site</descr></documentation>`),
				`<webMail><loginPage url="https://mail.other.example/mail/" /></webMail>`, `<clientConfigUpdate url="https://mail.other.example/.well-known/autoconfig/mail/config-v1.1.xml" />`)},
		{source: "Thunderbird's format, wiki.mozilla.org/Thunderbird:Autoconfiguration:ConfigFileFormat: Exchange servers with URLs, restriction, identity, inputField",
			text: xmlDeclaration + clientConfigForm(`<emailProvider id="other.example"><domain purpose="mx">mx.other.example</domain><domain>other.example</domain>`,
				`<incomingServer type="exchange"><owaURL>https://mail.other.example/owa/</owaURL><ewsURL>https://mail.other.example/ews/exchange.asmx</ewsURL><useGlobalPreferredServer>true</useGlobalPreferredServer></incomingServer>`,
				formServer("incomingServer", "pop3", host, 995, "SSL", formUser, "<authentication>password-encrypted</authentication>", "<pop3><daysToLeaveMessagesOnServer>999</daysToLeaveMessagesOnServer><downloadOnBiff>true</downloadOnBiff><checkInterval minutes=\"15\"/></pop3>", "<password>optional</password>"),
				formServer("outgoingServer", "smtp", host, 587, "STARTTLS", formUser, "<restriction>client-IP-address</restriction>"),
				`<identity><emailAddress>%EMAILADDRESS%</emailAddress></identity><inputField key="USERNAME" label="Screen name"></inputField></emailProvider>`)},
		{source: "mustang (Beonex) autoconfig, clientConfig version=\"1.2\": EWS by url, before the user's own data",
			text: `<clientConfig version="1.2"><user><emailAddress>jane@other.example</emailAddress></user>` + providerForm(domain, `<incomingServer type="ews">`+formUser+`<authentication>NTLM</authentication><url>https://exchange.other.example/ews/exchange.asmx</url></incomingServer>`) + `</clientConfig>`},
		{source: "Exchange by NGINX \"return 200\" in NixOS configurations: a newline inside, application/xml", contentType: "application/xml",
			text: xmlDeclaration + "\n        " + clientConfigForm(ordinary)},
		{source: "OVH, autoconfig of hosted domains: the address itself in place of %EMAILADDRESS%, no encoding",
			text: `<?xml version="1.0"?>` + clientConfigForm(`<emailProvider id="other.example"><domain>other.example</domain><displayName>jane@other.example</displayName>`,
				formServer("incomingServer", "imap", "ssl0.isp.example", 993, "SSL", "<username>jane@other.example</username>", formPassword), "</emailProvider>")},
		{source: "PHP files without an XML declaration (a common copy of config-v1.1.xml)", contentType: "text/xml; charset=UTF-8", text: clientConfigForm(ordinary)},
		{source: "files saved on Windows: a byte order mark and CRLF", text: "\ufeff" + strings.ReplaceAll(xmlDeclaration+"\n"+clientConfigForm(ordinary), "\n", "\r\n")},
		{source: "Latin-1 files of German providers (gmx.net.xml before UTF-8)", contentType: "text/xml; charset=iso-8859-1",
			text: strings.ReplaceAll(`<?xml version="1.0" encoding="ISO-8859-1"?>`+clientConfigForm(providerForm(domain, imapForm(host), "<!-- f\xfcr alle -->")), "UTF-8", "ISO-8859-1")},
		{source: "ispdb/hotmail.com: many domains, comments between elements",
			text: xmlDeclaration + "<!-- one file\n for all names -->" + clientConfigForm(`<emailProvider id="other.example">`+strings.Repeat("<domain>d.example</domain>\n", 120), imapForm(host), "<!-- not yet: jmap -->", smtpForm(host), "</emailProvider>")},
		{source: "draft-ietf-mailmaint-autoconfig: calendar, addressbook and fileShare elements with several ways to sign in",
			text: xmlDeclaration + clientConfigForm(providerForm(domain, imapForm(host), smtpForm(host),
				`<addressbook type="carddav">`+formUser+`<authentication>http-basic</authentication><authentication system="http">OAuth2</authentication><url>https://contacts.other.example/remote.php/dav</url></addressbook>`,
				`<calendar type="caldav">`+formUser+`<authentication>http-basic</authentication><url>https://calendar.other.example/remote.php/dav/%EMAILADDRESS%/</url></calendar>`,
				`<fileShare type="webdav">`+formUser+`<url>https://share.other.example/remote.php/dav</url></fileShare>`))},
		{source: "older documents: serverURL in place of url, addressBook with a capital", text: xmlDeclaration + clientConfigForm(providerForm(domain, imapForm(host),
			`<addressBook type="carddav">`+formUser+formPassword+`<serverURL>https://contacts.other.example/</serverURL></addressBook>`, `<calendar type="caldav"><serverURL>https://calendar.other.example/</serverURL></calendar>`))},
		{source: "draft-ietf-mailmaint-autoconfig: JMAP by url and IMAP", text: xmlDeclaration + clientConfigForm(providerForm(domain,
			`<incomingServer type="jmap"><url>https://jmap.other.example/session</url><authentication system="http">OAuth2</authentication></incomingServer>`, imapForm(host), smtpForm(host)))},
		{source: "NixOS modules: placeholders as display names, authentication before username",
			text: xmlDeclaration + "\n\n" + clientConfigForm(`<emailProvider id="other.example"><domain>other.example</domain><displayName>%EMAILADDRESS%</displayName><displayShortName>%EMAILLOCALPART%</displayShortName>`,
				formServer("incomingServer", "imap", host, 993, "SSL", formPassword, formUser), "</emailProvider>")},
		{source: "ispdb/office365.com: issuer with a path-less URL of another provider", text: xmlDeclaration + clientConfigForm(ordinary,
			`<oAuth2><issuer>https://login.other.example</issuer><scope>offline_access</scope><authURL>https://login.other.example/common/oauth2/v2.0/authorize</authURL><tokenURL>https://login.other.example/common/oauth2/v2.0/token</tokenURL></oAuth2>`)},
		{source: "mox: one provider without documentation, indentation by tabs", contentType: "application/xml; charset=utf-8",
			text: xmlDeclaration + "\n" + strings.ReplaceAll(clientConfigForm(ordinary), "\n", "\n\t") + clientIndent},
		{source: "hosting panels: %EMAILLOCALPART% as the user, password-encrypted, plain sockets", text: `<?xml version='1.0' encoding='utf-8'?>` + clientConfigForm(providerForm(domain,
			formServer("incomingServer", "pop3", host, 110, "plain", "<username>%EMAILLOCALPART%</username>", "<authentication>password-encrypted</authentication>")))},
		{source: "documents with a namespace and CDATA", text: xmlDeclaration + `<clientConfig xmlns="urn:mozilla:xmlns:autoconfig" version="1.1">` + providerForm(domain, imapForm(host), `<documentation url="https://other.example/help"><descr><![CDATA[How & why]]></descr></documentation>`) + `</clientConfig>`},
		{source: "sites with a mail server alone: no display name, empty elements", text: xmlDeclaration + clientConfigForm(`<emailProvider id="other.example"><domain>other.example</domain><displayName/>`, imapForm(host), `<webMail/><instructions/>`, `</emailProvider>`)},
	}
}

const clientIndent = "\n"

func TestAcceptsFormsOfAutoconfig(t *testing.T) {
	forms := autoconfigForms()
	require.Len(t, forms, 20)
	for _, f := range forms {
		t.Run(f.source, func(t *testing.T) {
			if f.contentType == "" {
				f.contentType = "text/xml"
			}
			document := body(f.contentType, f.text)
			for _, host := range []string{"autoconfig.other.example", "other.example"} {
				c := verifyConfig(t, rootBase)
				mailAtOther(&c)
				report := verify(t, atHost(host, document)(correctServer(t, c)), rootBase, Config{MailDomains: []string{"other.example"}})
				require.Empty(t, report.Findings)
				h := atHost(host, body(f.contentType, f.text[:len(f.text)*3/4]))(correctServer(t, c))
				require.NotEmpty(t, verify(t, h, rootBase, Config{MailDomains: []string{"other.example"}}).Findings, "cut, it is found wrong")
			}
		})
	}
}
