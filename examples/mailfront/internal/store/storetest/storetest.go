// Package storetest runs a real redis-server for tests.
package storetest

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
)

// Secret is a secret for stores in tests.
const Secret = "a-secret-of-the-tests-that-has-32-bytes-or-more"

// A Server is a redis-server on a unix socket in a directory of its own.
type Server struct {
	t    testing.TB
	dir  string
	args []string
	cmd  *exec.Cmd
	out  bytes.Buffer
}

// Start starts a server with additional arguments, such as "--appendonly", "yes". The server
// ends with the test. If redis-server is not installed, the test is skipped, or fails if
// PORTICO_INTEROP is "required".
func Start(t testing.TB, args ...string) *Server {
	t.Helper()
	path, err := exec.LookPath("redis-server")
	if err != nil {
		if os.Getenv("PORTICO_INTEROP") == "required" {
			t.Fatal("redis-server is not installed: apt-get install redis-server")
		}
		t.Skip("redis-server is not installed: apt-get install redis-server")
	}
	dir, err := os.MkdirTemp("", "store") // short: a socket's path has at most 107 bytes
	if err != nil {
		t.Fatal(err)
	}
	s := &Server{t: t, dir: dir, args: append([]string{path}, args...)}
	t.Cleanup(func() {
		s.Kill()
		os.RemoveAll(dir)
		if t.Failed() {
			t.Logf("redis-server:\n%s", s.out.String())
		}
	})
	s.Restart()
	return s
}

// Restart starts a killed server again, with the data on its disk.
func (s *Server) Restart() {
	s.t.Helper()
	s.cmd = exec.Command(s.args[0], append([]string{"--port", "0", "--unixsocket", s.Socket(), "--dir", s.dir, "--save", ""}, s.args[1:]...)...)
	s.cmd.Stdout, s.cmd.Stderr = &s.out, &s.out
	if err := s.cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	for end := time.Now().Add(time.Minute); ; time.Sleep(5 * time.Millisecond) { // a real server
		if reply, err := s.do("PING"); err == nil && reply == "+PONG\r\n" {
			return
		}
		if time.Now().After(end) {
			s.t.Fatal("redis-server does not answer")
		}
	}
}

// Kill ends the server at once, as a crash does.
func (s *Server) Kill() {
	_ = s.Signal(os.Kill)
	_ = s.cmd.Wait()
}

// Signal sends a signal to the server.
func (s *Server) Signal(signal os.Signal) error { return s.cmd.Process.Signal(signal) }

// Flush removes everything from the server.
func (s *Server) Flush() {
	s.t.Helper()
	if reply, err := s.do("FLUSHALL"); err != nil || reply != "+OK\r\n" {
		s.t.Fatalf("FLUSHALL: %q, %v", reply, err)
	}
}

// Dump returns the names and values of everything in the server, as strings if possible and
// otherwise in the serialization of the server.
func (s *Server) Dump() map[string]string {
	s.t.Helper()
	c := redis.NewClient(&redis.Options{Network: "unix", Addr: s.Socket()})
	defer c.Close()
	ctx := s.t.Context()
	keys, err := c.Keys(ctx, "*").Result()
	if err != nil {
		s.t.Fatal(err)
	}
	dump := make(map[string]string)
	for _, key := range keys {
		value, err := c.Get(ctx, key).Result()
		if err != nil && !errors.Is(err, redis.Nil) { // of another type
			value, err = c.Dump(ctx, key).Result()
		}
		if errors.Is(err, redis.Nil) {
			continue // expired since
		}
		if err != nil {
			s.t.Fatal(err)
		}
		dump[key] = value
	}
	return dump
}

// TTL returns the time until a name expires, or 0 if it never expires. If the name does not
// exist, ok is false.
func (s *Server) TTL(name string) (ttl time.Duration, ok bool) {
	s.t.Helper()
	c := redis.NewClient(&redis.Options{Network: "unix", Addr: s.Socket()})
	defer c.Close()
	ttl, err := c.PTTL(s.t.Context(), name).Result()
	if err != nil {
		s.t.Fatal(err)
	}
	switch ttl {
	case -2: // as go-redis returns it: no such name
		return 0, false
	case -1: // never
		return 0, true
	}
	return max(ttl, time.Millisecond), true // Redis returns 0 in the last millisecond
}

// Socket returns the path of the socket.
func (s *Server) Socket() string { return filepath.Join(s.dir, "redis.sock") }

// URL returns the URL of the server.
func (s *Server) URL() string { return "unix://" + s.Socket() }

// do sends a command without arguments, and returns the first line of the reply.
func (s *Server) do(command string) (string, error) {
	c, err := net.Dial("unix", s.Socket())
	if err != nil {
		return "", err
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(10 * time.Second))
	fmt.Fprintf(c, "%s\r\n", command)
	return bufio.NewReader(c).ReadString('\n')
}
