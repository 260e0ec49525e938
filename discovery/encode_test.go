package discovery

import (
	"encoding/json"
	"math"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
)

type encoded struct {
	Issuer string   `json:"issuer"`
	Keys   []string `json:"keys,omitempty"`
	Kelvin string   `json:"kelvin_scale,omitempty"`
	Hidden string   `json:"-"`
	Plain  string   `json:",omitempty"`
	inner  string
}

func TestEncodeJSON(t *testing.T) {
	v := encoded{Issuer: "https://example.com/?a=b&c=<d>", inner: "never"}
	for _, tt := range []struct {
		name  string
		extra map[string]any
		want  string // or, with "!", part of the error
	}{
		{name: "no extra", want: `{"issuer":"https://example.com/?a=b&c=<d>"}`},
		{name: "extra is sorted", extra: map[string]any{"b": 1, "a": nil}, want: `{"issuer":"https://example.com/?a=b&c=<d>","a":null,"b":1}`},
		{name: "a name of a hidden field", extra: map[string]any{"Hidden": 1, "-": 2, "inner": 3}, want: `{"issuer":"https://example.com/?a=b&c=<d>","-":2,"Hidden":1,"inner":3}`},
		{name: "the name itself", extra: map[string]any{"issuer": "x"}, want: `!"issuer" of Extra would shadow "issuer"`},
		{name: "a field that is left out", extra: map[string]any{"keys": "x"}, want: `!would shadow "keys"`},
		{name: "another case", extra: map[string]any{"ISSUER": "x"}, want: `!would shadow "issuer"`},
		{name: "long s", extra: map[string]any{"i\u017f\u017fuer": "x"}, want: `!would shadow "issuer"`},
		{name: "kelvin sign", extra: map[string]any{"\u212aelvin_scale": "x"}, want: `!would shadow "kelvin_scale"`},
		{name: "a field without a tag", extra: map[string]any{"plain": "x"}, want: `!would shadow "Plain"`},
		{name: "two that differ by case", extra: map[string]any{"foo": 1, "FOO": 2}, want: `!the members "FOO" and "foo" of Extra differ`},
		{name: "two that fold to one", extra: map[string]any{"\u017f": 1, "s": 2}, want: `!differ in case only`},
		{name: "not UTF-8", extra: map[string]any{"a\xff": 1, "a\xfe": 2}, want: `!not valid UTF-8`},
		{name: "no number", extra: map[string]any{"a": math.Inf(1)}, want: `!cannot encode Extra`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := encodeJSON(v, tt.extra)
			if message, isError := strings.CutPrefix(tt.want, "!"); isError {
				require.ErrorContains(t, err, message)
				require.Nil(t, got)
				return
			}
			require.NoError(t, err)
			require.Equal(t, tt.want, string(got))
		})
	}
	got, err := encodeJSON(struct{}{}, map[string]any{"a": 1})
	require.NoError(t, err)
	require.Equal(t, `{"a":1}`, string(got))
}

func TestEqualDocumentsHaveEqualETags(t *testing.T) {
	a, b := newDocument([]byte("a"), "x"), newDocument([]byte("b"), "x")
	require.Equal(t, a.etag, newDocument([]byte("a"), "y").etag)
	require.NotEqual(t, a.etag, b.etag)
}

// encoding/json folds case. For every name that encodeJSON accepts, it reads the struct's own
// members back unchanged.
func FuzzExtraNeverShadows(f *testing.F) {
	for _, name := range []string{"issuer", "ISSUER", "i\u017fsuer", "\u212aeys", "keys", "kelvin_scale", "Plain", "pla\u0131n", "\u0130ssuer", "-", "", "x", "a\xff"} {
		f.Add(name)
	}
	f.Fuzz(func(t *testing.T, name string) {
		v := encoded{Issuer: "own", Keys: []string{"own"}, Kelvin: "own", Plain: "own"}
		body, err := encodeJSON(v, map[string]any{name: "extra"})
		if err != nil {
			own := !utf8.ValidString(name)
			for _, member := range []string{"issuer", "keys", "kelvin_scale", "Plain"} {
				own = own || foldsTo(name, member)
			}
			require.True(t, own, "refused %q: %v", name, err)
			return
		}
		var back encoded
		require.NoError(t, json.Unmarshal(body, &back), "%q", name)
		require.Equal(t, v, back, "%q", name)
		var members map[string]any
		require.NoError(t, json.Unmarshal(body, &members))
		require.Len(t, members, 5, "%q", name)
		require.Equal(t, "extra", members[name])
	})
}

// foldsTo compares rune by rune, each by the least of those that it folds to.
func foldsTo(a, b string) bool {
	least := func(s string) string {
		return strings.Map(func(r rune) rune {
			low := r
			for next := unicode.SimpleFold(r); next != r; next = unicode.SimpleFold(next) {
				low = min(low, next)
			}
			return low
		}, s)
	}
	return least(a) == least(b)
}
