package verify

import "strings"

// minTokenLength is the length of the shortest token that is removed from a server's text. A
// shorter token, which no server issues, could be a part of a word.
const minTokenLength = 8

// redact removes the caller's token from a text.
func (v *verifier) redact(s string) string {
	if len(v.settings.Bearer) < minTokenLength {
		return s
	}
	return strings.ReplaceAll(s, v.settings.Bearer, "[token]")
}
