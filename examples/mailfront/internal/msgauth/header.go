package msgauth

import (
	"bytes"
	"strings"
)

// WellFormed reports whether trace fields can be put before a message. A first line that begins with a
// blank would continue the last trace field (RFC 5322 section 2.2.3). Some readers treat a bare CR as
// the end of a line (RFC 5321 section 2.3.8).
func WellFormed(message []byte) bool {
	if len(message) > 0 && (message[0] == ' ' || message[0] == '\t') {
		return false
	}
	for {
		i := bytes.IndexByte(message, '\r')
		if i < 0 {
			return true
		}
		if message = message[i+1:]; len(message) == 0 || message[0] != '\n' {
			return false
		}
	}
}

// SplitMessage returns the header of a message, with the line end of its last field, and the rest.
func SplitMessage(message []byte) (header, rest []byte) {
	for end := 0; end < len(message); {
		line := message[end:]
		if i := bytes.IndexByte(line, '\n'); i >= 0 {
			line = line[:i+1]
		}
		if len(bytes.TrimRight(line, "\r\n")) == 0 {
			return message[:end], message[end:]
		}
		end += len(line)
	}
	return message, nil
}

// A field is a header field as it is in the message.
type field []byte

// fieldsOf splits a header before every line that does not continue a field.
func fieldsOf(header []byte) []field {
	var fields []field
	begin := 0
	for i := range header {
		next := i + 1
		if header[i] == '\n' && (next == len(header) || header[next] != ' ' && header[next] != '\t') {
			fields = append(fields, field(header[begin:next]))
			begin = next
		}
	}
	if begin < len(header) {
		fields = append(fields, field(header[begin:]))
	}
	return fields
}

// split returns the name and the unfolded value.
func (f field) split() (name, value string) {
	name, value, _ = strings.Cut(string(f), ":")
	value = strings.NewReplacer("\r", "", "\n", "").Replace(value)
	return strings.TrimSpace(name), strings.TrimSpace(value)
}

// WithoutForged returns the header without the fields Authentication-Results that claim to be from
// this server (RFC 8601 section 5). It removes a field that contains the name of the server anywhere,
// because the part before the first semicolon can be written in many ways.
func WithoutForged(header []byte, server string) []byte {
	kept := make([]byte, 0, len(header))
	for _, f := range fieldsOf(header) {
		name, value := f.split()
		value = strings.ToLower(strings.ReplaceAll(value, `\`, ""))
		if !strings.EqualFold(name, "Authentication-Results") || !strings.Contains(value, server) {
			kept = append(kept, f...)
		}
	}
	return kept
}
