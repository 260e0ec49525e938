package discovery

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"unicode/utf8"
)

// encodeJSON encodes a struct, with the members of extra after its own, sorted.
// A member of extra that a client could take for a member of the struct is an error, even if
// the struct leaves its own out.
func encodeJSON(v any, extra map[string]any) ([]byte, error) {
	body, err := marshal(v)
	if err != nil || len(extra) == 0 {
		return body, err
	}
	names := slices.Sorted(maps.Keys(extra))
	for i, name := range names {
		if !utf8.ValidString(name) {
			// Two such names can become one, with U+FFFD in it.
			return nil, fmt.Errorf("the member %q of Extra is not valid UTF-8", name)
		}
		// Some decoders, encoding/json among them, ignore case.
		if typed := memberLike(reflect.TypeOf(v), name); typed != "" {
			return nil, fmt.Errorf("the member %q of Extra would shadow %q: set the field instead", name, typed)
		}
		if j := slices.IndexFunc(names[:i], func(other string) bool { return strings.EqualFold(other, name) }); j >= 0 {
			return nil, fmt.Errorf("the members %q and %q of Extra differ in case only: remove one", names[j], name)
		}
	}
	more, err := marshal(extra)
	if err != nil {
		return nil, fmt.Errorf("cannot encode Extra: %w", err)
	}
	if string(body) == "{}" {
		return more, nil
	}
	return append(append(body[:len(body)-1], ','), more[1:]...), nil
}

// marshal is json.Marshal without the escapes for HTML, which make URLs with "&" hard to
// read and are not needed in a document with nosniff.
func marshal(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}

func memberLike(t reflect.Type, name string) string {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	for _, f := range reflect.VisibleFields(t) {
		if member := memberName(f); member != "" && strings.EqualFold(member, name) {
			return member
		}
	}
	return ""
}

// memberName returns the name of the member that encoding/json writes for a field, or "".
func memberName(f reflect.StructField) string {
	tag := f.Tag.Get("json")
	name, _, _ := strings.Cut(tag, ",")
	switch {
	case tag == "-" || !f.IsExported() || f.Anonymous && name == "":
		return ""
	case name == "":
		return f.Name
	}
	return name
}

// marshalObject encodes a value that must be an object; nil is the empty one.
func marshalObject(v any) (json.RawMessage, error) {
	if v == nil {
		return json.RawMessage("{}"), nil
	}
	b, err := marshal(v)
	if string(b) == "null" { // a nil map
		return json.RawMessage("{}"), nil
	}
	if err == nil && b[0] != '{' {
		err = fmt.Errorf("%.80q is not an object", b)
	}
	return b, err
}

// isASCII reports whether s has only printable ASCII characters without blanks.
func isASCII(s string) bool { return isPrintableASCII(s) && !strings.Contains(s, " ") }

func isPrintableASCII(s string) bool {
	for i := range len(s) {
		if s[i] < ' ' || s[i] > '~' {
			return false
		}
	}
	return true
}
