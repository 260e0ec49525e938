//go:build linux

package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/seed-94e48765/portico/examples/bench/internal/measure"
)

// proxy is a running program under test.
type proxy struct {
	name string
	addr string // for clients
	cmd  *exec.Cmd
	log  tail // the end of its standard error
	most int  // number of sessions that the limit of open files allows
}

// kinds are the proxies in the order in which they are printed. The others are compared with
// the first.
var kinds = []struct {
	name  string
	files int // open files for each session
	start func(dir, backend string, b *bench) (*proxy, error)
}{
	{name: "HAProxy", files: 2, start: startHAProxy},
	{name: "NGINX", files: 2, start: startNGINX},
	{name: "minimal Go relay", files: 6, start: startMinimal},
	{name: "examples/relay", files: 2, start: startRelay},
}

var errMissing = errors.New("is not installed")

func lookUp(program, packages string) (string, error) {
	for _, name := range []string{program, "/usr/sbin/" + program} {
		if path, err := exec.LookPath(name); err == nil {
			return path, nil
		}
	}
	return "", fmt.Errorf("%s %w: apt-get install %s", program, errMissing, packages)
}

// inherit returns a listening socket for a program to inherit, so that the kernel
// chooses its port.
func inherit() (addr string, f *os.File, err error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", nil, err
	}
	defer l.Close()
	raw, err := l.(*net.TCPListener).SyscallConn()
	if err != nil {
		return "", nil, err
	}
	var fd int
	if e := raw.Control(func(socket uintptr) { fd, err = syscall.Dup(int(socket)) }); err != nil || e != nil {
		return "", nil, errors.Join(err, e)
	}
	// The file is made from a blocking socket, so that Fd does not change the socket.
	// The workers of NGINX need one that does not block.
	if err := syscall.SetNonblock(fd, false); err != nil {
		return "", nil, err
	}
	f = os.NewFile(uintptr(fd), "listener")
	return l.Addr().String(), f, syscall.SetNonblock(fd, true)
}

func startHAProxy(dir, backend string, _ *bench) (*proxy, error) {
	path, err := lookUp("haproxy", "haproxy")
	if err != nil {
		return nil, err
	}
	addr, f, err := inherit()
	if err != nil {
		return nil, err
	}
	defer f.Close()
	config := filepath.Join(dir, "haproxy.cfg")
	text := fmt.Sprintf(`global
    maxconn 9000
defaults
    mode tcp
    timeout connect 5s
    timeout client 35m
    timeout server 35m
listen relay
    bind fd@3
    server backend %s send-proxy-v2
`, backend)
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		return nil, err
	}
	cmd := exec.Command(path, "-db", "-f", config)
	cmd.ExtraFiles = []*os.File{f}
	return begin("HAProxy", addr, cmd)
}

func startNGINX(dir, backend string, _ *bench) (*proxy, error) {
	path, err := lookUp("nginx", "nginx libnginx-mod-stream")
	if err != nil {
		return nil, err
	}
	const module = "/usr/lib/nginx/modules/ngx_stream_module.so"
	if _, err := os.Stat(module); err != nil {
		return nil, fmt.Errorf("%s %w: apt-get install libnginx-mod-stream", module, errMissing)
	}
	addr, f, err := inherit()
	if err != nil {
		return nil, err
	}
	defer f.Close()
	config := filepath.Join(dir, "nginx.conf")
	text := fmt.Sprintf(`load_module %s;
daemon off;
user root;
pid %s;
error_log stderr warn;
worker_processes auto;
events { worker_connections 19000; }
stream {
    proxy_timeout 35m;
    server {
        listen %s;
        proxy_pass %s;
        proxy_protocol on;
    }
}
`, module, filepath.Join(dir, "nginx.pid"), addr, backend)
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		return nil, err
	}
	cmd := exec.Command(path, "-p", dir, "-c", config)
	cmd.ExtraFiles = []*os.File{f}
	cmd.Env = append(os.Environ(), "NGINX=3;")
	return begin("NGINX", addr, cmd)
}

func startMinimal(dir, backend string, _ *bench) (*proxy, error) {
	return startGo(dir, "minimal Go relay", "./examples/bench/relay/minimal", nil, backend)
}

func startRelay(dir, backend string, b *bench) (*proxy, error) {
	return startGo(dir, "examples/relay", "./examples/relay", []string{
		"RELAY_BACKEND=" + backend, "RELAY_MAX_SESSIONS=8000", "RELAY_LOG=" + b.relayLog,
	})
}

// startGo builds and starts a program of this repository. The program prints its address.
func startGo(dir, name, pkg string, env []string, args ...string) (*proxy, error) {
	program := filepath.Join(dir, filepath.Base(pkg))
	if _, err := os.Stat(program); err != nil {
		build := exec.Command("go", "build", "-o", program, "github.com/seed-94e48765/portico/"+strings.TrimPrefix(pkg, "./"))
		if out, err := build.CombinedOutput(); err != nil {
			return nil, fmt.Errorf("build %s: %w: %s", pkg, err, out)
		}
	}
	cmd := exec.Command(program, args...)
	cmd.Env = append(os.Environ(), env...)
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	p, err := begin(name, "", cmd)
	if err != nil {
		return nil, err
	}
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		for _, word := range strings.Fields(lines.Text()) {
			if _, err := netip.ParseAddrPort(word); err == nil {
				p.addr = word
				go io.Copy(io.Discard, out)
				return p, nil
			}
		}
	}
	p.stop()
	return nil, fmt.Errorf("%s printed no address", name)
}

func begin(name, addr string, cmd *exec.Cmd) (*proxy, error) {
	p := &proxy{name: name, addr: addr, cmd: cmd}
	cmd.Stderr = &p.log
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return p, nil
}

func (p *proxy) stop() {
	p.cmd.Process.Signal(os.Interrupt)
	ended := make(chan struct{})
	go func() { p.cmd.Wait(); close(ended) }()
	select {
	case <-ended:
	case <-time.After(5 * time.Second):
		p.cmd.Process.Kill()
		<-ended
	}
}

// processes returns the numbers of the program's processes.
func (p *proxy) processes() ([]int, error) {
	pids := []int{p.cmd.Process.Pid}
	children, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%[1]d/children", pids[0]))
	if err != nil {
		return nil, err
	}
	for _, child := range strings.Fields(string(children)) {
		pid, err := strconv.Atoi(child)
		if err != nil {
			return nil, err
		}
		pids = append(pids, pid)
	}
	return pids, nil
}

// processor returns the processor time of the program (measure.Processor).
func (p *proxy) processor() (own, kernel time.Duration, err error) {
	pids, err := p.processes()
	for _, pid := range pids {
		o, k, err := measure.Processor(pid)
		if err != nil {
			return 0, 0, err
		}
		own, kernel = own+o, kernel+k
	}
	return own, kernel, err
}

// memory returns the resident bytes of the program.
func (p *proxy) memory() (sum int64, err error) {
	pids, err := p.processes()
	for _, pid := range pids {
		size, err := measure.Resident(pid)
		if err != nil {
			return 0, err
		}
		sum += size
	}
	return sum, err
}
