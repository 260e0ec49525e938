package store

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
)

func TestCharge(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	for _, c := range []struct {
		behaviour string
		charge    Charge
		full      time.Duration // after now
		next      time.Duration // after now
		wait      time.Duration
	}{
		{behaviour: "a full bucket", charge: Charge{Limit: Limit{Burst: 3, Every: time.Second}, Cost: 1}, full: -time.Hour, next: time.Second},
		{behaviour: "the last charge", charge: Charge{Limit: Limit{Burst: 3, Every: time.Second}, Cost: 1}, full: 2 * time.Second, next: 3 * time.Second},
		{behaviour: "one nanosecond early", charge: Charge{Limit: Limit{Burst: 3, Every: time.Second}, Cost: 1}, full: 2*time.Second + 1, next: 2*time.Second + 1, wait: 1},
		{behaviour: "the whole burst at once", charge: Charge{Limit: Limit{Burst: 3, Every: time.Second}, Cost: 3}, next: 3 * time.Second},
		{behaviour: "more than is left", charge: Charge{Limit: Limit{Burst: 3, Every: time.Second}, Cost: 3}, full: time.Second, next: time.Second, wait: time.Second},
		{behaviour: "a clock that was set back", charge: Charge{Limit: Limit{Burst: 3, Every: time.Second}, Cost: 1}, full: time.Hour, next: 6 * time.Second, wait: 4 * time.Second},
		{behaviour: "a charge that is owed", charge: Charge{Limit: Limit{Burst: 3, Every: time.Second}, Cost: 1, Owed: true}, full: 3 * time.Second, next: 4 * time.Second, wait: time.Second},
		{behaviour: "no more than the burst is owed", charge: Charge{Limit: Limit{Burst: 3, Every: time.Second}, Cost: 1, Owed: true}, full: 6 * time.Second, next: 6 * time.Second, wait: 4 * time.Second},
	} {
		t.Run(c.behaviour, func(t *testing.T) {
			next, wait := c.charge.apply(now.Add(c.full), now)
			assert.Equal(t, c.next, next.Sub(now))
			assert.Equal(t, c.wait, wait)
		})
	}
}

// At all times, the charges are at most the burst and the refill, and a caller that waits for the
// returned time is admitted.
func FuzzChargeNeverExceedsTheRate(f *testing.F) {
	f.Add(uint8(3), uint16(100), []byte{1, 0, 1, 5, 1, 255, 2, 0, 3, 9})
	f.Fuzz(func(t *testing.T, burst uint8, everyMs uint16, steps []byte) {
		l := Charge{Limit: Limit{Burst: int(burst) + 1, Every: time.Duration(everyMs)*time.Millisecond + time.Microsecond}}
		start := time.Unix(1_800_000_000, 0)
		now, full, passed := start, time.Time{}, 0
		for i := 0; i+1 < len(steps); i += 2 {
			l.Cost = int(steps[i])%l.Burst + 1
			now = now.Add(time.Duration(steps[i+1]) * 10 * time.Millisecond)
			next, wait := l.apply(full, now)
			if wait > 0 {
				if _, still := l.apply(full, now.Add(wait)); still > 0 {
					t.Fatalf("after waiting %v: %v more", wait, still)
				}
				continue
			}
			full = next
			passed += l.Cost
			if most := l.Burst + int(now.Sub(start)/l.Every); passed > most {
				t.Fatalf("%d charges passed in %v, at most %d may", passed, now.Sub(start), most)
			}
		}
	})
}
