package verify

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed-94e48765/portico/discovery"
)

func TestFindsAndNamesEachMistake(t *testing.T) {
	requireFound(t, verifyFixtures())
}

// requireFound calls Run for each fixture, without the mistake and with it.
func requireFound(t *testing.T, fixtures []fixture) {
	t.Helper()
	for _, f := range fixtures {
		t.Run(f.name, func(t *testing.T) {
			c := verifyConfig(t, f.base)
			if f.config != nil {
				f.config(&c)
			}
			h := correctServer(t, c)
			satisfied := f.check
			satisfied.Expected = nil
			require.Empty(t, verify(t, h, f.base, satisfied).Findings, "without the mistake")
			if f.tamper != nil {
				h = f.tamper(h)
			}
			report := verify(t, h, f.base, f.check)
			require.Len(t, report.Findings, 1, "%v", report.Findings)
			got := report.Findings[0]
			require.Equal(t, f.rule, got.Rule, "%v", got)
			require.Equal(t, f.document, got.Document, "%v", got)
			require.Equal(t, f.mistake, got.Mistake, "%v", got)
			require.Equal(t, f.field, got.Field, "%v", got)
			require.Contains(t, got.Got, f.got, "%v", got)
			require.Contains(t, got.Hint, f.hint, "%v", got)
			require.True(t, strings.HasPrefix(got.URL, "https://"), "%v", got)
			require.NotEmpty(t, got.Want)
			require.Contains(t, []Severity{SeverityError, SeverityWarning}, got.Severity)
		})
	}
}

// A neighbour is a correct behaviour that is close to a mistake.
type neighbour struct {
	name   string
	base   string
	config func(*discovery.Config)
	tamper tamper
	check  Config
}

// requireClean calls Run for each neighbour, which has no finding.
func requireClean(t *testing.T, neighbours []neighbour) {
	t.Helper()
	for _, n := range neighbours {
		t.Run(n.name, func(t *testing.T) {
			c := verifyConfig(t, n.base)
			if n.config != nil {
				n.config(&c)
			}
			require.Empty(t, verify(t, n.tamper(correctServer(t, c)), n.base, n.check).Findings)
		})
	}
}
