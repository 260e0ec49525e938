package webpage

import (
	"maps"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

var (
	rootRule    = regexp.MustCompile(`:root\{([^}]*)\}`)
	declaration = regexp.MustCompile(`--([a-z-]+):(#[0-9a-f]{6})\b`)
	variable    = regexp.MustCompile(`var\(--([a-z-]+)\)`)
)

// schemes returns the colours of each colour scheme by the name of their variable.
func schemes(t *testing.T) map[string]map[string]string {
	t.Helper()
	rules := rootRule.FindAllStringSubmatch(styleSheet, 2)
	require.Len(t, rules, 2, "light and dark")
	read := func(rule string) map[string]string {
		colours := make(map[string]string)
		for _, m := range declaration.FindAllStringSubmatch(rule, -1) {
			colours[m[1]] = m[2]
		}
		return colours
	}
	light, dark := read(rules[0][1]), read(rules[1][1])
	require.NotEmpty(t, light)
	require.Equal(t, slices.Sorted(maps.Keys(light)), slices.Sorted(maps.Keys(dark)), "both schemes set every colour")
	return map[string]map[string]string{"light": light, "dark": dark}
}

// luminance returns the relative luminance of WCAG 2.2.
func luminance(t *testing.T, colour string) float64 {
	t.Helper()
	n, err := strconv.ParseUint(colour[1:], 16, 24)
	require.NoError(t, err)
	channel := func(v uint64) float64 {
		c := float64(v&0xff) / 255
		if c <= 0.04045 {
			return c / 12.92
		}
		return math.Pow((c+0.055)/1.055, 2.4)
	}
	return 0.2126*channel(n>>16) + 0.7152*channel(n>>8) + 0.0722*channel(n)
}

// contrast returns the contrast ratio of WCAG 2.2.
func contrast(t *testing.T, a, b string) float64 {
	t.Helper()
	high, low := luminance(t, a), luminance(t, b)
	return (max(high, low) + 0.05) / (min(high, low) + 0.05)
}

const (
	textContrast    = 4.5 // WCAG 2.2 success criterion 1.4.3, level AA
	controlContrast = 3   // 1.4.11: borders of fields, the focus, marks
)

// pairs has every foreground with the backgrounds that it is used on.
var pairs = []struct {
	foreground  string
	backgrounds []string
	contrast    float64
}{
	{foreground: "text", backgrounds: []string{"page", "card", "code", "good-bg", "warn-bg", "bad-bg"}, contrast: textContrast},
	{foreground: "muted", backgrounds: []string{"page", "card"}, contrast: textContrast},
	{foreground: "link", backgrounds: []string{"page", "card", "warn-bg", "bad-bg"}, contrast: textContrast},
	{foreground: "on-accent", backgrounds: []string{"accent", "hover"}, contrast: textContrast},
	{foreground: "good", backgrounds: []string{"card", "good-bg"}, contrast: textContrast},
	{foreground: "warn", backgrounds: []string{"card", "warn-bg"}, contrast: textContrast},
	{foreground: "bad", backgrounds: []string{"card", "bad-bg"}, contrast: textContrast},
	{foreground: "control", backgrounds: []string{"card"}, contrast: controlContrast},
	{foreground: "focus", backgrounds: []string{"page", "card"}, contrast: controlContrast},
	{foreground: "accent", backgrounds: []string{"card"}, contrast: controlContrast},
	{foreground: "hover", backgrounds: []string{"card"}, contrast: controlContrast},
}

// decorative are colours without a meaning.
var decorative = []string{"line"}

func TestColourContrast(t *testing.T) {
	for scheme, colours := range schemes(t) {
		for _, pair := range pairs {
			for _, background := range pair.backgrounds {
				require.Contains(t, colours, pair.foreground)
				require.Contains(t, colours, background)
				require.GreaterOrEqual(t, contrast(t, colours[pair.foreground], colours[background]), pair.contrast,
					"%s: %s on %s", scheme, pair.foreground, background)
			}
		}
	}
}

func TestTheContrastIsThatOfWCAG(t *testing.T) {
	require.InDelta(t, 21, contrast(t, "#000000", "#ffffff"), 0.001)
	require.InDelta(t, 4.48, contrast(t, "#777777", "#ffffff"), 0.01)
	require.InDelta(t, 1, contrast(t, "#123456", "#123456"), 0.001)
}

// A colour that the table of pairs does not have is not checked.
func TestColoursAreTested(t *testing.T) {
	tested := slices.Clone(decorative)
	for _, pair := range pairs {
		tested = append(append(tested, pair.foreground), pair.backgrounds...)
	}
	for name := range schemes(t)["light"] {
		require.Contains(t, tested, name)
		require.Contains(t, styleSheet, "var(--"+name+")", "the colour is not used")
	}
	for _, m := range variable.FindAllStringSubmatch(styleSheet, -1) {
		require.Contains(t, schemes(t)["light"], m[1])
	}
	rest := rootRule.ReplaceAllString(styleSheet, "")
	require.NotRegexp(t, `#[0-9a-fA-F]{3,8}\b|rgba?\(|hsla?\(|oklch\(|color-mix\(|opacity:0?\.`, rest, "a colour that is not a variable")
	for _, property := range []string{"color", "background"} {
		for _, m := range regexp.MustCompile(`[{;]`+property+`:([^;}]*)`).FindAllStringSubmatch(rest, -1) {
			require.True(t, strings.HasPrefix(m[1], "var(--") || m[1] == "none" || m[1] == "inherit", m[0])
		}
	}
}
