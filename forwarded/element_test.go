package forwarded_test

import (
	"strings"
	"testing"

	"github.com/seed-94e48765/portico/forwarded"
	"github.com/stretchr/testify/require"
)

func TestParse(t *testing.T) {
	type E = forwarded.Element
	for _, tt := range []struct {
		name  string
		value string
		want  []E
	}{
		{"one pair", `for=192.0.2.43`, []E{{For: "192.0.2.43"}}},
		{"all registered parameters", `for=192.0.2.60;proto=http;by=203.0.113.43;host=example.com`,
			[]E{{For: "192.0.2.60", Proto: "http", By: "203.0.113.43", Host: "example.com"}}},
		{"elements in the order of the header", `for=192.0.2.43, for="[2001:db8:cafe::17]",for=unknown`,
			[]E{{For: "192.0.2.43"}, {For: "[2001:db8:cafe::17]"}, {For: "unknown"}}},
		{"names in any case, values as written", `FOR=Unknown;Proto=HTTPS`, []E{{For: "Unknown", Proto: "HTTPS"}}},
		{"ports and obfuscated identifiers", `for="[2001:db8::1]:4711";by="_x:_y"`, []E{{For: "[2001:db8::1]:4711", By: "_x:_y"}}},
		{"quotes and escapes removed", `host="a\"b\\c, d;e=f"`, []E{{Host: `a"b\c, d;e=f`}}},
		{"extensions", `Secret="a b";for=_a;n=1`, []E{{For: "_a", Extensions: map[string]string{"secret": "a b", "n": "1"}}}},
		{"no for", `proto=https`, []E{{Proto: "https"}}},
		{"empty pairs and blanks around semicolons", ";for=_a ;\t;proto=http;", []E{{For: "_a", Proto: "http"}}},
		{"blanks around commas", " for=_a \t,\tfor=_b ", []E{{For: "_a"}, {For: "_b"}}},
		{"every character of a scheme", `proto=azAZ+-.09, proto=Z9`, []E{{Proto: "azAZ+-.09"}, {Proto: "Z9"}}},
		{"an empty quoted string", `host=""`, []E{{Host: ""}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := forwarded.Parse(tt.value)
			require.NoError(t, err)
			require.Equal(t, tt.want, got)
		})
	}
}

func TestParseErrors(t *testing.T) {
	for _, tt := range []struct {
		name, value, says string
	}{
		{"nothing", ``, `offset 0, at "": an empty element`},
		{"blanks", "  ", "an empty element"},
		{"a comma at the end", `for=_a,`, "offset 7"},
		{"two commas", `for=_a,,for=_b`, `offset 7, at ",for=_b": an empty element`},
		{"semicolons only", `;;`, "an empty element"},
		{"a parameter twice", `for=_a;For=_b`, `"for" stands twice`},
		{"an extension twice", `x=1;X=2`, `"x" stands twice`},
		{"an open quote", `for=_a;host="b`, `offset 12, at "\"b": a quote that is not closed`},
		{"an open quote at an escape", `host="b\`, "a quote that is not closed"},
		{"no value", `for=`, `expected a value for "for"`},
		{"no name", `=_a`, "expected a parameter"},
		{"no =", `for`, `expected = after "for"`},
		{"a blank before =", `for =_a`, `expected = after "for"`},
		{"a blank after =", `for= _a`, `expected a value for "for"`},
		{"IPv6 without quotes", `for=[::1]`, `expected a value for "for"`},
		{"IPv6 without brackets", `for="::1"`, `"::1" is no node`},
		{"IPv6 without quotes and brackets", `for=2001:db8::1`, `at "2001:db8::1": "2001" is no node`},
		{"a port without quotes", `for=192.0.2.1:80`, `at ":80": expected a semicolon`},
		{"a host name as a node", `for=localhost`, `"localhost" is no node`},
		{"a node in by", `by=localhost`, `"localhost" is no node`},
		{"text after the closing quote", `for="_a"b`, "expected a semicolon"},
		{"a control character", "host=\"a\x00b\"", "a control character"},
		{"an escaped control character", "host=\"a\\\x7fb\"", "a control character"},
		{"a scheme that is none", `proto="1http"`, `"1http" is no scheme`},
		{"a scheme that begins with +", `proto=+http`, `"+http" is no scheme`},
		{"a scheme with an underscore", `proto=ht_tp`, `"ht_tp" is no scheme`},
		{"a scheme with a colon", `proto="http:"`, `"http:" is no scheme`},
		{"a scheme with a slash", `proto="ht/tp"`, `"ht/tp" is no scheme`},
		{"a scheme beside Z", `proto="h["`, `"h[" is no scheme`},
		{"a scheme beside a", "proto=\"h`\"", "\"h`\" is no scheme"},
		{"an empty scheme", `proto=""`, `"" is no scheme`},
		{"a long value is cut", `for=` + strings.Repeat("x", 9000), strings.Repeat("x", 60) + `": "`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := forwarded.Parse(tt.value)
			require.Nil(t, got)
			require.ErrorContains(t, err, tt.says)
			require.True(t, strings.HasPrefix(err.Error(), "forwarded: "), err)
			require.Less(t, len(err.Error()), 400)
		})
	}
}
