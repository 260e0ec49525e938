// Package importer tests what an import of Portico does to a program that already uses
// the modules that Portico requires.
package importer

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// server reads one connection that sends no PROXY header through a go-proxyproto
// Listener without a policy, and prints what it read. The default of v0.11 is USE: the
// header is optional. That of v0.15 is REQUIRE.
const server = `package main

import (
	"fmt"
	"io"
	"net"

	"github.com/pires/go-proxyproto"
%s)

func main() {
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	l := &proxyproto.Listener{Listener: inner}
	go func() {
		c, err := net.Dial("tcp", inner.Addr().String())
		if err != nil {
			panic(err)
		}
		io.WriteString(c, "hello")
		c.Close()
	}()
	c, err := l.Accept()
	if err != nil {
		panic(err)
	}
	b, err := io.ReadAll(c)
	fmt.Printf("%%s, %%v\n", b, err)
}
`

const module = "github.com/seed-94e48765/portico"

func TestAnImportDoesNotChangeAProgramThatUsesGoProxyproto(t *testing.T) {
	without := newProgram(t, "")
	if _, why, err := without.command("go", "mod", "download"); err != nil {
		if os.Getenv("PORTICO_MODULES") == "required" {
			t.Fatalf("go mod download: %v: %s", err, why)
		}
		t.Skipf("go-proxyproto v0.11 is neither in the module cache nor to be had (PORTICO_MODULES=required makes this a failure): %v: %s", err, why)
	}
	want := without.run("go", "run", ".")
	require.Equal(t, "hello, <nil>\n", want)

	for _, name := range []string{"trustnet", "proxyproto", "forwarded", "publicurl", "discovery"} {
		t.Run(name, func(t *testing.T) {
			with := newProgram(t, module+"/"+name)
			require.Equal(t, want, with.run("go", "run", "."))
			require.Equal(t, "v0.11.0\n", with.run("go", "list", "-m", "-f", "{{.Version}}", "github.com/pires/go-proxyproto"))
			require.Equal(t, without.run("go", "list", "-m", "-f", "{{.Version}}", "golang.org/x/net"),
				with.run("go", "list", "-m", "-f", "{{.Version}}", "golang.org/x/net"))
		})
	}
}

// A program is a module of its own in a folder of the test's.
type program struct {
	t   *testing.T
	dir string
}

// newProgram writes the program with a blank import of portico, unless that is "".
func newProgram(t *testing.T, portico string) program {
	root, err := filepath.Abs("../..")
	require.NoError(t, err)
	p := program{t, t.TempDir()}
	mod := "module example.com/server\n\ngo 1.25.0\n\nrequire github.com/pires/go-proxyproto v0.11.0\n"
	line := ""
	if portico != "" {
		mod += fmt.Sprintf("require %s v0.0.0\nreplace %s => %q\n", module, module, root)
		line = fmt.Sprintf("\n\t_ %q\n", portico)
	}
	require.NoError(t, os.WriteFile(filepath.Join(p.dir, "go.mod"), []byte(mod), 0o644))
	require.NoError(t, os.WriteFile(filepath.Join(p.dir, "main.go"), fmt.Appendf(nil, server, line), 0o644))
	return p
}

func (p program) run(name string, args ...string) string {
	out, errors, err := p.command(name, args...)
	require.NoError(p.t, err, errors)
	return out
}

func (p program) command(name string, args ...string) (out, errors string, err error) {
	cmd := exec.CommandContext(p.t.Context(), name, args...)
	cmd.Dir = p.dir
	cmd.Env = append(os.Environ(), "GOWORK=off", "GOFLAGS=-mod=mod")
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err = cmd.Run()
	return stdout.String(), stderr.String(), err
}
