// What to copy: the rule that a value is handed out only when a later start cannot hand
// it out again. What to change: nothing, or keep UIDVALIDITY in your mail store.

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
	// uidTick is how much later than another a process has to start for its UIDVALIDITY
	// to be larger where there is no file. In this unit 32 bits last for 13 years.
	uidTick = 100 * time.Millisecond

	// uidValidityFile is what its file is called, after the name of the state file.
	uidValidityFile = ".uidvalidity"

	maxUIDValidity = math.MaxUint32 - 1<<16 // of a start: leaves room for the mailboxes
)

var uidEpoch = time.Date(2026, time.January, 1, 0, 0, 0, 0, time.UTC)

// A uidValidity makes UIDVALIDITY values that are larger than those of every earlier
// start (RFC 9051 section 2.3.1.1). They come from the clock, in units of uidTick since
// uidEpoch. With a file they are also larger than all that the file remembers, so that
// the clock may be set back. Without a file they are larger unless the clock was set back
// between two starts, or after uidEpoch and 13 years.
type uidValidity struct {
	base  uint32 // what a start adds to the number of a mailbox
	began time.Time
	path  string // "" keeps nothing
}

func newUIDValidity(now time.Time) uidValidity {
	ticks := max(0, now.Sub(uidEpoch)/uidTick)
	return uidValidity{base: uint32(min(ticks, maxUIDValidity)), began: now}
}

// load continues after what the file remembers, if that is larger than the clock's.
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
		return fmt.Errorf("%s is damaged: it holds %.40q, want a number up to %d: remove it, and mail clients may have to fetch all mail again", path, b, maxUIDValidity)
	}
	v.base = max(v.base, uint32(last))
	return nil
}

// of returns the value of the mailbox with a number, from 1.
func (v *uidValidity) of(number uint32) uint32 { return v.base + number }

// secure returns when no later start can hand out a value up to that of number: the file
// remembers it, or so much time has passed that the clock gives more. If err is not nil
// the file cannot be written, and the clock alone was decisive.
func (v *uidValidity) secure(number uint32) (err error) {
	if v.path != "" {
		if err = writeAtomically(v.path, []byte(strconv.FormatUint(uint64(v.of(number)), 10)+"\n")); err == nil {
			return nil
		}
	}
	time.Sleep(time.Duration(number)*uidTick - time.Since(v.began))
	return err
}
