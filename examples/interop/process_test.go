package interop

import (
	"bytes"
	"errors"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// A process is a program that ends with a test.
type process struct {
	name           string
	cmd            *exec.Cmd
	stdout, stderr *transcript
	ended          chan struct{}
	err            error // after ended
}

// startProcess starts a program that ends with the test. If the test fails, its log has the
// output of the program.
func startProcess(t *testing.T, name string, cmd *exec.Cmd) *process {
	t.Helper()
	p := &process{name: name, cmd: cmd, stdout: newTranscript(), stderr: newTranscript(), ended: make(chan struct{})}
	cmd.Stdout, cmd.Stderr = p.stdout, p.stderr
	cmd.WaitDelay = time.Second // workers of NGINX also hold the pipes
	require.NoError(t, cmd.Start())
	go func() {
		p.err = cmd.Wait()
		p.stdout.end()
		p.stderr.end()
		close(p.ended)
	}()
	t.Cleanup(func() {
		p.stop(t)
		if t.Failed() {
			t.Logf("%s on standard output:\n%s\non standard error:\n%s", name, p.stdout, p.stderr)
		}
	})
	return p
}

// stop ends the process, unless it has ended.
func (p *process) stop(t *testing.T) {
	t.Helper()
	if p.running() {
		if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
			t.Logf("SIGTERM to %s: %v", p.name, err)
		}
	}
	select {
	case <-p.ended:
	case <-time.After(timeout + 5*time.Second): // sessions of mailfront have 10 s
		p.cmd.Process.Kill()
		<-p.ended
		t.Errorf("%s did not end on SIGTERM", p.name)
	}
}

func (p *process) running() bool {
	select {
	case <-p.ended:
		return false
	default:
		return true
	}
}

// A transcript keeps the lines of a process, and can wait for more.
type transcript struct {
	mu    sync.Mutex
	text  []string
	rest  []byte        // an unfinished line
	more  chan struct{} // closed at the next change
	ended bool
}

func newTranscript() *transcript { return &transcript{more: make(chan struct{})} }

func (tr *transcript) Write(b []byte) (int, error) {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	tr.rest = append(tr.rest, b...)
	for {
		line, rest, found := bytes.Cut(tr.rest, []byte("\n"))
		if !found {
			break
		}
		tr.text = append(tr.text, string(line))
		tr.rest = rest
	}
	tr.changed()
	return len(b), nil
}

func (tr *transcript) changed() {
	close(tr.more)
	tr.more = make(chan struct{})
}

func (tr *transcript) end() {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	tr.ended = true
	tr.changed()
}

// since returns the lines from the n-th on, and a channel that is closed when there are more. The
// channel is nil after the last line.
func (tr *transcript) since(n int) ([]string, <-chan struct{}) {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	lines := tr.text[n:len(tr.text):len(tr.text)]
	if tr.ended {
		return lines, nil
	}
	return lines, tr.more
}

// now returns the index of the next line.
func (tr *transcript) now() int {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	return len(tr.text)
}

var errNoMore = errors.New("no such lines, and there will be no more")

// await waits until enough reports true for the lines from the n-th on.
func (tr *transcript) await(n int, enough func(lines []string) bool) error {
	late := time.After(timeout)
	for {
		lines, more := tr.since(n)
		if enough(lines) {
			return nil
		}
		if more == nil {
			return errNoMore
		}
		select {
		case <-more:
		case <-late:
			return errors.New("no such lines in time")
		}
	}
}

// awaitLine waits for a line, from the n-th on, that contains all parts.
func (tr *transcript) awaitLine(t *testing.T, n int, parts ...string) {
	t.Helper()
	err := tr.await(n, func(lines []string) bool { return countLines(lines, parts...) > 0 })
	require.NoError(t, err, "waiting for %q", parts)
}

// countLines returns the number of lines that contain all parts.
func countLines(lines []string, parts ...string) (n int) {
	for _, line := range lines {
		all := true
		for _, part := range parts {
			all = all && strings.Contains(line, part)
		}
		if all {
			n++
		}
	}
	return n
}

func (tr *transcript) String() string {
	lines, _ := tr.since(0)
	return strings.Join(lines, "\n")
}
