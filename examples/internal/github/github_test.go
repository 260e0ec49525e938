// Package github has a test only: it parses the files in .github.
package github

import (
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"
)

var root = filepath.Join("..", "..", "..")

// decode reads a YAML file into v. A member that v does not have is an error.
func decode(t *testing.T, name string, v any) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, ".github", name))
	require.NoError(t, err)
	d := yaml.NewDecoder(bytes.NewReader(text))
	d.KnownFields(true)
	require.NoError(t, d.Decode(v), name)
}

func TestEveryFileIsYAML(t *testing.T) {
	files := 0
	require.NoError(t, filepath.WalkDir(filepath.Join(root, ".github"), func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || filepath.Ext(path) == ".md" {
			return err
		}
		require.Equal(t, ".yml", filepath.Ext(path), path)
		text, err := os.ReadFile(path)
		require.NoError(t, err)
		var v map[string]any
		require.NoError(t, yaml.Unmarshal(text, &v), path)
		require.NotEmpty(t, v, path)
		files++
		return nil
	}))
	require.NotZero(t, files)
}

// docs.github.com: "Syntax for GitHub's form schema".
func TestIssueForms(t *testing.T) {
	for _, name := range []string{"bug.yml", "proxy.yml"} {
		t.Run(name, func(t *testing.T) {
			var form struct {
				Name, Description string
				Labels            []string
				Body              []struct {
					Type, ID   string
					Attributes struct {
						Label, Description, Placeholder, Value, Render string
						Options                                        []struct{ Label string }
					}
					Validations struct{ Required bool }
				}
			}
			decode(t, filepath.Join("ISSUE_TEMPLATE", name), &form)
			require.NotEmpty(t, form.Name)
			require.NotEmpty(t, form.Description)
			seen := make(map[string]bool)
			for _, field := range form.Body {
				switch field.Type {
				case "markdown":
					require.NotEmpty(t, field.Attributes.Value)
					continue
				case "checkboxes":
					require.NotEmpty(t, field.Attributes.Options)
				case "textarea", "input":
				default:
					t.Errorf("unknown type %q", field.Type)
				}
				require.NotEmpty(t, field.Attributes.Label)
				require.NotEmpty(t, field.ID)
				require.False(t, seen[field.ID], "duplicate id %q", field.ID)
				seen[field.ID] = true
			}
			require.True(t, seen["capture"], "the form has a field for the bytes")
		})
	}
}

func TestDependabot(t *testing.T) {
	var config struct {
		Version int
		Updates []struct {
			Ecosystem string `yaml:"package-ecosystem"`
			Directory string
			Limit     *int `yaml:"open-pull-requests-limit"`
			Schedule  struct{ Interval string }
			Groups    map[string]struct{ Patterns []string }
		}
	}
	decode(t, "dependabot.yml", &config)
	require.Equal(t, 2, config.Version)
	var got []string
	for _, u := range config.Updates {
		require.Contains(t, []string{"weekly", "monthly"}, u.Schedule.Interval)
		got = append(got, u.Ecosystem+" "+u.Directory)
		if manifest := map[string]string{"gomod": "go.mod", "npm": "package.json"}[u.Ecosystem]; manifest != "" {
			require.FileExists(t, filepath.Join(root, filepath.FromSlash(u.Directory), manifest))
		}
	}
	require.Subset(t, got, []string{"gomod /", "gomod /examples", "github-actions /"})
}

var goVersion = regexp.MustCompile(`(?m)^go (\d+\.\d+)`)

func TestWorkflowTestsMinimums(t *testing.T) {
	var workflow struct {
		Jobs map[string]struct {
			Container struct{ Image string }
			Strategy  struct{ Matrix struct{ Go []string } }
			Steps     []struct{ Uses, Run string }
		}
	}
	text, err := os.ReadFile(filepath.Join(root, ".github", "workflows", "ci.yml"))
	require.NoError(t, err)
	require.NoError(t, yaml.Unmarshal(text, &workflow))
	require.Contains(t, workflow.Jobs["library"].Strategy.Matrix.Go, minimum(t, "go.mod"))
	require.Contains(t, workflow.Jobs["library"].Strategy.Matrix.Go, "stable")
	require.Contains(t, workflow.Jobs["ci"].Container.Image, "golang:"+minimum(t, "examples/go.mod"))
	for name, job := range workflow.Jobs {
		require.NotEmpty(t, job.Steps, name)
		for _, step := range job.Steps {
			require.NotEqual(t, step.Uses == "", step.Run == "", "a step of %s has either uses or run", name)
			if step.Uses != "" {
				require.Regexp(t, `^actions/[a-z-]+@v\d+$`, step.Uses)
			}
			if file := strings.TrimPrefix(step.Run, "bash "); file != step.Run {
				require.FileExists(t, filepath.Join(root, file))
			}
		}
	}
}

// minimum returns the version in the go line of a go.mod file.
func minimum(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, filepath.FromSlash(name)))
	require.NoError(t, err)
	m := goVersion.FindSubmatch(text)
	require.NotNil(t, m, name)
	return string(m[1])
}
