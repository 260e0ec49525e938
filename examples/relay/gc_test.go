package main

import (
	"context"
	"runtime/debug"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

func TestGCFollowsTheNumberOfSessions(t *testing.T) {
	before := debug.SetGCPercent(100)
	defer debug.SetGCPercent(before)
	current := func() int {
		percent := debug.SetGCPercent(100)
		debug.SetGCPercent(percent)
		return percent
	}
	synctest.Test(t, func(t *testing.T) {
		r := &relay{room: make(chan struct{}, manySessions)}
		r.ctx, r.cancel = context.WithCancel(t.Context())
		go r.tuneGC()
		synctest.Wait()
		require.Equal(t, 400, current(), "no session")
		for range manySessions {
			r.room <- struct{}{}
		}
		time.Sleep(time.Second)
		synctest.Wait()
		require.Equal(t, 50, current(), "many sessions")
		<-r.room
		time.Sleep(time.Second)
		synctest.Wait()
		require.Equal(t, 400, current(), "few sessions again")
		r.cancel()
		synctest.Wait()
	})
}
