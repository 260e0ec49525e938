package msgauth

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestForgedResultsGoAndOthersStay(t *testing.T) {
	const others = "Subject: example.test\r\nAuthentication-Results: mx.other.test;\r\n\tspf=pass\r\nX: Authentication-Results: example.test\r\n"
	for _, forged := range []string{
		"Authentication-Results: example.test; spf=pass\r\n",
		"AUTHENTICATION-results:EXAMPLE.test;spf=pass\r\n",
		"Authentication-Results : example.test 1; spf=pass\r\n",
		"Authentication-Results:\r\n\texample.test;\r\n dmarc=pass\r\n",
		"Authentication-Results: (a (comment;)) example.test; none\r\n",
		"Authentication-Results: \"example.test\"; none\r\n",
		"Authentication-Results: \"exam\\ple.test\"; none\r\n",
		"Authentication-Results: example.test; none\n",
	} {
		require.Equal(t, others, string(WithoutForged([]byte(forged+others), "example.test")), forged)
		require.Equal(t, others, string(WithoutForged([]byte(others+forged), "example.test")), forged)
	}
}

// For any message, only fields that claim to be from this server are removed.
func FuzzTraceFieldsLoseNothingOfAMessage(f *testing.F) {
	f.Add([]byte(letter))
	f.Add([]byte("\r\n\r\nx"))
	f.Add([]byte("Authentication-Results: example.test\r\n x\r\n\r\nAuthentication-Results: example.test\r\n"))
	f.Add([]byte("a\n b\nc"))
	f.Fuzz(func(t *testing.T, message []byte) {
		header, rest := SplitMessage(message)
		require.Equal(t, string(message), string(header)+string(rest))
		joined := ""
		for _, f := range fieldsOf(header) {
			require.NotEmpty(t, f)
			joined += string(f)
		}
		require.Equal(t, string(header), joined)
		kept := string(WithoutForged(header, "example.test"))
		require.Equal(t, kept, string(WithoutForged([]byte(kept), "example.test")), "nothing new appears")
		if !strings.Contains(strings.ToLower(string(header)), "authentication-results") {
			require.Equal(t, string(header), kept)
		}
		if string(header) != "" && len(rest) > 0 {
			require.True(t, rest[0] == '\r' || rest[0] == '\n')
		}
	})
}
