package main

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/emersion/go-imap/v2"

	"github.com/seed-94e48765/portico/examples/mailfront/internal/pop3d"
)

const (
	maxMessageSize = 10 << 20 // bytes of a message
	maxInboxSize   = 64 << 20 // bytes that the INBOX holds
	maxInboxCount  = 500      // messages that it holds
	maxOutbox      = 100      // envelopes that are remembered
)

var errMailboxFull = errors.New("mailfront: the mailbox is full")

// A mailbox is the mail of the one account, in memory. IMAP and POP3 each have a
// view of their own: what is deleted in one stays in the other.
type mailbox struct {
	account      string
	passwordHash [sha256.Size]byte
	imap         *imapAccount
	start        string // of this process, in every POP3 id
	maxSize      int    // maxInboxSize, less in tests

	delivery sync.Mutex // of deliverIMAP

	mu     sync.Mutex // of what follows
	pop3   []pop3d.Message
	size   int    // of pop3, bytes
	lastID uint64 // part of a UID in POP3, which no message has after a restart
	sent   []envelope
}

// An envelope is what is remembered of mail to other domains: mailfront sends
// nothing anywhere.
type envelope struct {
	Time time.Time
	From string
	To   []string
	Size int
}

func newMailbox(account, password string) *mailbox {
	mailboxes, err := newIMAPAccount(account, password, newUIDValidity(time.Now()))
	if err != nil {
		panic(fmt.Sprintf("mailfront: cannot create the mailboxes of a new account: %v", err))
	}
	return &mailbox{
		account:      account,
		passwordHash: sha256.Sum256([]byte(password)),
		imap:         mailboxes,
		start:        rand.Text(),
		maxSize:      maxInboxSize,
	}
}

// login reports whether name and password are the account's, in a time that does
// not tell which was wrong.
func (m *mailbox) login(name, password string) bool {
	hash := sha256.Sum256([]byte(password))
	nameOK := subtle.ConstantTimeCompare([]byte(name), []byte(m.account))
	return nameOK&subtle.ConstantTimeCompare(hash[:], m.passwordHash[:]) == 1
}

// deliver puts a message into both views.
func (m *mailbox) deliver(data []byte) error {
	data = toCRLF(data)
	if err := m.deliverIMAP(data); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.lastID++
	m.pop3 = append(m.pop3, pop3d.Message{UID: fmt.Sprintf("%s.%d", m.start, m.lastID), Data: data})
	m.size += len(data)
	for len(m.pop3) > maxInboxCount || m.size > m.maxSize {
		m.size -= len(m.pop3[0].Data)
		m.pop3 = slices.Delete(m.pop3, 0, 1)
	}
	return nil
}

// deliverIMAP holds a lock of its own: imapmemserver holds the INBOX while a
// client fetches from it, and one that does not read must not keep POP3 waiting.
// Deliveries wait; a real store would not.
func (m *mailbox) deliverIMAP(data []byte) error {
	m.delivery.Lock()
	defer m.delivery.Unlock()
	inbox, err := m.imap.Status("INBOX", &imap.StatusOptions{NumMessages: true, Size: true})
	if err != nil {
		return fmt.Errorf("mailfront: cannot look into the INBOX: %w", err)
	}
	if *inbox.NumMessages >= maxInboxCount || *inbox.Size+int64(len(data)) > int64(m.maxSize) {
		return errMailboxFull
	}
	if _, err := m.imap.Append("INBOX", bytes.NewReader(data), &imap.AppendOptions{}); err != nil {
		return fmt.Errorf("mailfront: cannot put a message into the INBOX: %w", err)
	}
	return nil
}

// relay stands for sending to other domains.
func (m *mailbox) relay(e envelope) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.sent) == maxOutbox {
		m.sent = slices.Delete(m.sent, 0, 1)
	}
	m.sent = append(m.sent, e)
}

// messages returns what POP3 sees.
func (m *mailbox) messages() []pop3d.Message {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.pop3)
}

// remove deletes messages by their UIDs from what POP3 sees.
func (m *mailbox) remove(uids []string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.pop3 = slices.DeleteFunc(m.pop3, func(msg pop3d.Message) bool {
		removed := slices.Contains(uids, msg.UID)
		if removed {
			m.size -= len(msg.Data)
		}
		return removed
	})
}

// toCRLF ends every line in CRLF, the last one included. It returns b if they do.
func toCRLF(b []byte) []byte {
	if bytes.Count(b, []byte("\n")) == bytes.Count(b, []byte("\r\n")) && (len(b) == 0 || bytes.HasSuffix(b, []byte("\n"))) {
		return b
	}
	b = bytes.ReplaceAll(b, []byte("\r\n"), []byte("\n"))
	b = bytes.ReplaceAll(b, []byte("\n"), []byte("\r\n"))
	if len(b) > 0 && !bytes.HasSuffix(b, []byte("\r\n")) {
		b = append(b, "\r\n"...)
	}
	return b
}
