package forwarded

import (
	"fmt"
	"net/netip"
	"strings"
)

// A trace collects for Explain what was read.
type trace struct {
	name        string // of the header
	before      list   // the list when the entry was read
	trustsAll   bool   // the set was refused
	directProxy bool   // a proxy without a PROXY header
	entries     []tracedEntry
}

type tracedEntry struct {
	addr        netip.Addr
	where, text string
	trusted     bool
	fault       fault
}

// add adds an entry of a list: reading it led from t.before to after.
func (t *trace) add(after list, a netip.Addr, trusted bool, f fault) {
	before := t.before
	// The beginning of an entry that could not be read is not known.
	text := before.rest[strings.LastIndexByte(before.rest, ',')+1:]
	if f == faultNone {
		text = between(before, after)
	}
	t.entries = append(t.entries, tracedEntry{
		addr:    a,
		where:   fmt.Sprintf("%s line %d of %d, entry %d from the right", t.name, before.line+1, len(before.lines), len(t.entries)+1),
		text:    shorten(trim(text)),
		trusted: trusted,
		fault:   f,
	})
}

// addSingle adds the lines of a header that should have one address.
func (t *trace) addSingle(lines []string, a netip.Addr, trusted bool, f fault) {
	t.entries = append(t.entries, tracedEntry{
		addr:    a,
		where:   t.name,
		text:    shorten(trim(strings.Join(lines, ", "))),
		trusted: trusted,
		fault:   f,
	})
}

// between returns the entry between two positions. It may have begun in a line before,
// in a quoted string.
func between(before, after list) string {
	text := before.rest
	if before.line == after.line {
		return text[len(after.rest)+1:]
	}
	for i := before.line - 1; i > after.line; i-- {
		text = before.lines[i] + "," + text
	}
	if after.more() {
		if line := before.lines[after.line]; len(after.rest) < len(line) {
			text = line[len(after.rest)+1:] + "," + text
		}
	}
	return text
}
