package settings

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// kubernetesVariable matches the variables that Kubernetes sets in every container for a Service
// with the name of the program, unless enableServiceLinks is false. They are not mistakes.
var kubernetesVariable = regexp.MustCompile(`^(SERVICE_HOST|SERVICE_PORT(_[A-Z0-9_]+)?|PORT(_[0-9]+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)?)$`)

// Warnings returns a line for each variable in env (see [os.Environ]) that has the prefix of the
// program and is not a setting. The line suggests the setting with the nearest name. Without
// the warning, a misspelt variable would leave the default in force silently.
func (p Program) Warnings(environment []string) (lines []string) {
	for _, v := range environment {
		name, _, _ := strings.Cut(v, "=")
		setting, ok := strings.CutPrefix(name, variablePrefix(p.Name))
		if !ok || kubernetesVariable.MatchString(setting) || slices.ContainsFunc(p.Settings, func(s Setting) bool { return s.Name == setting }) {
			continue
		}
		line := fmt.Sprintf("%s: %s is not a setting and has no effect", p.Name, name)
		if nearest := p.nearest(setting); nearest != "" {
			line += ": did you mean " + p.variable(nearest) + "?"
		}
		lines = append(lines, line+" (see -help)")
	}
	return lines
}

// nearest returns the name of the setting with the smallest distance, or "" if none is near.
func (p Program) nearest(name string) (nearest string) {
	least := 1 + max(1, len(name)/3)
	for _, s := range p.Settings {
		if d := distance(strings.ToUpper(name), s.Name); d < least {
			least, nearest = d, s.Name
		}
	}
	return nearest
}

// distance returns the Levenshtein distance of a and b in bytes.
func distance(a, b string) int {
	row := make([]int, len(b)+1) // from the first i bytes of a to the first j of b
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			replaced := diagonal
			if a[i] != b[j] {
				replaced++
			}
			diagonal = row[j+1]
			row[j+1] = min(replaced, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
