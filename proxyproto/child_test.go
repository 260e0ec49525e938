package proxyproto_test

import (
	"encoding/gob"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"testing"

	"github.com/stretchr/testify/require"
)

// Some tests and benchmarks need a second process, for example for clients whose allocations do
// not count as the server's, or for a server with few file descriptors. The second process is
// the test binary in a role. It answers requests from standard input until the input ends.
const roleEnv = "PORTICO_TEST_ROLE"

// A role decodes one request and returns the answer.
type role func(question *gob.Decoder) (answer any, err error)

var roles = map[string]role{}

func TestMain(m *testing.M) {
	name := os.Getenv(roleEnv)
	if name == "" {
		os.Exit(m.Run())
	}
	in, out := gob.NewDecoder(os.Stdin), gob.NewEncoder(os.Stdout)
	for {
		answer, err := roles[name](in)
		if errors.Is(err, io.EOF) {
			return // no more requests
		}
		if err == nil {
			err = out.Encode(answer)
		}
		if err != nil {
			fmt.Fprintf(os.Stderr, "%s: %v\n", name, err)
			os.Exit(1)
		}
	}
}

type child struct {
	pid int
	in  *gob.Encoder
	out *gob.Decoder
}

// startChild starts a process that ends with the test.
func startChild(tb testing.TB, name string) *child {
	tb.Helper()
	require.Contains(tb, roles, name)
	exe, err := os.Executable()
	require.NoError(tb, err)
	cmd := exec.CommandContext(tb.Context(), exe)
	cmd.Env = append(os.Environ(), roleEnv+"="+name)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	require.NoError(tb, err)
	out, err := cmd.StdoutPipe()
	require.NoError(tb, err)
	require.NoError(tb, cmd.Start())
	tb.Cleanup(func() { cmd.Wait() }) // the test's context killed it
	return &child{cmd.Process.Pid, gob.NewEncoder(in), gob.NewDecoder(out)}
}

// ask sends a request and decodes the reply into answer, a pointer.
func (c *child) ask(tb testing.TB, question, answer any) {
	tb.Helper()
	require.NoError(tb, c.in.Encode(question))
	require.NoError(tb, c.out.Decode(answer), "the second process ended, see standard error")
}
