package measure

import (
	"os"
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestArgumentsThatMeasureNothingAreRefused(t *testing.T) {
	for _, tt := range []struct {
		name      string
		arguments Arguments
		want      string // "" if the arguments are valid
	}{
		{name: "all", arguments: Arguments{Rounds: 1, Length: time.Second}},
		{name: "some", arguments: Arguments{Rounds: 1, Length: time.Second, Only: []string{"smtp", "idle"}}},
		{name: "unknown measurement", arguments: Arguments{Rounds: 1, Length: time.Second, Only: []string{"smtp", "churn"}}, want: `"churn" is not a measurement: use smtp, idle`},
		{name: "no rounds", arguments: Arguments{Length: time.Second}, want: "-rounds is 0"},
		{name: "no time", arguments: Arguments{Rounds: 1}, want: "-for is 0s"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			err := tt.arguments.Check("smtp", "idle")
			if tt.want == "" {
				require.NoError(t, err)
				return
			}
			require.ErrorContains(t, err, tt.want)
		})
	}
}

func TestMedianAndRatio(t *testing.T) {
	require.Equal(t, 2.0, Median([]float64{3, 1, 2}))
	require.Equal(t, 3.0, Median([]float64{4, 1, 3, 2}), "the upper middle")
	require.Equal(t, 2.0, Ratio([]float64{2, 30, 4}, []float64{1, 10, 4}), "of the same round, not of the medians")
}

func TestProcessOfThisTest(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("needs /proc")
	}
	for { // until a tick has been counted
		own, kernel, err := Processor(os.Getpid())
		require.NoError(t, err)
		if own+kernel > 0 {
			break
		}
	}
	size, err := Resident(os.Getpid())
	require.NoError(t, err)
	require.Greater(t, size, int64(1<<20))
	_, _, err = Processor(-1)
	require.ErrorIs(t, err, os.ErrNotExist)
	_, err = Resident(-1)
	require.ErrorIs(t, err, os.ErrNotExist)
}
