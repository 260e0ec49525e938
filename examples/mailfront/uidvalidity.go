// Copy the rule that a value is used only when no later start can use it again. Change nothing, or
// keep UIDVALIDITY in your mail store.

package main

import (
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"strconv"
	"strings"
	"time"
)

const (
	// uidTick is the minimum time between two starts after which the later start has larger
	// values without a file. With this unit 32 bits last for 13 years.
	uidTick = 100 * time.Millisecond

	// uidValidityFile is the suffix that the file adds to the name of the state file.
	uidValidityFile = ".uidvalidity"

	maxUIDValidity = math.MaxUint32 - 1<<16 // maximum for a start; leaves room for the mailboxes
)

var uidEpoch = time.Date(2026, time.January, 1, 0, 0, 0, 0, time.UTC)

// A uidValidity makes UIDVALIDITY values that are larger than those of every earlier start (RFC 9051
// section 2.3.1.1). The values come from the clock, in units of uidTick since uidEpoch. With a file
// they are also larger than every value in the file, even if the clock was set back. Without a file
// they are larger until uidEpoch plus 13 years, if the clock is not set back between two starts.
type uidValidity struct {
	base  uint32 // added to the number of a mailbox
	began time.Time
	path  string // "" for no file
}

func newUIDValidity(now time.Time) uidValidity {
	ticks := max(0, now.Sub(uidEpoch)/uidTick)
	return uidValidity{base: uint32(min(ticks, maxUIDValidity)), began: now}
}

// load continues after the value in the file, if it is larger than that of the clock.
func (v *uidValidity) load(path string) error {
	b, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	v.path = path
	if err != nil {
		return nil
	}
	last, err := strconv.ParseUint(strings.TrimSpace(string(b)), 10, 32)
	if err != nil || last > maxUIDValidity {
		return fmt.Errorf("%s is damaged: it contains %.40q, want a number up to %d: remove the file (mail clients may have to fetch all mail again)", path, b, maxUIDValidity)
	}
	v.base = max(v.base, uint32(last))
	return nil
}

// of returns the value of the mailbox with the given number, which begins at 1.
func (v *uidValidity) of(number uint32) uint32 { return v.base + number }

// secure returns when no later start can use a value up to that of number: the value is in the file,
// or enough time has passed for the clock to give a larger one. If err is not nil, the file cannot be
// written, and only the clock was used.
func (v *uidValidity) secure(number uint32) (err error) {
	if v.path != "" {
		if err = writeAtomically(v.path, []byte(strconv.FormatUint(uint64(v.of(number)), 10)+"\n")); err == nil {
			return nil
		}
	}
	time.Sleep(time.Duration(number)*uidTick - time.Since(v.began))
	return err
}
