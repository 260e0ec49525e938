package verify

import (
	"encoding/json"
	"html"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// spellings are the usual ways in which an answer may hold a text: as it is, in a URL,
// in JSON and in HTML.
func spellings(text string) (all []string) {
	if len(text) < 8 {
		return nil
	}
	quoted, _ := json.Marshal(text) // a string can be marshalled
	inJSON := strings.Trim(string(quoted), `"`)
	inQuery, inPath := url.QueryEscape(text), url.PathEscape(text)
	lower := func(s string) string { return escaped.ReplaceAllStringFunc(s, strings.ToLower) }
	all = []string{text, inJSON, strings.ReplaceAll(inJSON, "/", `\/`), html.EscapeString(text), inPath, inQuery, lower(inPath), lower(inQuery)}
	slices.SortFunc(all, func(a, b string) int { return len(b) - len(a) })
	return all
}

// escaped is an escape of a URL, of JSON, or of HTML.
var escaped = regexp.MustCompile(`%[0-9A-Fa-f]{2}|\\u[0-9A-Fa-f]{4}|&#?[0-9A-Za-z]+;`)

// hides reports whether a text says another one if all that is escaped in it is not.
func hides(s, text string) bool {
	for range 3 { // a URL, in JSON, in HTML
		if !strings.ContainsAny(s, `%\&`) {
			return false
		}
		s = escaped.ReplaceAllStringFunc(s, func(e string) string {
			switch digits := strings.TrimLeft(e, `%\u`); e[0] {
			case '&':
				return html.UnescapeString(e)
			default:
				r, _ := strconv.ParseUint(digits, 16, 16)
				return string(rune(r))
			}
		})
		if strings.Contains(strings.ReplaceAll(s, `\/`, "/"), text) {
			return true
		}
	}
	return false
}

// redact removes the caller's token from the beginning of a text, of which no more is
// shown: in the usual spellings alone, and else with all around it. The token may begin
// where that ends, and have an escape of six bytes in place of each byte, three times over.
func (v *verifier) redact(s string) string {
	s = s[:min(len(s), maxFindingLength+1+6*6*6*len(v.settings.Bearer))]
	for _, t := range v.settings.tokenSpellings {
		s = strings.ReplaceAll(s, t, "[token]")
	}
	if len(v.settings.tokenSpellings) > 0 && hides(s, v.settings.Bearer) {
		return "[withheld: the token is in it]"
	}
	return s
}
