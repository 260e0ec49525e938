//go:build linux

package main

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestArgumentsThatMeasureNothingAreRefused(t *testing.T) {
	for name, tt := range map[string]struct {
		bench bench
		want  string // "" if the arguments are valid
	}{
		"all":                 {bench: bench{rounds: 1, length: time.Second}},
		"some":                {bench: bench{rounds: 1, length: time.Second, only: []string{"smtp", "idle"}}},
		"unknown measurement": {bench: bench{rounds: 1, length: time.Second, only: []string{"smtp", "churn"}}, want: `"churn" is not a measurement: use smtp, `},
		"no rounds":           {bench: bench{length: time.Second}, want: "-rounds is 0"},
		"no time":             {bench: bench{rounds: 1}, want: "-for is 0s"},
	} {
		t.Run(name, func(t *testing.T) {
			if tt.want == "" {
				require.NoError(t, tt.bench.check())
				return
			}
			require.ErrorContains(t, tt.bench.check(), tt.want)
		})
	}
}
