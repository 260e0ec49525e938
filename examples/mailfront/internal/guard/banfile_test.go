package guard

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

var (
	aTime    = time.Date(2026, 11, 28, 9, 0, 0, 0, time.UTC)
	someBans = []Ban{
		{Address: netip.MustParsePrefix("198.51.100.7/32"), Reason: "wrong passwords, the last one on imap", Since: aTime, Until: aTime.Add(15 * time.Minute)},
		{Address: netip.MustParsePrefix("2001:db8:0:1::/64"), Reason: "wrong passwords, the last one on http", Since: aTime.Add(-time.Nanosecond), Until: aTime.Add(time.Hour)},
	}
)

func TestBansOfAFile(t *testing.T) {
	for name, bans := range map[string][]Ban{"none": {}, "some": someBans} {
		b, err := FormatBans(bans)
		require.NoError(t, err, name)
		got, err := ParseBans(b)
		require.NoError(t, err, name)
		require.Equal(t, bans, got, name)
		for cut := range len(b) - 1 { // without the final line feed it is complete
			_, err := ParseBans(b[:cut])
			require.Error(t, err, "%s: the first %d bytes of %d", name, cut, len(b))
		}
	}
}

func TestDamagedBansAreRefused(t *testing.T) {
	good, err := FormatBans(someBans[:1])
	require.NoError(t, err)
	entry := strings.Trim(string(good), "[]\n")
	for _, tc := range []struct {
		name, text, want string
	}{
		{name: "empty", text: "", want: "EOF"},
		{name: "null", text: "null", want: "want an array"},
		{name: "an object", text: "{}", want: "cannot unmarshal"},
		{name: "more", text: "[] []", want: "data after the array"},
		{name: "a null entry", text: "[null]", want: "entry 1"},
		{name: "another member", text: strings.Replace(string(good), "reason", "motive", 1), want: `"motive"`},
		{name: "no address", text: strings.Replace(string(good), "198.51.100.7/32", "", 1), want: "entry 1: the address"},
		{name: "a network", text: strings.Replace(string(good), "198.51.100.7/32", "198.51.100.0/24", 1), want: `"198.51.100.0/24"`},
		{name: "host bits", text: strings.Replace(string(good), "198.51.100.7/32", "2001:db8::1/64", 1), want: `"2001:db8::1/64"`},
		{name: "4-in-6", text: strings.Replace(string(good), "198.51.100.7/32", "::ffff:0:0/64", 1), want: "entry 1"},
		{name: "this machine", text: strings.Replace(string(good), "198.51.100.7/32", "127.0.0.1/32", 1), want: "never banned"},
		{name: "this machine, IPv6", text: strings.Replace(string(good), "198.51.100.7/32", "::/64", 1), want: "never banned"},
		{name: "no reason", text: strings.Replace(string(good), "wrong passwords, the last one on imap", "", 1), want: "the reason"},
		{name: "a line feed in the reason", text: strings.Replace(string(good), "wrong passwords", `wrong\npasswords`, 1), want: "the reason"},
		{name: "a long reason", text: strings.Replace(string(good), "wrong passwords", strings.Repeat("x", maxReason), 1), want: "the reason"},
		{name: "no time", text: strings.Replace(string(good), "2026-11-28T09:15:00Z", "soon", 1), want: "soon"},
		{name: "it ends before it begins", text: strings.Replace(string(good), "T09:15:00Z", "T08:15:00Z", 1), want: "the ban ends"},
		{name: "twice", text: "[" + entry + "," + entry + "]", want: "entry 2: duplicate address 198.51.100.7/32"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			bans, err := ParseBans([]byte(tc.text))
			require.ErrorContains(t, err, tc.want)
			require.True(t, strings.HasPrefix(err.Error(), "guard: "), err)
			require.Nil(t, bans)
		})
	}
}

// An accepted file is written unchanged, and bans only clients that can be banned.
func FuzzParseBans(f *testing.F) {
	for _, bans := range [][]Ban{{}, someBans} {
		b, err := FormatBans(bans)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
		f.Add(b[:len(b)/2])
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		bans, err := ParseBans(text)
		if err != nil {
			return
		}
		b, err := FormatBans(bans)
		if err != nil {
			t.Fatal(err)
		}
		again, err := ParseBans(b)
		if err != nil || len(again) != len(bans) {
			t.Fatalf("%s: %v", b, err)
		}
		g, _ := testGuard(DefaultLimits)
		g.Restore(bans)
		if g.bannedKey(netip.MustParsePrefix("127.0.0.1/32")) != nil || g.Counts().BannedNow > len(bans) {
			t.Fatalf("%s: %v", b, g.Bans())
		}
	})
}
