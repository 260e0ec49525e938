package proxyproto_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-94e48765/portico/proxyproto"
	"github.com/seed-94e48765/portico/trustnet"
	"github.com/stretchr/testify/require"
)

func TestBadConfigurationIsRefusedByName(t *testing.T) {
	for field, c := range map[string]proxyproto.Config{
		"Config.Untrusted is 9":       {Untrusted: 9},
		"Config.TLS is 9":             {TLS: 9},
		"Config.HeaderTimeout is -1s": {HeaderTimeout: -time.Second},
		"Config.MaxHeaderSize is -1":  {MaxHeaderSize: -1},
		"Config.MaxHeaderSize is 11":  {MaxHeaderSize: 11},
		"Config.MaxHeaderSize is 65":  {MaxHeaderSize: 65536},
		"Config.MaxPending is -1":     {MaxPending: -1},
	} {
		t.Run(field, func(t *testing.T) {
			mem := newMemListener()
			l, err := proxyproto.New(mem, c)
			require.Nil(t, l)
			require.ErrorContains(t, err, field)
			require.Regexp(t, "^proxyproto: ", err.Error())
		})
	}
	_, err := proxyproto.New(nil, proxyproto.Config{})
	require.Error(t, err)
}

func TestHeaderTimeoutIsAbsolute(t *testing.T) {
	for name, drip := range map[string]string{"silence": "", "v1": "PROXY UNKNOWN " + strings.Repeat("x", 50), "v2": proxy4(tlv(4, strings.Repeat("x", 200)))} {
		for want, configured := range map[time.Duration]time.Duration{5 * time.Second: 0, 300 * time.Millisecond: 300 * time.Millisecond} {
			t.Run(fmt.Sprint(name, " ", want), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					f := newFixture(t, proxyproto.Config{HeaderTimeout: configured})
					start := time.Now()
					client := f.mem.dial(proxyAddr)
					var wg sync.WaitGroup
					defer wg.Wait()
					wg.Go(func() { // a byte from time to time does not extend it
						for i := range len(drip) {
							elapse(want / 20)
							if _, err := io.WriteString(client, drip[i:i+1]); err != nil {
								return
							}
						}
					})
					_, err := client.Read(make([]byte, 1))
					require.ErrorIs(t, err, io.EOF)
					require.Equal(t, want, time.Since(start))
					synctest.Wait()
					require.Len(t, f.rejected(), 1)
					require.ErrorIs(t, f.rejected()[0].Err, proxyproto.ErrTimeout)
					require.Equal(t, proxyproto.Stats{TimedOut: 1}, f.Stats())
				})
			})
		}
	}
}

func TestNoDeadlineIsLeftBehindByTheHeader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, proxyproto.Config{})
		client := f.mem.dial(proxyAddr)
		go func() {
			elapse(4 * time.Second)
			io.WriteString(client, proxy4())
			elapse(time.Hour)
			io.WriteString(client, "late")
		}()
		c, err := f.Accept()
		require.NoError(t, err)
		require.Equal(t, "late", read(t, c))
	})
}

func TestSilentPeersDelayNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, proxyproto.Config{})
		for range 1000 {
			f.mem.dial(proxyAddr)
		}
		start := time.Now()
		send(t, f.mem.dial(proxyAddr), proxy4())
		c, err := f.Accept()
		require.NoError(t, err)
		require.Equal(t, clientAddr, c.RemoteAddr().String())
		direct(t, f)
		require.Zero(t, time.Since(start))
		require.Equal(t, 1000, f.Stats().Pending)
		elapse(6 * time.Second)
		require.Equal(t, uint64(1000), f.Stats().TimedOut)
	})
}

func TestProbesAreCountedAndNotReported(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, proxyproto.Config{})
		for range 3 {
			f.mem.dial(proxyAddr).Close()
		}
		synctest.Wait()
		require.Empty(t, f.rejected())
		require.Equal(t, proxyproto.Stats{Probes: 3}, f.Stats())
	})
}

func TestPeersThatLeaveInTheMiddleOfAHeaderAreReported(t *testing.T) {
	for name, tt := range map[string]struct {
		sent string
		err  error
	}{
		"one letter":               {"P", proxyproto.ErrNoHeader},
		"an empty line":            {"\r\n", proxyproto.ErrNoHeader},
		"v2 signature but its end": {signature[:11], proxyproto.ErrNoHeader},
		"PROXY":                    {"PROXY", proxyproto.ErrMalformed},
		"v1 without LF":            {"PROXY UNKNOWN\r", proxyproto.ErrMalformed},
		"v2 signature":             {signature + "\x21", proxyproto.ErrMalformed},
		"v2 less a byte":           {proxy4()[:27], proxyproto.ErrMalformed},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFixture(t, proxyproto.Config{})
				client := f.mem.dial(proxyAddr)
				io.WriteString(client, tt.sent)
				client.Close()
				synctest.Wait()
				require.Len(t, f.rejected(), 1)
				require.ErrorIs(t, f.rejected()[0].Err, tt.err)
				require.Equal(t, tt.sent, string(f.rejected()[0].Prefix))
			})
		})
	}
}

func TestErrorsQuoteNoLogin(t *testing.T) {
	for sent, says := range map[string]string{
		"a LOGIN me pw\r\n":     `"a"`,
		"PROXY LOGIN me pw\r\n": `"PROXY LOGIN"`,
		"\r\nlogin":             `"\r\nlogin"`,
		"\x00AUTHPLAINme\x00pw": `"\x00AUTHPLAINme"`,
	} {
		_, rej := offer(t, proxyproto.Config{}, sent)
		require.ErrorContains(t, rej.Err, says)
		require.NotContains(t, rej.Err.Error(), "pw")
	}
}

func TestEveryRejectionCountsOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, proxyproto.Config{})
		for _, s := range []string{
			"EHLO x\r\n", "PROXY \r\n", signature + "\x31", v2(0x21, 0x12, strings.Repeat("x", 12)),
			signature + "\x21\x11\xff\xff", proxy4(tlv(3, "\x00\x00\x00\x00")), proxy4(), v2(0x20, 0), "PROXY UNKNOWN\r\n",
		} {
			send(t, f.mem.dial(proxyAddr), s)
			synctest.Wait()
		}
		require.Equal(t, proxyproto.Stats{Proxied: 1, Local: 2, NoHeader: 1, Malformed: 3, TooLarge: 1, Checksum: 1, Ready: 3}, f.Stats())
	})
}

// MaxPending

func TestSilentPeersMakeRoomOldestFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, proxyproto.Config{MaxPending: 3})
		var clients []net.Conn
		for range 3 {
			clients = append(clients, f.mem.dial(proxyAddr))
			elapse(100 * time.Millisecond)
		}
		io.WriteString(clients[0], "PROXY ") // has spoken, at 0.3 s
		start := time.Now()
		send(t, f.mem.dial(proxyAddr), proxy4()) // waits for room
		c, err := f.Accept()
		require.NoError(t, err)
		require.Equal(t, clientAddr, c.RemoteAddr().String())
		// The second had been silent since 0.1 s, so it is asked at 1.1 s, and has
		// 10 ms to prove that it was not.
		require.Equal(t, 810*time.Millisecond, time.Since(start))
		_, err = clients[1].Read(make([]byte, 1))
		require.ErrorIs(t, err, io.EOF)
		synctest.Wait()
		require.Len(t, f.rejected(), 1)
		require.ErrorIs(t, f.rejected()[0].Err, proxyproto.ErrTimeout)
		require.Equal(t, proxyproto.Stats{Proxied: 1, Evicted: 1, Pending: 2}, f.Stats())

		io.WriteString(clients[0], "UNKNOWN\r\n") // the others are as good as ever
		io.WriteString(clients[2], proxy4())
		for range 2 {
			_, err := f.Accept()
			require.NoError(t, err)
		}
	})
}

func TestReadyConnectionsAreNeverEvicted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, proxyproto.Config{MaxPending: 3})
		for range 2 {
			send(t, f.mem.dial(proxyAddr), proxy4())
		}
		f.mem.dial(clientAddr) // direct
		synctest.Wait()
		require.Equal(t, 3, f.Stats().Ready)
		more := make(chan net.Conn)
		go func() { more <- f.mem.dial(clientAddr) }()
		elapse(time.Minute)
		select {
		case <-more:
			t.Fatal("accepted over the bound")
		default:
		}
		for range 4 {
			_, err := f.Accept()
			require.NoError(t, err)
			synctest.Wait()
		}
		require.NotNil(t, <-more)
		require.Zero(t, f.Stats().Evicted)
	})
}

func TestBoundHoldsAndABurstOfGoodPeersLosesNone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const bound, burst = 8, 500
		f := newFixture(t, proxyproto.Config{MaxPending: bound})
		for range burst {
			go func() {
				c := f.mem.dial(proxyAddr)
				elapse(10 * time.Millisecond)
				send(t, c, proxy4())
			}()
		}
		for range burst {
			s := f.Stats()
			require.LessOrEqual(t, s.Pending+s.Ready, bound)
			_, err := f.Accept()
			require.NoError(t, err)
		}
		require.Equal(t, proxyproto.Stats{Proxied: burst}, f.Stats())
	})
}

// Errors of the listener below

type passingError struct{}

func (passingError) Error() string   { return "passes" }
func (passingError) Timeout() bool   { return false }
func (passingError) Temporary() bool { return true }

func TestAcceptErrorsThatPassAreWaitedOut(t *testing.T) {
	for name, passing := range map[string]error{
		"EMFILE":       os.NewSyscallError("accept4", syscall.EMFILE),
		"ENFILE":       &net.OpError{Op: "accept", Err: os.NewSyscallError("accept4", syscall.ENFILE)},
		"ECONNABORTED": syscall.ECONNABORTED,
		"ENOBUFS":      syscall.ENOBUFS,
		"EPERM":        syscall.EPERM,
		"temporary":    passingError{},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFixture(t, proxyproto.Config{})
				start := time.Now()
				for range 12 {
					f.mem.errs <- passing
				}
				synctest.Wait()
				require.InDelta(t, 4, time.Since(start).Seconds(), 1, "backs off, to a second at most")
				direct(t, f)
			})
		})
	}
}

func TestBrokenListenerEndsAcceptAfterWhatIsPending(t *testing.T) {
	for name, broken := range map[string]error{
		"EBADF":                   syscall.EBADF,
		"unknown":                 errors.New("broken"),
		"closed by somebody else": net.ErrClosed,
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFixture(t, proxyproto.Config{})
				slow := f.mem.dial(proxyAddr)
				f.mem.dial(clientAddr)
				f.mem.errs <- broken
				_, err := f.Accept()
				require.NoError(t, err)
				go func() {
					elapse(time.Second)
					io.WriteString(slow, proxy4())
				}()
				_, err = f.Accept()
				require.NoError(t, err)
				for range 2 {
					_, err = f.Accept()
					require.ErrorIs(t, err, broken)
				}
			})
		})
	}
}

// Close and Shutdown

func TestCloseEndsEverythingThatAcceptDidNotReturn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, proxyproto.Config{})
		mine, served := direct(t, f)
		pending := f.mem.dial(proxyAddr)
		half := f.mem.dial(proxyAddr)
		io.WriteString(half, "PROXY ")
		undelivered := f.mem.dial(clientAddr)
		synctest.Wait()
		waiting := make(chan error)
		f2 := newFixture(t, proxyproto.Config{})
		go func() { _, err := f2.Accept(); waiting <- err }()
		synctest.Wait()

		require.NoError(t, f2.Close())
		require.ErrorIs(t, <-waiting, net.ErrClosed)
		require.NoError(t, f.Close())
		for _, c := range []net.Conn{pending, half, undelivered} {
			_, err := c.Read(make([]byte, 1))
			require.ErrorIs(t, err, io.EOF)
		}
		for range 3 {
			_, err := f.Accept()
			require.ErrorIs(t, err, net.ErrClosed)
		}
		require.NoError(t, f.Close(), "Close may be called again")
		require.NoError(t, f.Shutdown(t.Context()))
		require.Nil(t, f.mem.dial(clientAddr))
		require.Empty(t, f.rejected(), "nobody did anything wrong")

		send(t, served, "still here") // by now the application's
		require.Equal(t, "still here", read(t, mine))
	})
}

func TestShutdownHandsOutEverythingThatWasAccepted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, proxyproto.Config{MaxPending: 4})
		ready := f.mem.dial(clientAddr)
		slow, bad, silent := f.mem.dial(proxyAddr), f.mem.dial(proxyAddr), f.mem.dial(proxyAddr)
		synctest.Wait()
		done := make(chan error)
		start := time.Now()
		go func() { done <- f.Shutdown(context.Background()) }()
		synctest.Wait()
		require.Nil(t, f.mem.dial(clientAddr), "nothing new is accepted")
		go func() {
			elapse(2 * time.Second)
			io.WriteString(slow, proxy4())
			io.WriteString(bad, "EHLO x\r\n")
		}()
		first, err := f.Accept()
		require.NoError(t, err)
		second, err := f.Accept()
		require.NoError(t, err)
		_, err = f.Accept()
		require.ErrorIs(t, err, net.ErrClosed)
		require.Equal(t, 5*time.Second, time.Since(start), "the silent one has its header timeout")
		require.NoError(t, <-done)

		send(t, first, "1")
		send(t, second, "2")
		require.Equal(t, "1", read(t, ready))
		require.Equal(t, "2", read(t, slow))
		for _, c := range []net.Conn{bad, silent} {
			_, err = c.Read(make([]byte, 1))
			require.ErrorIs(t, err, io.EOF)
		}
		require.Equal(t, proxyproto.Stats{Proxied: 1, Direct: 1, NoHeader: 1, TimedOut: 1}, f.Stats())
	})
}

func TestShutdownOfAnIdleListenerReturnsAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, proxyproto.Config{})
		require.NoError(t, f.Shutdown(context.Background()))
		require.NoError(t, f.Shutdown(context.Background()))
		require.NoError(t, f.Close())
	})
}

func TestShutdownPastItsContextClosesTheRest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, proxyproto.Config{})
		pending, ready := f.mem.dial(proxyAddr), f.mem.dial(clientAddr)
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		start := time.Now()
		require.ErrorIs(t, f.Shutdown(ctx), context.DeadlineExceeded)
		require.Equal(t, time.Second, time.Since(start))
		for _, c := range []net.Conn{pending, ready} {
			_, err := c.Read(make([]byte, 1))
			require.ErrorIs(t, err, io.EOF)
		}
		_, err := f.Accept()
		require.ErrorIs(t, err, net.ErrClosed)
	})
}

func TestCloseEndsShutdown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, proxyproto.Config{})
		f.mem.dial(proxyAddr)
		done := make(chan error)
		go func() { done <- f.Shutdown(context.Background()) }()
		synctest.Wait()
		require.NoError(t, f.Close())
		require.NoError(t, <-done)
	})
}

func TestShutdownAtTheBoundAccepts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, proxyproto.Config{MaxPending: 1})
		f.mem.dial(clientAddr) // fills it: the accept loop waits for room
		synctest.Wait()
		done := make(chan error)
		go func() { done <- f.Shutdown(context.Background()) }()
		synctest.Wait()
		_, err := f.Accept()
		require.NoError(t, err)
		require.NoError(t, <-done)
	})
}

func TestPrefixIsTheReceivers(t *testing.T) {
	var mu sync.Mutex
	var got []proxyproto.Rejection
	l := wrapped(t, proxyproto.Config{Trusted: trustnet.MustParse("127.0.0.1"), OnReject: func(r proxyproto.Rejection) {
		mu.Lock()
		defer mu.Unlock()
		got = append(got, r)
	}})
	for i := range 200 {
		connect(t, l, 1, fmt.Sprintf("EHLO %05d", i))
		eventually(t, func() bool { mu.Lock(); defer mu.Unlock(); return len(got) == i+1 })
	}
	for i, r := range got {
		require.Equal(t, fmt.Sprintf("EHLO %05d", i), string(r.Prefix))
	}
}

func TestAcceptKeepsTheOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, proxyproto.Config{})
		next, want := 0, 0
		in := func() {
			next++
			f.mem.dial(fmt.Sprintf("203.0.113.7:%d", next))
		}
		out := func() {
			want++
			c, err := f.Accept()
			require.NoError(t, err)
			require.Equal(t, want, c.RemoteAddr().(*net.TCPAddr).Port)
		}
		for range 16 {
			in()
		}
		for range 5 {
			out() // the head is in the middle when the ring grows
		}
		for range 40 {
			in()
		}
		synctest.Wait()
		for range 51 {
			out()
		}
	})
}

func TestBackoffStartsAnewAndCloseEndsIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, proxyproto.Config{})
		for range 12 {
			f.mem.errs <- passingError{}
		}
		f.mem.dial(clientAddr)
		f.mem.errs <- passingError{}
		start := time.Now()
		f.mem.dial(clientAddr)
		require.Equal(t, 5*time.Millisecond, time.Since(start))
		for range 12 {
			f.mem.errs <- passingError{}
		}
		start = time.Now()
		f.Close()
		require.NoError(t, f.Shutdown(context.Background()))
		require.Zero(t, time.Since(start))
	})
}

func TestPeerOfASetThatTrustsAllIsToldSo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, proxyproto.Config{Trusted: trustnet.MustParse("0.0.0.0/0")})
		client, server := direct(t, f)
		send(t, client, proxy4())
		_, err := io.ReadAll(server)
		require.ErrorContains(t, err, "AllowTrustAll")
	})
}
