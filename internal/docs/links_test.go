package docs

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestLinksResolve(t *testing.T) {
	root := filepath.Join("..", "..")
	links := 0
	for _, pattern := range []string{"*.md", ".github/*.md", "examples/*.md", "examples/*/*.md"} {
		pages, err := filepath.Glob(filepath.Join(root, pattern))
		require.NoError(t, err)
		require.NotEmpty(t, pages, pattern)
		for _, page := range pages {
			b, err := os.ReadFile(page)
			require.NoError(t, err)
			for _, l := range localLinks(string(b)) {
				target := page
				if l.file != "" {
					target = filepath.Join(filepath.Dir(page), l.file)
				}
				_, err := os.Stat(target)
				require.NoError(t, err, "%s links to %s", page, l.file)
				if l.section != "" && strings.HasSuffix(target, ".md") {
					b, err := os.ReadFile(target)
					require.NoError(t, err)
					require.Contains(t, sections(string(b)), l.section, "%s links to a section of %s", page, target)
				}
				links++
			}
		}
	}
	require.NotZero(t, links)
}

func TestLocalLinks(t *testing.T) {
	page := "[a](a.md), [b\nc](d/e.go#L1) and [section](#section), [site](https://example.com/x), f(x)"
	require.Equal(t, []link{{file: "a.md"}, {file: "d/e.go", section: "L1"}, {section: "section"}}, localLinks(page))
}

func TestSections(t *testing.T) {
	page := "# A page\n\ntext\n\n```\n# comment\n```\n\n## publicurl and discovery\n\n### discovery/verify, `Run`\n"
	require.Equal(t, []string{"a-page", "publicurl-and-discovery", "discoveryverify-run"}, sections(page))
}

type link struct{ file, section string }

var markdownLink = regexp.MustCompile(`\]\(([^)\s]+)\)`)

// localLinks returns the links of a page to files and to its own sections.
func localLinks(page string) (links []link) {
	for _, m := range markdownLink.FindAllStringSubmatch(page, -1) {
		file, section, _ := strings.Cut(m[1], "#")
		if !strings.Contains(file, "://") {
			links = append(links, link{file, section})
		}
	}
	return links
}

var notInAnchor = regexp.MustCompile(`[^\p{L}\p{N} _-]`)

// sections returns the anchors that GitHub gives to the headings of a page.
func sections(page string) (anchors []string) {
	code := false
	for line := range strings.Lines(page) {
		heading := strings.TrimLeft(line, "#")
		switch {
		case strings.HasPrefix(line, "```"):
			code = !code
		case !code && len(heading) < len(line) && strings.HasPrefix(heading, " "):
			anchor := notInAnchor.ReplaceAllString(strings.ToLower(strings.TrimSpace(heading)), "")
			anchors = append(anchors, strings.ReplaceAll(anchor, " ", "-"))
		}
	}
	return anchors
}
