package docs

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestLinksToFilesOfTheDocumentationResolve(t *testing.T) {
	root := filepath.Join("..", "..")
	links := 0
	for _, pattern := range []string{"*.md", "examples/*/*.md"} {
		pages, err := filepath.Glob(filepath.Join(root, pattern))
		require.NoError(t, err)
		require.NotEmpty(t, pages, pattern)
		for _, page := range pages {
			b, err := os.ReadFile(page)
			require.NoError(t, err)
			targets := fileLinks(string(b))
			for _, target := range targets {
				_, err := os.Stat(filepath.Join(filepath.Dir(page), target))
				require.NoError(t, err, "%s links to %s", page, target)
			}
			links += len(targets)
		}
	}
	require.NotZero(t, links)
}

func TestFileLinks(t *testing.T) {
	page := "[a](a.md), [b\nc](d/e.go#L1) and [section](#section), [site](https://example.com/x), f(x)"
	require.Equal(t, []string{"a.md", "d/e.go"}, fileLinks(page))
}

var markdownLink = regexp.MustCompile(`\]\(([^)\s]+)\)`)

// fileLinks returns the targets of the links of a page that are files, without fragments.
func fileLinks(page string) (targets []string) {
	for _, m := range markdownLink.FindAllStringSubmatch(page, -1) {
		target, _, _ := strings.Cut(m[1], "#")
		if target != "" && !strings.Contains(target, "://") {
			targets = append(targets, target)
		}
	}
	return targets
}
