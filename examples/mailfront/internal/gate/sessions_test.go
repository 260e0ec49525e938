package gate

import (
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

func TestSessionIsReleasedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		here, there := net.Pipe()
		defer here.Close()
		released, expired := 0, 0
		c := NewSessions().Add(there, time.Minute, func() { expired++ }, func() { released++ })
		c.Close()
		c.Close()
		c.Useful()
		c.LoggedIn()
		time.Sleep(time.Hour)
		synctest.Wait()
		require.Equal(t, []int{1, 0}, []int{released, expired})
	})
}
