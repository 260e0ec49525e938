package main

import (
	"bytes"
	"os"
	"path/filepath"
	"regexp"
	"testing"

	"github.com/stretchr/testify/require"
)

var variable = regexp.MustCompile(`MAILFRONT_[A-Z0-9_]*[A-Z0-9]`)

// If a page has a wrong name, the setting has no effect, and only a line of the log reports it.
func TestVariablesInTheDocumentationAreSettings(t *testing.T) {
	var help bytes.Buffer
	_, err := parseConfig([]string{"-help"}, lookup(nil), &help)
	require.Error(t, err)
	settings := make(map[string]bool)
	for _, name := range variable.FindAllString(help.String(), -1) {
		settings[name] = true
	}
	require.Contains(t, settings, "MAILFRONT_LISTEN_SMTPS")
	found := 0
	for _, pattern := range []string{"*.md", "examples/*.md", "examples/*/*.md", "examples/*/*.yaml", "examples/proxies/*.env", "examples/proxies/*/*"} {
		files, err := filepath.Glob(filepath.Join("..", "..", pattern))
		require.NoError(t, err)
		require.NotEmpty(t, files, pattern)
		for _, file := range files {
			text, err := os.ReadFile(file)
			require.NoError(t, err)
			for _, name := range variable.FindAllString(string(text), -1) {
				require.Contains(t, settings, name, file)
				found++
			}
		}
	}
	require.NotZero(t, found)
}
