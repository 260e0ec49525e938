package verify

import "strings"

// minTokenLength is the length of the shortest token that is looked for in what a server
// sends. A shorter one, which no server issues, would be found in words.
const minTokenLength = 8

// redact removes the caller's token from a text.
func (v *verifier) redact(s string) string {
	if len(v.settings.Bearer) < minTokenLength {
		return s
	}
	return strings.ReplaceAll(s, v.settings.Bearer, "[token]")
}
