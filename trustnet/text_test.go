package trustnet_test

import (
	"encoding/json"
	"flag"
	"io"
	"net/netip"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed-94e48765/portico/trustnet"
)

var roundTrips = []string{
	"", "unix", "10.0.0.1", "::1", "10.0.0.0/8,2001:db8::/32,unix", "0.0.0.0/0,::/0",
	"127.0.0.0/8,169.254.0.0/16,::1,fe80::/10",
	"255.255.255.255,ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
}

func TestTextRoundTrip(t *testing.T) {
	for _, list := range roundTrips {
		var s, again trustnet.Set
		require.NoError(t, s.UnmarshalText([]byte(list)))
		text, err := s.MarshalText()
		require.NoError(t, err)
		require.Equal(t, list, string(text))
		require.NoError(t, again.UnmarshalText(text))
		require.Equal(t, s, again)
	}
}

func TestJSONRoundTrip(t *testing.T) {
	type config struct{ Trusted *trustnet.Set }
	for _, list := range roundTrips {
		var s trustnet.Set
		require.NoError(t, s.UnmarshalText([]byte(list)))
		text, err := json.Marshal(config{&s})
		require.NoError(t, err)
		require.Equal(t, `{"Trusted":"`+list+`"}`, string(text))
		var again config
		require.NoError(t, json.Unmarshal(text, &again))
		require.Equal(t, s, *again.Trusted)
	}
}

// The text of a set with exclusions lists the networks that remain. Equal sets have equal
// texts.
func TestSetWithExclusionsRoundTrips(t *testing.T) {
	for list, want := range map[string]string{
		"10.0.0.0/29, !10.0.0.7":              "10.0.0.0/30,10.0.0.4/31,10.0.0.6",
		"10.0.0.0/29, !10.0.0.0/30":           "10.0.0.4/30",
		"loopback, unix, !unix, !127.0.0.0/8": "::1",
		"10.0.0.7, !10.0.0.0/8":               "",
	} {
		s := trustnet.MustParse(list)
		require.Equal(t, want, s.String(), list)
		text, err := s.MarshalText()
		require.NoError(t, err)
		var again trustnet.Set
		require.NoError(t, again.UnmarshalText(text))
		require.Equal(t, s, &again)
		text, err = json.Marshal(s)
		require.NoError(t, err)
		again = trustnet.Set{}
		require.NoError(t, json.Unmarshal(text, &again))
		require.Equal(t, s, &again)
		require.NoError(t, json.Unmarshal([]byte(`["`+strings.Join(strings.Split(list, ", "), `","`)+`"]`), &again))
		require.Equal(t, s, &again)
	}
}

func TestUnmarshalJSON(t *testing.T) {
	const old = "192.0.2.0/24"
	tests := []struct{ name, json, want, err string }{
		{name: "a list", json: `"10.0.0.0/8, ::1"`, want: "10.0.0.0/8,::1", err: ""},
		{name: "an array", json: `["10.0.0.0/8", "::1", "unix"]`, want: "10.0.0.0/8,::1,unix", err: ""},
		{name: "lists in an array", json: `["10.0.0.0/8,::1", "unix"]`, want: "10.0.0.0/8,::1,unix", err: ""},
		{name: "the empty string", json: `""`, want: "", err: ""},
		{name: "the empty array", json: `[]`, want: "", err: ""},
		{name: "null", json: `null`, want: old, err: ""},
		{name: "null with blanks", json: " null\n", want: old, err: ""},
		{name: "a blank string", json: `" "`, want: old, err: `trustnet: item 1: "": empty item`},
		{name: "an empty string in an array", json: `["::1", ""]`, want: old, err: `trustnet: item 2: "": empty item`},
		{name: "null in an array", json: `[null]`, want: old, err: `trustnet: item 1: "": empty item`},
		{name: "a bad item", json: `["::1", "x"]`, want: old, err: `trustnet: item 2: "x": `},
		{name: "a number", json: `10`, want: old, err: `trustnet: "10" is neither a JSON string nor an array of strings`},
		{name: "an array of numbers", json: `["::1", 10]`, want: old, err: `neither a JSON string nor an array of strings`},
		{name: "an object", json: `{}`, want: old, err: `neither a JSON string nor an array of strings`},
		{name: "no JSON", json: `::1`, want: old, err: `neither a JSON string nor an array of strings`},
		{name: "nothing", json: ``, want: old, err: `neither a JSON string nor an array of strings`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := trustnet.MustParse(old)
			err := s.UnmarshalJSON([]byte(tt.json))
			if tt.err == "" {
				require.NoError(t, err)
			} else {
				require.ErrorContains(t, err, tt.err)
			}
			require.Equal(t, tt.want, s.String())
		})
	}
}

func TestUnmarshalReplaces(t *testing.T) {
	s := trustnet.MustParse("192.0.2.0/24, unix")
	for _, bad := range []string{" ", ",", "::1,", "::1,x", "10.1.2.3/8"} {
		require.Error(t, s.UnmarshalText([]byte(bad)), bad)
		require.Equal(t, "192.0.2.0/24,unix", s.String())
		require.True(t, s.Contains(netip.MustParseAddr("192.0.2.1")))
	}
	require.NoError(t, s.UnmarshalText([]byte("::1")))
	require.Equal(t, "::1", s.String())
	require.False(t, s.Contains(netip.MustParseAddr("192.0.2.1")))
	require.NoError(t, s.UnmarshalText(nil))
	require.True(t, s.IsEmpty())
	require.False(t, s.Contains(netip.MustParseAddr("::1")))
}

func TestUnmarshalIntoNilIsError(t *testing.T) {
	var s *trustnet.Set
	const want = "trustnet: decoding into a nil *Set: pass new(trustnet.Set)"
	require.EqualError(t, s.UnmarshalText([]byte("::1")), want)
	require.EqualError(t, s.UnmarshalText(nil), want)
	require.EqualError(t, s.UnmarshalJSON([]byte(`[]`)), want)
}

func TestFlag(t *testing.T) {
	parse := func(args ...string) (*trustnet.Set, error) {
		var s trustnet.Set
		fs := flag.NewFlagSet("server", flag.ContinueOnError)
		fs.SetOutput(io.Discard)
		fs.TextVar(&s, "trusted", trustnet.MustParse("loopback"), "trusted networks")
		return &s, fs.Parse(args)
	}
	s, err := parse()
	require.NoError(t, err)
	require.Equal(t, "127.0.0.0/8,::1", s.String(), "the default")
	s, err = parse("-trusted", "10.0.0.0/8, unix")
	require.NoError(t, err)
	require.Equal(t, "10.0.0.0/8,unix", s.String())
	s, err = parse("-trusted=")
	require.NoError(t, err)
	require.True(t, s.IsEmpty(), "set to nothing: no peer")
	_, err = parse("-trusted", "10.1.2.3/8")
	require.ErrorContains(t, err, "write 10.0.0.0/8 for the network")
}

func TestEqualSetsHaveEqualStrings(t *testing.T) {
	tests := [][]string{
		{"10.0.0.0/8", "10.0.0.0/9, 10.128.0.0/9", "10.128.0.0/9, 10.0.0.0/8", "::ffff:10.0.0.0/104", "10.0.0.0/8, 10.1.2.3"},
		{"private", "fc00::/7, 192.168.0.0/16, 172.16.0.0/12, 10.0.0.0/8"},
		{"loopback, unix", "unix, ::1/128, 127.0.0.0/8, 127.0.0.1"},
		{"0.0.0.0/0", "::ffff:0:0/96", "128.0.0.0/1, 0.0.0.0/1"},
	}
	for _, lists := range tests {
		want := trustnet.MustParse(lists[0])
		for _, list := range lists[1:] {
			require.Equal(t, want.String(), trustnet.MustParse(list).String(), list)
			require.Equal(t, want, trustnet.MustParse(list), list)
		}
	}
}
