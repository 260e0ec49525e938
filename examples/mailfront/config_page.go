// Copy checkNoPage: people paste the URL of a page from the browser instead of the URL of the
// server. Change the pages.

package main

import (
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"strconv"
	"strings"

	"github.com/seed-94e48765/portico/examples/mailfront/internal/signin"
	"github.com/seed-94e48765/portico/publicurl"
)

// pages are the paths of this server below the base. A base that ends in one of them is the URL of
// a page, and every document would be one level too deep.
var pages = []string{
	adminPath, adminPath + "/debug", adminPath + "/setup", adminPath + "/sign-in", adminPath + "/sign-out", adminPath + "/url", adminPath + "/verify",
	signin.LoginPath, signin.PasswordPath,
	"/auth/token", "/auth/register", "/auth/introspect", "/auth/userinfo", "/auth/jwks.json",
	"/jmap", jmapSessionPath, "/jmap/eventsource", "/jmap/upload/" + jmapAccountID,
	calendarPath, addressBookPath,
	"/api/discover", "/whoami",
	"/mail/config-v1.1.xml", "/autodiscover/autodiscover.xml", "/autodiscover/autodiscover.json",
}

// parsePublicURL parses a public URL that a person has entered. parsePublicURL accepts every URL
// that one of its errors proposes.
func parsePublicURL(text string) (publicurl.Base, error) {
	base, err := publicurl.Parse(text)
	if err == nil {
		err = checkNoPage(base)
	}
	if wrong := new(publicurl.Error); errors.As(err, &wrong) {
		wrong.Hint = suggestedURL.ReplaceAllStringFunc(wrong.Hint, withoutPage)
	}
	if err != nil {
		return publicurl.Base{}, err
	}
	return base, nil
}

// suggestedURL matches a URL that package publicurl suggests.
var suggestedURL = regexp.MustCompile(`"https?://[^"]*"$`)

// withoutPage returns a quoted URL without the page at its end.
func withoutPage(quoted string) string {
	if text, err := strconv.Unquote(quoted); err == nil {
		if base, err := publicurl.Parse(text); err == nil {
			_, rest := cutPage(base.Prefix())
			return strconv.Quote(base.Origin() + rest)
		}
	}
	return quoted
}

// checkNoPage returns an error with the URL to use if base is the address of a page.
func checkNoPage(base publicurl.Base) error {
	page, rest := cutPage(base.Prefix())
	if page == "" {
		return nil
	}
	return fmt.Errorf("%q is the address of a page of this server (%s), not of the server: use %q",
		base, page, base.Origin()+rest)
}

// cutPage splits the path of a base into the page at its end, or "", and the part before the page.
// Both are escaped.
func cutPage(path string) (page, rest string) {
	decoded, err := url.PathUnescape(path)
	if err != nil {
		return "", path // not reached: a Base has no such path
	}
	before := decoded
	for cut := true; cut; {
		cut = false
		for _, p := range pages {
			if b, ok := strings.CutSuffix(before, p); ok {
				before, cut = b, true
			}
		}
	}
	if before == decoded {
		return "", path
	}
	return strings.TrimPrefix(decoded, before), (&url.URL{Path: before}).EscapedPath()
}
