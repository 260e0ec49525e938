package main

import (
	"fmt"
	"maps"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// deliverBySMTP sends a message with each subject.
func (r *running) deliverBySMTP(subjects ...string) {
	r.t.Helper()
	s := ehlo(r.t, r.direct("smtp"))
	defer s.Close()
	for _, subject := range subjects {
		s.smtp("MAIL FROM:<a@elsewhere.test>")
		s.smtp("RCPT TO:<%s>", testAccount)
		require.Regexp(r.t, "^354 ", s.smtp("DATA"))
		require.Regexp(r.t, "^250 ", s.smtp("Subject: %s\r\n\r\nhello\r\n.", subject))
	}
}

// imapOn logs in.
func (r *running) imapOn() *script {
	r.t.Helper()
	s := newScript(r.t, onTLS(r.t, r.direct("imaps")))
	s.line()
	require.Regexp(r.t, loggedIn["imap"], logins["imap"](s))
	return s
}

// imap sends a command and returns the answers to it.
func (s *script) imap(format string, args ...any) string {
	s.t.Helper()
	s.send("t "+format+"\r\n", args...)
	answer := s.until("t ")
	require.Regexp(s.t, `(?m)^t OK `, answer, format)
	return answer
}

// number returns what a pattern with one group finds in s.
func number(t *testing.T, pattern, s string) uint32 {
	t.Helper()
	m := regexp.MustCompile(pattern).FindStringSubmatch(s)
	require.NotNil(t, m, "no %s in %s", pattern, s)
	n, err := strconv.ParseUint(m[1], 10, 32)
	require.NoError(t, err)
	return uint32(n)
}

var (
	uidAndSubject = regexp.MustCompile(`(?s)\* \d+ FETCH \(UID (\d+) .*?\nSubject: ([^\n]*)\n`)
	aUID          = regexp.MustCompile(`\* \d+ FETCH \(UID (\d+)`)
)

// An imapMirror is the copy of a mailbox that mbsync keeps: it requests UIDs above the largest that
// it has seen, and expunges on the server what was deleted locally, both by UID, as long
// as UIDVALIDITY is the same (RFC 4549).
type imapMirror struct {
	validity uint32
	largest  int
	messages map[int]string // subject by UID
	deleted  []int          // locally, to be expunged on the server
}

// sync returns the subjects of the messages that it fetched.
func (m *imapMirror) sync(t *testing.T, s *script) (fetched []string) {
	defer s.Close()
	validity := number(t, `UIDVALIDITY (\d+)`, s.imap("SELECT INBOX"))
	if validity != m.validity { // all that is known of the mailbox is void
		require.Greater(t, validity, m.validity)
		*m = imapMirror{validity: validity, messages: make(map[int]string)}
	}
	for _, uid := range m.deleted {
		s.imap(`UID STORE %d +FLAGS.SILENT (\Deleted)`, uid)
		s.imap("UID EXPUNGE %d", uid)
	}
	m.deleted = nil
	there := make(map[int]bool)
	for _, found := range aUID.FindAllStringSubmatch(s.imap("UID FETCH 1:* (UID)"), -1) {
		uid, err := strconv.Atoi(found[1])
		require.NoError(t, err)
		there[uid] = true
	}
	maps.DeleteFunc(m.messages, func(uid int, _ string) bool { return !there[uid] })
	answer := s.imap("UID FETCH %d:* (UID BODY.PEEK[HEADER.FIELDS (Subject)])", m.largest+1)
	for _, found := range uidAndSubject.FindAllStringSubmatch(answer, -1) {
		uid, err := strconv.Atoi(found[1])
		require.NoError(t, err)
		if uid <= m.largest { // the last one, which * always includes
			continue
		}
		m.largest, m.messages[uid] = uid, found[2]
		fetched = append(fetched, found[2])
	}
	return fetched
}

// A pop3Mirror is what getmail, fetchmail and mpop keep: the ids that they have fetched.
type pop3Mirror map[string]bool

func (m pop3Mirror) sync(t *testing.T, s *script) (fetched []string) {
	defer s.Close()
	require.Regexp(t, loggedIn["pop3"], logins["pop3"](s))
	s.send("UIDL\r\n")
	for line := range strings.Lines(s.untilDot()) {
		n, id, ok := strings.Cut(strings.TrimSpace(line), " ")
		if !ok || strings.HasPrefix(line, "+OK") || m[id] {
			continue
		}
		require.Regexp(t, `^[\x21-\x7e]{1,70}$`, id, "RFC 1939 section 7")
		m[id] = true
		s.send("TOP %s 0\r\n", n)
		for field := range strings.Lines(s.untilDot()) {
			if subject, ok := strings.CutPrefix(field, "Subject: "); ok {
				fetched = append(fetched, strings.TrimSpace(subject))
			}
		}
	}
	return fetched
}

// pop3On connects.
func (r *running) pop3On() *script {
	r.t.Helper()
	s := newScript(r.t, onTLS(r.t, r.direct("pop3s")))
	s.line()
	return s
}

func TestUIDVALIDITYAcrossRestart(t *testing.T) {
	for _, test := range []struct {
		name string
		env  map[string]string
	}{
		{name: "without a state"},
		{name: "with a state", env: map[string]string{"MAILFRONT_STATE": filepath.Join(t.TempDir(), "state.json")}},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := runMailfront(t, test.env)
			r.deliverBySMTP("one", "two", "three")
			imap, pop3 := new(imapMirror), make(pop3Mirror)
			require.Equal(t, []string{"one", "two", "three"}, imap.sync(t, r.imapOn()))
			require.Equal(t, []string{"one", "two", "three"}, pop3.sync(t, r.pop3On()))
			require.Empty(t, imap.sync(t, r.imapOn()), "nothing is new")
			require.Empty(t, pop3.sync(t, r.pop3On()), "nothing is new")
			imap.deleted = []int{2} // the next sync expunges "two"

			for restart := range 3 { // at once, so within one second
				require.NoError(t, r.stop())
				r = runMailfront(t, test.env)
				var subjects []string
				for i := range 3 {
					subjects = append(subjects, fmt.Sprintf("start %d message %d", restart, i))
				}
				r.deliverBySMTP(subjects...)
				require.Equal(t, subjects, imap.sync(t, r.imapOn()))
				require.Equal(t, subjects, pop3.sync(t, r.pop3On()))
				require.ElementsMatch(t, subjects, slices.Collect(maps.Values(imap.messages)))
				s := r.imapOn()
				require.Contains(t, s.imap("SELECT INBOX"), "* 3 EXISTS", "the client expunged a message that it had not seen")
				s.Close()
				imap.deleted = []int{2}
			}
		})
	}
}

func TestEveryAnswerHasTheSameUIDVALIDITY(t *testing.T) {
	r := runMailfront(t, nil)
	r.deliverBySMTP("one", "two", "three", "four", "five")
	s := r.imapOn()
	inbox := number(t, `UIDVALIDITY (\d+)`, s.imap("SELECT INBOX"))
	sent := number(t, `UIDVALIDITY (\d+)`, s.imap("STATUS Sent (UIDVALIDITY)"))
	trash := number(t, `UIDVALIDITY (\d+)`, s.imap("STATUS Trash (UIDVALIDITY)"))
	require.Greater(t, inbox, uint32(1000))
	require.NotEqual(t, sent, trash)
	for _, test := range []struct {
		name, command, pattern string
		want                   uint32
	}{
		{name: "EXAMINE", command: "EXAMINE INBOX", pattern: `\[UIDVALIDITY (\d+)\]`, want: inbox},
		{name: "SELECT", command: "SELECT INBOX", pattern: `\[UIDVALIDITY (\d+)\]`, want: inbox},
		{name: "STATUS", command: "STATUS INBOX (MESSAGES UIDVALIDITY)", pattern: `UIDVALIDITY (\d+)\)`, want: inbox},
		{name: "LIST with STATUS", command: `LIST "" "INBOX" RETURN (STATUS (UIDVALIDITY))`, pattern: `\* STATUS INBOX \(UIDVALIDITY (\d+)\)`, want: inbox},
		{name: "APPEND", command: "APPEND Sent {3+}\r\nx:y", pattern: `\[APPENDUID (\d+) 1\]`, want: sent},
		{name: "COPY", command: "COPY 1 Trash", pattern: `\[COPYUID (\d+) 1 1\]`, want: trash},
		{name: "UID COPY", command: "UID COPY 2,3 Trash", pattern: `\[COPYUID (\d+) 2:3 2:3\]`, want: trash},
		{name: "MOVE", command: "MOVE 1 Trash", pattern: `\[COPYUID (\d+) 1 4\]`, want: trash},
		{name: "UID MOVE", command: "UID MOVE 3:4 Sent", pattern: `\[COPYUID (\d+) 3:4 2:3\]`, want: sent},
	} {
		t.Run(test.name, func(t *testing.T) {
			s.t = t
			require.Equal(t, test.want, number(t, test.pattern, s.imap("%s", test.command)))
		})
	}
	s.t = t
	require.NotContains(t, s.imap("STATUS INBOX (MESSAGES)"), "UIDVALIDITY")
	require.NotContains(t, s.imap("UID COPY 99 Trash"), "COPYUID", "nothing was copied")
	require.NotContains(t, s.imap("UID MOVE 99 Trash"), "COPYUID", "nothing was moved")
}

func TestMOVEResponses(t *testing.T) {
	r := runMailfront(t, nil)
	r.deliverBySMTP("one", "two", "three")
	s, other := r.imapOn(), r.imapOn()
	s.imap("SELECT INBOX")
	other.imap("SELECT INBOX")
	answer := s.imap("MOVE 1,3 Trash")
	require.Regexp(t, `(?s)^\* OK \[COPYUID .*\* 3 EXPUNGE\n\* 1 EXPUNGE\nt OK `, answer)
	require.Equal(t, 2, strings.Count(answer, "EXPUNGE"))
	require.Regexp(t, `(?s)\* 3 EXPUNGE\n\* 1 EXPUNGE\n`, other.imap("NOOP"))
	require.Contains(t, s.imap("FETCH 1:* BODY[HEADER.FIELDS (Subject)]"), "Subject: two")
	require.Contains(t, s.imap("STATUS INBOX (MESSAGES)"), "MESSAGES 1")
	require.Contains(t, s.imap("STATUS Trash (MESSAGES DELETED)"), "MESSAGES 2 DELETED 0")
}

func TestNewAccountSubscriptions(t *testing.T) {
	s := runMailfront(t, nil).imapOn()
	for _, name := range firstMailboxes {
		require.Regexp(t, `"/" "?`+name+`"?\n`, s.imap(`LSUB "" "*"`))
		require.Regexp(t, `"/" "?`+name+`"?\n`, s.imap(`LIST (SUBSCRIBED) "" "*"`))
	}
	s.imap("UNSUBSCRIBE Drafts")
	s.imap("CREATE Later/")
	require.Regexp(t, `(?s)^\* LSUB \(\\Subscribed\) "/" INBOX\n\* LSUB \(\\Subscribed\) "/" "Sent"\n\* LSUB \(\\Subscribed\) "/" "Trash"\nt OK `, s.imap(`LSUB "" "*"`))
	s.imap("SUBSCRIBE Later")
	s.imap("RENAME Later Other")
	require.Regexp(t, `^\* LSUB \(\\Subscribed\) "/" "Other"\nt OK `, s.imap(`LSUB "" "O%%"`))
	s.imap("DELETE Other")
	require.Regexp(t, `(?s)^\* LIST .* "Drafts"\n\* LIST .* INBOX\n\* LIST .* "Sent"\n\* LIST .* "Trash"\nt OK `, s.imap(`LIST "" "*"`))
	require.Regexp(t, `^\* LIST \(\\Noselect\) "/" ""\nt OK `, s.imap(`LIST "" ""`))
	s.send("x SUBSCRIBE None\r\n")
	require.Regexp(t, `^x NO \[NONEXISTENT\]`, s.until("x "))
}
