package trustnet

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
)

// String returns the set in the form that [Parse] reads: the networks of
// Prefixes, single addresses without their prefix length, then unix, separated by
// commas. Equal sets have equal strings; that of an empty set is "".
func (s *Set) String() string {
	if s == nil {
		return ""
	}
	var items []string
	for _, p := range s.prefixes {
		if p.IsSingleIP() {
			items = append(items, p.Addr().String())
		} else {
			items = append(items, p.String())
		}
	}
	if s.unix {
		items = append(items, "unix")
	}
	return strings.Join(items, ",")
}

// MarshalText implements [encoding.TextMarshaler]: the form is that of
// [Set.String], which UnmarshalText reads. It never fails.
func (s *Set) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText implements [encoding.TextUnmarshaler], for [flag.TextVar] and
// configuration files. The text is a comma-separated list as [Parse] takes it;
// the empty text is the empty set, unlike in Parse, because it is the text form
// of that set. On an error s keeps its value.
//
// It changes the Set, as UnmarshalJSON does and no other method, and is for decoding
// into a fresh value: never call it on a Set that is in use.
func (s *Set) UnmarshalText(text []byte) error {
	if len(text) == 0 {
		return s.become(Parse())
	}
	return s.become(Parse(string(text)))
}

// MarshalJSON implements [encoding/json.Marshaler]: the form is a JSON string
// that holds [Set.String]. Use *Set, not Set, for a field: in a struct that is passed by
// value, package json does not find the methods of a Set and writes {}.
func (s *Set) MarshalJSON() ([]byte, error) { return json.Marshal(s.String()) }

// UnmarshalJSON implements [encoding/json.Unmarshaler]. It reads a string, as
// UnmarshalText does, or an array of strings, whose elements are the items of
// [Parse]. JSON null changes nothing. Like UnmarshalText it keeps the value of s
// on an error and is for decoding into a fresh value.
func (s *Set) UnmarshalJSON(data []byte) error {
	if string(bytes.TrimSpace(data)) == "null" {
		return nil
	}
	var text string
	if json.Unmarshal(data, &text) == nil {
		return s.UnmarshalText([]byte(text))
	}
	var items []string
	if err := json.Unmarshal(data, &items); err != nil {
		return fmt.Errorf("trustnet: %.100q is neither a JSON string nor an array of strings: %w", data, err)
	}
	return s.become(Parse(items...))
}

func (s *Set) become(parsed *Set, err error) error {
	if err != nil {
		return err
	}
	if s == nil {
		return errors.New("trustnet: decoding into a nil *Set: pass new(trustnet.Set)")
	}
	*s = *parsed
	return nil
}
