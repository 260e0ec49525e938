package settings

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestUnknownVariables(t *testing.T) {
	for _, test := range []struct {
		name, variable string
		want           []string
	}{
		{name: "a setting", variable: "SAMPLE_LISTEN=:1"},
		{name: "one of another program", variable: "SAMPLER=1"},
		{name: "one letter more", variable: "SAMPLE_LISTENS=:1", want: []string{"sample: SAMPLE_LISTENS is not a setting and has no effect: did you mean SAMPLE_LISTEN? (see -help)"}},
		{name: "no underscore", variable: "SAMPLE_LOGLEVEL=info", want: []string{"sample: SAMPLE_LOGLEVEL is not a setting and has no effect: did you mean SAMPLE_LOG_LEVEL? (see -help)"}},
		{name: "lower case", variable: "SAMPLE_password=x", want: []string{"sample: SAMPLE_password is not a setting and has no effect: did you mean SAMPLE_PASSWORD? (see -help)"}},
		{name: "nothing near", variable: "SAMPLE_COLOR=x", want: []string{"sample: SAMPLE_COLOR is not a setting and has no effect (see -help)"}},
		{name: "no name", variable: "SAMPLE_=x", want: []string{"sample: SAMPLE_ is not a setting and has no effect (see -help)"}},
		{name: "the host of a Kubernetes service", variable: "SAMPLE_SERVICE_HOST=10.0.0.1"},
		{name: "a port of a Kubernetes service", variable: "SAMPLE_SERVICE_PORT_SMTP=25"},
		{name: "the URL of a Kubernetes service", variable: "SAMPLE_PORT=tcp://10.0.0.1:25"},
		{name: "an address of a Kubernetes service", variable: "SAMPLE_PORT_25_TCP_ADDR=10.0.0.1"},
		{name: "not of Kubernetes", variable: "SAMPLE_PORTS=1", want: []string{"sample: SAMPLE_PORTS is not a setting and has no effect (see -help)"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			require.Equal(t, test.want, testProgram(new(bool)).Warnings([]string{"PATH=/bin", test.variable}))
		})
	}
}

func TestDistance(t *testing.T) {
	for _, test := range []struct {
		a, b string
		want int
	}{
		{a: "", b: "", want: 0}, {a: "abc", b: "", want: 3}, {a: "", b: "ab", want: 2}, {a: "abc", b: "abc", want: 0},
		{a: "abc", b: "axc", want: 1}, {a: "abc", b: "bc", want: 1}, {a: "kitten", b: "sitting", want: 3}, {a: "ab", b: "ba", want: 2},
	} {
		require.Equal(t, test.want, distance(test.a, test.b), "%q %q", test.a, test.b)
		require.Equal(t, test.want, distance(test.b, test.a), "%q %q", test.b, test.a)
	}
}
