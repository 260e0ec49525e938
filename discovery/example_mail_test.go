package discovery_test

import (
	"fmt"
	"log"
	"net/http/httptest"
	"strings"

	"github.com/seed-94e48765/portico/discovery"
	"github.com/seed-94e48765/portico/publicurl"
)

// mailSet returns the documents of the examples.
func mailSet() *discovery.Set {
	base, err := publicurl.FromHostname("mail.example.com")
	if err != nil {
		log.Fatal(err)
	}
	set, err := discovery.Build(discovery.Config{
		Base: base,
		JMAP: &discovery.JMAP{},
		DAV:  &discovery.DAV{FilePath: discovery.None},
		Mail: &discovery.Mail{
			Domains: []string{"example.com"},
			Name:    "Example Mail",
			Services: []discovery.Service{
				{Protocol: discovery.IMAP},
				{Protocol: discovery.Submission},
			},
		},
		MTASTS: &discovery.MTASTS{MX: []string{"mx.example.com"}},
	})
	if err != nil {
		log.Fatal(err)
	}
	return set
}

func ExampleSet_Bytes_userAgent() {
	fmt.Printf("%s\n", mailSet().Bytes(discovery.UserAgentDocument))
	// Output:
	// {"protocols":{"jmap":{"url":"https://mail.example.com/jmap/session"},"imap":{"host":"mail.example.com"},"submit":{"host":"mail.example.com"},"smtp":{"host":"mail.example.com"},"caldav":{"url":"https://mail.example.com/dav/cal/"},"carddav":{"url":"https://mail.example.com/dav/card/"}},"authentication":{"password":true},"info":{"provider":{"name":"Example Mail"}}}
}

func ExampleAutoconfigDocument() {
	fmt.Printf("%s", mailSet().Bytes(discovery.AutoconfigDocument("example.com")))
	// Output:
	// <?xml version="1.0" encoding="UTF-8"?>
	// <clientConfig version="1.2">
	//   <emailProvider id="example.com">
	//     <domain>example.com</domain>
	//     <displayName>Example Mail</displayName>
	//     <incomingServer type="imap">
	//       <hostname>mail.example.com</hostname>
	//       <port>993</port>
	//       <socketType>SSL</socketType>
	//       <authentication>password-cleartext</authentication>
	//       <username>%EMAILADDRESS%</username>
	//     </incomingServer>
	//     <incomingServer type="jmap">
	//       <url>https://mail.example.com/jmap/session</url>
	//       <authentication system="http">Basic</authentication>
	//       <username>%EMAILADDRESS%</username>
	//     </incomingServer>
	//     <outgoingServer type="smtp">
	//       <hostname>mail.example.com</hostname>
	//       <port>465</port>
	//       <socketType>SSL</socketType>
	//       <authentication>password-cleartext</authentication>
	//       <username>%EMAILADDRESS%</username>
	//     </outgoingServer>
	//   </emailProvider>
	//   <addressbook type="carddav">
	//     <url>https://mail.example.com/dav/card/</url>
	//     <authentication system="http">Basic</authentication>
	//     <username>%EMAILADDRESS%</username>
	//   </addressbook>
	//   <calendar type="caldav">
	//     <url>https://mail.example.com/dav/cal/</url>
	//     <authentication system="http">Basic</authentication>
	//     <username>%EMAILADDRESS%</username>
	//   </calendar>
	// </clientConfig>
}

func ExampleMTASTS() {
	fmt.Print(strings.ReplaceAll(string(mailSet().Bytes(discovery.MTASTSDocument)), "\r\n", "\n"))
	// Output:
	// version: STSv1
	// mode: testing
	// mx: mx.example.com
	// max_age: 604800
}

// Outlook requests the URL of autodiscover, and then the settings of an address.
func ExampleMail_autodiscover() {
	h := discovery.NewServer(mailSet(), discovery.ServerConfig{})

	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest("GET", "/autodiscover/autodiscover.json?Email=fred@example.com&Protocol=AutodiscoverV1", nil))
	fmt.Println(w.Body)

	w = httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest("POST", "/autodiscover/autodiscover.xml", strings.NewReader(`
<Autodiscover xmlns="http://schemas.microsoft.com/exchange/autodiscover/outlook/requestschema/2006">
  <Request>
    <EMailAddress>fred@example.com</EMailAddress>
    <AcceptableResponseSchema>http://schemas.microsoft.com/exchange/autodiscover/outlook/responseschema/2006a</AcceptableResponseSchema>
  </Request>
</Autodiscover>`)))
	fmt.Print(w.Body)
	// Output:
	// {"Protocol":"AutodiscoverV1","Url":"https://mail.example.com/autodiscover/autodiscover.xml"}
	// <?xml version="1.0" encoding="UTF-8"?>
	// <Autodiscover xmlns="http://schemas.microsoft.com/exchange/autodiscover/responseschema/2006">
	//   <Response xmlns="http://schemas.microsoft.com/exchange/autodiscover/outlook/responseschema/2006a">
	//     <User>
	//       <DisplayName>fred@example.com</DisplayName>
	//       <AutoDiscoverSMTPAddress>fred@example.com</AutoDiscoverSMTPAddress>
	//     </User>
	//     <Account>
	//       <AccountType>email</AccountType>
	//       <Action>settings</Action>
	//       <Protocol>
	//         <Type>IMAP</Type>
	//         <Server>mail.example.com</Server>
	//         <Port>993</Port>
	//         <DomainRequired>off</DomainRequired>
	//         <LoginName>fred@example.com</LoginName>
	//         <SPA>off</SPA>
	//         <SSL>on</SSL>
	//         <Encryption>SSL</Encryption>
	//         <AuthRequired>on</AuthRequired>
	//       </Protocol>
	//       <Protocol>
	//         <Type>SMTP</Type>
	//         <Server>mail.example.com</Server>
	//         <Port>465</Port>
	//         <DomainRequired>off</DomainRequired>
	//         <LoginName>fred@example.com</LoginName>
	//         <SPA>off</SPA>
	//         <SSL>on</SSL>
	//         <Encryption>SSL</Encryption>
	//         <AuthRequired>on</AuthRequired>
	//       </Protocol>
	//     </Account>
	//   </Response>
	// </Autodiscover>
}

func ExampleSet_DNS() {
	fmt.Print(mailSet().DNS())
	// Output:
	// _imaps._tcp.example.com. 3600 IN SRV 0 1 993 mail.example.com.
	// _imap._tcp.example.com. 3600 IN SRV 0 0 0 .
	// _pop3s._tcp.example.com. 3600 IN SRV 0 0 0 .
	// _pop3._tcp.example.com. 3600 IN SRV 0 0 0 .
	// _submissions._tcp.example.com. 3600 IN SRV 0 1 465 mail.example.com.
	// _submission._tcp.example.com. 3600 IN SRV 0 0 0 .
	// _sieve._tcp.example.com. 3600 IN SRV 0 0 0 .
	// _jmap._tcp.example.com. 3600 IN SRV 0 1 443 mail.example.com.
	// _caldavs._tcp.example.com. 3600 IN SRV 0 1 443 mail.example.com.
	// _caldavs._tcp.example.com. 3600 IN TXT "path=/dav/cal/"
	// _caldav._tcp.example.com. 3600 IN SRV 0 0 0 .
	// _carddavs._tcp.example.com. 3600 IN SRV 0 1 443 mail.example.com.
	// _carddavs._tcp.example.com. 3600 IN TXT "path=/dav/card/"
	// _carddav._tcp.example.com. 3600 IN SRV 0 0 0 .
	// _autodiscover._tcp.example.com. 3600 IN SRV 0 1 443 mail.example.com.
	// autoconfig.example.com. 3600 IN CNAME mail.example.com.
	// autodiscover.example.com. 3600 IN CNAME mail.example.com.
	// ua-auto-config.example.com. 3600 IN CNAME mail.example.com.
	// mta-sts.example.com. 3600 IN CNAME mail.example.com.
	// _ua-auto-config.example.com. 3600 IN TXT "v=UAAC1; a=sha256; d=QNegeE44UIspEngBFMvGu7GaokVty9Eko+8qhL6NT4U="
	// _mta-sts.example.com. 3600 IN TXT "v=STSv1; id=862e2bab291cfe999cbbf2c298cebc64;"
}
