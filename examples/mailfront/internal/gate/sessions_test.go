package gate

import (
	"context"
	"errors"
	"io"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-94e48765/portico/examples/mailfront/internal/guard"
)

// pipe returns a Session with a patience of a minute and the client's end of it. Its facts are counted.
func pipe(t *testing.T, s *Sessions) (c *Session, client net.Conn, expired, released *int) {
	t.Helper()
	here, there := net.Pipe()
	t.Cleanup(func() { here.Close() })
	expired, released = new(int), new(int)
	return s.Add(there, time.Minute, func() { *expired++ }, func() { *released++ }), here, expired, released
}

func TestSessionIsReleasedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, _, expired, released := pipe(t, NewSessions())
		c.Close()
		c.Close()
		c.Useful() // too late
		time.Sleep(time.Hour)
		synctest.Wait()
		require.Equal(t, []int{1, 0}, []int{*released, *expired})
	})
}

func TestPatience(t *testing.T) {
	for _, tc := range []struct {
		name string
		act  func(*Session) // after 40 seconds
		want time.Duration  // 0: the session stays
	}{
		{name: "no success", act: func(*Session) {}, want: time.Minute},
		{name: "a message", act: (*Session).Useful, want: 100 * time.Second},
		{name: "a login", act: (*Session).LoggedIn},
		{name: "a login and a message", act: func(c *Session) { c.LoggedIn(); c.Useful() }},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := NewSessions()
				c, client, expired, released := pipe(t, s)
				began := time.Now()
				time.AfterFunc(40*time.Second, func() { tc.act(c) })
				client.SetReadDeadline(began.Add(24 * time.Hour))
				_, err := client.Read(make([]byte, 1))
				if tc.want == 0 {
					require.Equal(t, 24*time.Hour, time.Since(began))
					require.Equal(t, []int{0, 0, 1}, []int{*expired, *released, s.Open()})
					c.Close()
					return
				}
				require.ErrorIs(t, err, io.EOF)
				require.Equal(t, tc.want, time.Since(began))
				synctest.Wait()
				require.Equal(t, []int{1, 1, 0}, []int{*expired, *released, s.Open()})
			})
		})
	}
}

func TestSessionEndsAfterTheLastAnswer(t *testing.T) {
	wrong := guard.ErrWrongPassword
	for _, tc := range []struct {
		name   string
		logins []error
		ends   bool
	}{
		{name: "two wrong passwords", logins: []error{wrong, wrong}},
		{name: "three wrong passwords", logins: []error{wrong, wrong, wrong}, ends: true},
		{name: "a ban", logins: []error{guard.ErrBanned}, ends: true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c, client, _, released := pipe(t, NewSessions())
				for _, err := range tc.logins {
					c.WrongLogin(err)
				}
				require.Zero(t, *released, "the client gets the answer first")
				go func() {
					io.ReadFull(client, make([]byte, len("answer")))
				}()
				n, err := c.Write([]byte("answer"))
				require.Equal(t, len("answer"), n)
				require.Equal(t, tc.ends, errors.Is(err, net.ErrClosed), "what the server has read ahead is not executed")
				require.Equal(t, tc.ends, *released == 1)
				c.Close()
			})
		})
	}
	var none *Session
	none.WrongLogin(wrong)
	none.Useful()
	none.LoggedIn()
}

func TestSessionsWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := NewSessions()
		var open []*Session
		for i := range 3 {
			c, _, _, _ := pipe(t, s)
			open = append(open, c)
			time.AfterFunc(time.Duration(i+1)*time.Second, func() { c.Close() })
		}
		began := time.Now()
		require.Zero(t, s.Wait(t.Context()))
		require.Equal(t, 3*time.Second, time.Since(began))

		cut, _, _, released := pipe(t, s)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		require.Equal(t, 1, s.Wait(ctx))
		require.Equal(t, 4*time.Second, time.Since(began))
		require.Equal(t, 1, *released)
		require.Nil(t, SessionOf(open[0].Conn))
		require.Equal(t, cut, SessionOf(hiddenConn{cut}))
	})
}
