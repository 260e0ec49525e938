// Replace this file by your mail store. imapmemserver numbers UIDVALIDITY from 1 at every start, so
// that clients with a cache lose mail. An imapAccount replaces the value in every answer.

package main

import (
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapserver"
	"github.com/emersion/go-imap/v2/imapserver/imapmemserver"
)

// imapDelimiter is the delimiter of imapmemserver.
const imapDelimiter = '/'

// firstMailboxes are the mailboxes of a new account. imapmemserver numbers them from 1. Only append
// to the list.
var firstMailboxes = []string{"INBOX", "Sent", "Drafts", "Trash"}

// firstUses has the special uses of these mailboxes (RFC 6154 section 2).
var firstUses = map[string]imap.MailboxAttr{"Sent": imap.MailboxAttrSent, "Drafts": imap.MailboxAttrDrafts, "Trash": imap.MailboxAttrTrash}

// An imapAccount has the mailboxes of a user. Any number of sessions may use it.
type imapAccount struct {
	*imapmemserver.User
	log *slog.Logger // reports values that cannot be saved

	mu         sync.Mutex // held while mailboxes are created, renamed or deleted
	validity   uidValidity
	created    uint32            // the last number that imapmemserver assigned
	renamed    map[uint32]uint32 // the number that replaces it since a RENAME
	subscribed map[string]bool   // the keys are the names of all mailboxes
	uses       map[string]imap.MailboxAttr

	moving sync.Mutex // held by Move: two sessions must not move the same message
	shown  sync.Once  // runs at the first login
}

func newIMAPAccount(name, password string, validity uidValidity) (*imapAccount, error) {
	a := &imapAccount{
		User: imapmemserver.NewUser(name, password), log: slog.New(slog.DiscardHandler),
		validity: validity, renamed: make(map[uint32]uint32), subscribed: make(map[string]bool), uses: maps.Clone(firstUses),
	}
	for _, mailbox := range firstMailboxes {
		if err := a.create(mailbox); err != nil {
			return nil, err
		}
		a.subscribed[mailbox] = true // some clients show subscribed mailboxes only
	}
	return a, nil
}

// create creates a mailbox. a.mu is held.
func (a *imapAccount) create(mailbox string) error {
	if err := a.User.Create(mailbox, nil); err != nil {
		return err
	}
	a.created++
	a.subscribed[trimMailbox(mailbox)] = false
	return nil
}

// trimMailbox normalizes the name of a new mailbox as imapmemserver does.
func trimMailbox(name string) string { return strings.TrimRight(name, string(imapDelimiter)) }

// keep makes all values larger than those in the file, and saves values in the file from the first
// login on. Call it before the first login.
func (a *imapAccount) keep(path string, log *slog.Logger) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.log = log
	return a.validity.load(path)
}

// secure saves the values up to that of number before one of them is shown. a.mu is held.
func (a *imapAccount) secure(number uint32) {
	if err := a.validity.secure(number); err != nil {
		a.log.Warn("cannot keep the UIDVALIDITY next to MAILFRONT_STATE: if the clock is set back before the next start, mail clients may lose mail",
			"path", a.validity.path, "reason", err.Error())
	}
}

// session returns the session of a client that has logged in.
func (a *imapAccount) session() *imapAccountSession {
	a.shown.Do(func() {
		a.mu.Lock()
		defer a.mu.Unlock()
		number := a.created
		if a.validity.path == "" {
			number = 1 // sufficient: the mailboxes of this list have the same numbers at the next start
		}
		a.secure(number)
	})
	return &imapAccountSession{imapmemserver.NewUserSession(a.User), a}
}

// outer replaces imapmemserver's UIDVALIDITY of a mailbox, if the client has requested it.
func (a *imapAccount) outer(number uint32) uint32 {
	if number == 0 {
		return 0
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if other, ok := a.renamed[number]; ok {
		number = other
	}
	return a.validity.of(number)
}

// number returns the number that imapmemserver has assigned to a mailbox. a.mu is held.
func (a *imapAccount) number(mailbox string) (uint32, error) {
	data, err := a.User.Status(mailbox, &imap.StatusOptions{UIDValidity: true})
	if err != nil {
		return 0, err
	}
	return data.UIDValidity, nil
}

// An imapAccountSession is a session of imapmemserver with the UIDVALIDITY of the account.
type imapAccountSession struct {
	*imapmemserver.UserSession
	account *imapAccount
}

func (s *imapAccountSession) Select(mailbox string, options *imap.SelectOptions) (*imap.SelectData, error) {
	data, err := s.UserSession.Select(mailbox, options)
	if err == nil {
		data.UIDValidity = s.account.outer(data.UIDValidity)
	}
	return data, err
}

func (s *imapAccountSession) Status(mailbox string, options *imap.StatusOptions) (*imap.StatusData, error) {
	data, err := s.UserSession.Status(mailbox, options)
	if err == nil {
		data.UIDValidity = s.account.outer(data.UIDValidity)
	}
	return data, err
}

func (s *imapAccountSession) Append(mailbox string, r imap.LiteralReader, options *imap.AppendOptions) (*imap.AppendData, error) {
	data, err := s.UserSession.Append(mailbox, r, options)
	if err == nil {
		data.UIDValidity = s.account.outer(data.UIDValidity)
	}
	return data, err
}

func (s *imapAccountSession) Copy(messages imap.NumSet, to string) (*imap.CopyData, error) {
	data, err := s.UserSession.Copy(messages, to)
	if err == nil {
		data.UIDValidity = s.account.outer(data.UIDValidity)
	}
	if err != nil || len(data.SourceUIDs) == 0 {
		return nil, err // RFC 4315 section 3: COPYUID requires a UID
	}
	return data, nil
}

// Move copies messages and then removes the originals. The poll after every command sends the
// EXPUNGE responses.
func (s *imapAccountSession) Move(w *imapserver.MoveWriter, messages imap.NumSet, to string) error {
	s.account.moving.Lock()
	defer s.account.moving.Unlock()
	data, err := s.Copy(messages, to)
	if err != nil || data == nil {
		return err
	}
	if err := w.WriteCopyData(data); err != nil { // RFC 6851 section 4.3: before EXPUNGE
		return err
	}
	deleted := &imap.StoreFlags{Op: imap.StoreFlagsAdd, Silent: true, Flags: []imap.Flag{imap.FlagDeleted}}
	if err := s.Store(nil, data.SourceUIDs, deleted, &imap.StoreOptions{}); err != nil {
		return err
	}
	return s.Expunge(nil, &data.SourceUIDs)
}

// List is like List of imapmemserver, which would write its own UIDVALIDITY (RFC 5819).
func (s *imapAccountSession) List(w *imapserver.ListWriter, ref string, patterns []string, options *imap.ListOptions) error {
	if len(patterns) == 0 { // the client requests the delimiter
		return s.UserSession.List(w, ref, patterns, options)
	}
	a := s.account
	a.mu.Lock()
	subscribed, uses := maps.Clone(a.subscribed), maps.Clone(a.uses)
	a.mu.Unlock()
	for _, name := range slices.Sorted(maps.Keys(subscribed)) {
		use, isSpecial := uses[name]
		if options.SelectSpecialUse && !isSpecial || options.SelectSubscribed && !subscribed[name] {
			continue
		}
		if !slices.ContainsFunc(patterns, func(p string) bool { return imapserver.MatchList(name, imapDelimiter, ref, p) }) {
			continue
		}
		data := &imap.ListData{Mailbox: name, Delim: imapDelimiter}
		if subscribed[name] {
			data.Attrs = []imap.MailboxAttr{imap.MailboxAttrSubscribed}
		}
		// Report special uses in every LIST (RFC 6154 section 2), but not in LSUB.
		if isSpecial && (!options.SelectSubscribed || options.ReturnSpecialUse || options.SelectSpecialUse) {
			data.Attrs = append(data.Attrs, use)
		}
		if options.ReturnStatus != nil {
			status, err := s.Status(name, options.ReturnStatus)
			if err != nil {
				continue // deleted in the meantime
			}
			data.Status = status
		}
		if err := w.WriteList(data); err != nil {
			return err
		}
	}
	return nil
}

// errUse is returned for CREATE-SPECIAL-USE, which is not supported.
var errUse = &imap.Error{Type: imap.StatusResponseTypeNo, Code: "USEATTR", Text: "A new mailbox cannot have a special use"} // RFC 6154 section 3

func (s *imapAccountSession) Create(mailbox string, options *imap.CreateOptions) error {
	if options != nil && len(options.SpecialUse) > 0 {
		return errUse
	}
	a := s.account
	a.mu.Lock()
	defer a.mu.Unlock()
	if err := a.create(mailbox); err != nil {
		return err
	}
	a.secure(a.created)
	return nil
}

func (s *imapAccountSession) Delete(mailbox string) error {
	a := s.account
	a.mu.Lock()
	defer a.mu.Unlock()
	number, err := a.number(mailbox)
	if err != nil {
		return err
	}
	if err := a.User.Delete(mailbox); err != nil {
		return err
	}
	delete(a.renamed, number)
	delete(a.subscribed, mailbox)
	delete(a.uses, mailbox)
	return nil
}

// Rename changes the UIDVALIDITY of the mailbox, because a mailbox with the new name may have had a
// larger one before.
func (s *imapAccountSession) Rename(mailbox, to string, options *imap.RenameOptions) error {
	a := s.account
	a.mu.Lock()
	defer a.mu.Unlock()
	number, err := a.number(mailbox)
	if err != nil {
		return err
	}
	if err := a.User.Rename(mailbox, to, options); err != nil {
		return err
	}
	a.subscribed[trimMailbox(to)] = a.subscribed[mailbox]
	delete(a.subscribed, mailbox)
	if use, ok := a.uses[mailbox]; ok {
		a.uses[trimMailbox(to)] = use
		delete(a.uses, mailbox)
	}
	if err := a.skipNumber(); err != nil {
		return err
	}
	a.renamed[number] = a.created
	a.secure(a.created)
	return nil
}

// skipNumber uses up a number, so that no mailbox gets it. a.mu is held.
func (a *imapAccount) skipNumber() error {
	const unused = "\x00" // a command cannot contain this name
	if err := a.create(unused); err != nil {
		return err
	}
	delete(a.subscribed, unused)
	return a.User.Delete(unused)
}

func (s *imapAccountSession) Subscribe(mailbox string) error   { return s.subscribe(mailbox, true) }
func (s *imapAccountSession) Unsubscribe(mailbox string) error { return s.subscribe(mailbox, false) }

func (s *imapAccountSession) subscribe(mailbox string, subscribed bool) error {
	a := s.account
	a.mu.Lock()
	defer a.mu.Unlock()
	if _, ok := a.subscribed[mailbox]; !ok {
		return &imap.Error{Type: imap.StatusResponseTypeNo, Code: imap.ResponseCodeNonExistent, Text: "No such mailbox"}
	}
	a.subscribed[mailbox] = subscribed
	return nil
}
