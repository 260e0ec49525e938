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
	maxInboxSize   = 64 << 20 // bytes in the INBOX
	maxInboxCount  = 500      // messages in the INBOX
	maxOutbox      = 100      // number of envelopes
)

var errMailboxFull = errors.New("mailfront: the mailbox is full")

// A mailbox has the mail of the only account, in memory. IMAP and POP3 have separate views: a message
// that is deleted in one remains in the other.
type mailbox struct {
	account      string
	passwordHash [sha256.Size]byte
	imap         *imapAccount
	start        string // identifies this process in every POP3 id
	maxSize      int    // maxInboxSize; tests use less

	delivery sync.Mutex // held by deliverIMAP

	mu     sync.Mutex // guards the fields below
	pop3   []pop3d.Message
	size   int    // bytes in pop3
	lastID uint64 // part of the UID in POP3; with start, no UID is used again after a restart
	sent   []envelope
}

// An envelope is an envelope of mail to other domains. mailfront does not send such mail.
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

// login reports whether name and password are those of the account. The time that it takes does not
// depend on which one is wrong.
func (m *mailbox) login(name, password string) bool {
	hash := sha256.Sum256([]byte(password))
	nameOK := subtle.ConstantTimeCompare([]byte(name), []byte(m.account))
	return nameOK&subtle.ConstantTimeCompare(hash[:], m.passwordHash[:]) == 1
}

// deliver adds a message to both views.
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

// deliverIMAP has a lock of its own: imapmemserver locks the INBOX while a client fetches from it, and
// a client that does not read must not delay POP3. Deliveries do wait here. A real store would not
// delay them.
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

// relay records the envelope of mail to other domains, in the place of sending it.
func (m *mailbox) relay(e envelope) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.sent) == maxOutbox {
		m.sent = slices.Delete(m.sent, 0, 1)
	}
	m.sent = append(m.sent, e)
}

// messages returns the messages for POP3.
func (m *mailbox) messages() []pop3d.Message {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.pop3)
}

// remove deletes messages for POP3 by their UIDs.
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

// toCRLF ends every line in CRLF, including the last one. It returns b if nothing has to change.
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
