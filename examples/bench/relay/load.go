//go:build linux

package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/seed-94e48765/portico/proxyproto"
	"github.com/seed-94e48765/portico/trustnet"
)

// The first byte of a client selects what the backend does.
const (
	echo   = 'e' // answers five bytes with five
	send   = 's' // sends until the client has closed
	silent = 'i' // reads until the client has closed
)

// backend requires a PROXY header on every connection, because a proxy that sends none
// would be faster.
func backend() (net.Listener, error) {
	socket, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	l, err := proxyproto.New(socket, proxyproto.Config{Trusted: trustnet.MustParse("loopback")})
	if err != nil {
		return nil, err
	}
	go func() {
		chunk := bytes.Repeat([]byte("x"), 256<<10)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				var b [5]byte
				if _, err := io.ReadFull(c, b[:]); err != nil {
					return
				}
				switch b[0] {
				case echo:
					c.Write(b[:])
				case send:
					for err == nil {
						_, err = c.Write(chunk)
					}
					return
				}
				c.Read(b[:])
			}()
		}
	}()
	return l, nil
}

// session is one exchange of five bytes each way.
func session(addr string) error {
	c, err := net.Dial("tcp", addr)
	if err != nil {
		return err
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(30 * time.Second)); err != nil {
		return err
	}
	want := [5]byte{echo, 1, 2, 3, 4}
	if _, err := c.Write(want[:]); err != nil {
		return err
	}
	var got [5]byte
	if _, err := io.ReadFull(c, got[:]); err != nil {
		return err
	}
	if got != want {
		return fmt.Errorf("got % x, want % x", got, want)
	}
	return nil
}

// churned is the result of churn.
type churned struct {
	sessions, perSecond, p50, p99 float64 // p50 and p99 in milliseconds
}

// churn runs sessions of 32 clients for the given time.
func churn(addr string, length time.Duration) (churned, error) {
	const clients = 32
	took := make([][]time.Duration, clients)
	errs := make([]error, clients)
	began := time.Now()
	var all sync.WaitGroup
	for i := range clients {
		all.Go(func() {
			for time.Since(began) < length && errs[i] == nil {
				start := time.Now()
				errs[i] = session(addr)
				took[i] = append(took[i], time.Since(start))
			}
		})
	}
	all.Wait()
	elapsed := time.Since(began)
	if err := errors.Join(errs...); err != nil {
		return churned{}, err
	}
	sorted := slices.Sorted(slices.Values(slices.Concat(took...)))
	at := func(q float64) float64 {
		return float64(sorted[int(q*float64(len(sorted)-1))]) / float64(time.Millisecond)
	}
	n := float64(len(sorted))
	return churned{sessions: n, perSecond: n / elapsed.Seconds(), p50: at(0.5), p99: at(0.99)}, nil
}

// bulk returns bytes per second.
func bulk(addr string, size int64) (float64, error) {
	c, err := open(addr, send)
	if err != nil {
		return 0, err
	}
	defer c.Close()
	began := time.Now()
	buf := make([]byte, 256<<10)
	for left := size; left > 0; {
		n, err := c.Read(buf)
		if err != nil {
			return 0, err
		}
		left -= int64(n)
	}
	return float64(size) / time.Since(began).Seconds(), nil
}

// open begins a session.
func open(addr string, kind byte) (net.Conn, error) {
	c, err := net.Dial("tcp", addr)
	if err != nil {
		return nil, err
	}
	if _, err := c.Write([]byte{kind, 0, 0, 0, 0}); err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}

// idle returns the resident bytes of each of many silent sessions. There is churn before and
// after, so that a garbage collector can finish.
func idle(p *proxy, sessions int) (float64, error) {
	before, err := settled(p)
	if err != nil {
		return 0, err
	}
	conns := make([]net.Conn, 0, sessions)
	defer func() {
		for _, c := range conns {
			c.Close()
		}
	}()
	for range sessions {
		c, err := open(p.addr, silent)
		if err != nil {
			return 0, fmt.Errorf("after %d sessions: %w", len(conns), err)
		}
		conns = append(conns, c)
	}
	after, err := settled(p)
	return float64(after-before) / float64(sessions), err
}

// settled runs churn until the memory no longer falls, and returns it.
func settled(p *proxy) (int64, error) {
	if _, err := churn(p.addr, time.Second); err != nil {
		return 0, err
	}
	least, err := p.memory()
	for same := 0; same < 3 && err == nil; same++ {
		time.Sleep(300 * time.Millisecond)
		var now int64
		if now, err = p.memory(); now < least {
			least, same = now, 0
		}
	}
	return least, err
}

// slow measures churn while other clients read one byte at a time.
func slow(p *proxy, length time.Duration) (churned, error) {
	const readers = 100
	var ending atomic.Bool
	var all sync.WaitGroup
	defer all.Wait()
	defer ending.Store(true)
	for range readers {
		c, err := open(p.addr, send)
		if err != nil {
			return churned{}, err
		}
		all.Go(func() {
			defer c.Close()
			r := bufio.NewReaderSize(c, 16)
			for !ending.Load() {
				if _, err := r.ReadByte(); err != nil {
					return
				}
				time.Sleep(10 * time.Millisecond)
			}
		})
	}
	return churn(p.addr, length)
}
