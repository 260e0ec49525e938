package main

import (
	"errors"
	"io"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// A pipe is a connection in memory, for synctest. It reports the end of one of its directions to
// the test.
type pipe struct {
	net.Conn
	ended chan struct{}
}

func (p *pipe) CloseWrite() error { close(p.ended); return nil }

// passing starts a session in memory, and returns its two ends and its outcome.
func passing(t *testing.T, idle time.Duration) (client, backend net.Conn, clientEnd, backendEnd *pipe, tr *traffic, outcome chan error) {
	client, a := net.Pipe()
	backend, b := net.Pipe()
	clientEnd, backendEnd = &pipe{a, make(chan struct{})}, &pipe{b, make(chan struct{})}
	outcome = make(chan error, 1)
	w, done := new(watch), make(chan struct{})
	t.Cleanup(func() { close(done) })
	go w.run(idle, done)
	tr = &traffic{client: clientEnd, backend: backendEnd, clock: &w.clock}
	tr.ended = func(err error) { w.remove(tr); outcome <- err }
	require.True(t, w.add(tr))
	tr.pass()
	return client, backend, clientEnd, backendEnd, tr, outcome
}

func TestASessionInWhichNothingMovesIsCut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		client, backend, _, _, _, outcome := passing(t, time.Minute)
		require.ErrorIs(t, <-outcome, errIdle)
		require.Equal(t, 67500*time.Millisecond, time.Since(began), "a minute, and an eighth")
		for _, c := range []net.Conn{client, backend} {
			_, err := c.Read(make([]byte, 1))
			require.Error(t, err, "a session that was cut leaves no connection")
		}
	})
}

func TestASessionGoesOnWhileOneDirectionMoves(t *testing.T) {
	for _, up := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			client, backend, _, _, tr, outcome := passing(t, time.Minute)
			from, to := client, backend
			if !up {
				from, to = backend, client
			}
			go io.Copy(io.Discard, to)
			began := time.Now()
			for range 10 {
				<-time.After(59 * time.Second)
				_, err := from.Write([]byte("NOOP\r\n"))
				require.NoError(t, err)
			}
			require.ErrorIs(t, <-outcome, errIdle)
			silent := time.Since(began) - 590*time.Second
			require.GreaterOrEqual(t, silent, time.Minute)
			require.LessOrEqual(t, silent, 90*time.Second, "half more at most")
			require.Equal(t, int64(60), tr.up.bytes+tr.down.bytes)
		})
	}
}

// The other direction always has traffic.
func TestAPeerThatTakesNothingIsCut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, backend, _, _, _, outcome := passing(t, time.Minute)
		go io.Copy(io.Discard, backend)
		gone := make(chan struct{})
		go func() {
			defer close(gone)
			for {
				if _, err := client.Write([]byte("NOOP\r\n")); err != nil {
					return
				}
				<-time.After(time.Second)
			}
		}()
		began := time.Now()
		go backend.Write([]byte("OK\r\n")) // and client never reads
		require.ErrorIs(t, <-outcome, errStuck)
		require.Equal(t, 67500*time.Millisecond, time.Since(began))
		<-gone
	})
}

// After a long silence, a Write has the whole idle timeout.
func TestBytesThatArriveEndTheSilence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, _, _, _, _, outcome := passing(t, time.Minute)
		<-time.After(59 * time.Second)
		_, err := client.Write([]byte("NOOP\r\n")) // and backend never reads
		require.NoError(t, err)
		began := time.Now()
		require.ErrorIs(t, <-outcome, errStuck)
		require.GreaterOrEqual(t, time.Since(began), time.Minute)
		require.LessOrEqual(t, time.Since(began), 67500*time.Millisecond)
	})
}

// The first check may come before any traffic.
func TestASessionThatBeginsIsNotCut(t *testing.T) {
	var w watch
	w.looks.Store(10 * looks)
	tr := &traffic{clock: &w.clock}
	require.True(t, w.add(tr))
	require.NoError(t, tr.overdue(w.now()))
	require.NoError(t, tr.overdue(w.now()+looks))
	require.ErrorIs(t, tr.overdue(w.now()+looks+1), errIdle)
}

// Otherwise a client that was accepted just before the end of the grace period would stay.
func TestNoSessionBeginsAfterShutdown(t *testing.T) {
	var w watch
	done := make(chan struct{})
	close(done)
	w.run(time.Minute, done)
	require.False(t, w.add(&traffic{clock: &w.clock}))
	require.Empty(t, w.sessions)
}

func TestTheEndOfOneDirectionLeavesTheOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, backend, clientEnd, backendEnd, tr, outcome := passing(t, time.Hour)
		backend.Close() // Close of a net.Pipe ends both directions of the backend
		<-clientEnd.ended
		synctest.Wait()
		require.Empty(t, outcome, "the client may go on")
		client.Close()
		require.NoError(t, <-outcome)
		select {
		case <-backendEnd.ended:
			require.Fail(t, "closing the connection ends the second direction")
		default:
		}
		require.Zero(t, tr.up.bytes+tr.down.bytes)
	})
}

func TestAnErrorEndsBothDirectionsAndIsTheReason(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, backend, clientEnd, _, _, outcome := passing(t, time.Hour)
		clientEnd.Close()
		err := <-outcome
		require.True(t, errors.Is(err, io.ErrClosedPipe), "%v", err)
		_, err = backend.Read(make([]byte, 1))
		require.ErrorIs(t, err, io.EOF)
		require.NoError(t, client.Close())
	})
}
