// Put your mail store here. imapmemserver numbers UIDVALIDITY from 1 at every start, so that
// clients with a cache lose mail; an imapAccount replaces it in every answer that has it.

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

// imapDelimiter is that of imapmemserver.
const imapDelimiter = '/'

// firstMailboxes are those of a new account. imapmemserver numbers them from 1. Append to
// the list only.
var firstMailboxes = []string{"INBOX", "Sent", "Drafts", "Trash"}

// firstUses are the special uses of some of them (RFC 6154 section 2).
var firstUses = map[string]imap.MailboxAttr{"Sent": imap.MailboxAttrSent, "Drafts": imap.MailboxAttrDrafts, "Trash": imap.MailboxAttrTrash}

// An imapAccount is the mailboxes of a user, for any number of sessions.
type imapAccount struct {
	*imapmemserver.User
	log *slog.Logger // of what cannot be kept

	mu         sync.Mutex // held while mailboxes come and go
	validity   uidValidity
	created    uint32            // the last number that imapmemserver gave to a mailbox
	renamed    map[uint32]uint32 // the number that replaces it since a RENAME
	subscribed map[string]bool   // by the name of every mailbox
	uses       map[string]imap.MailboxAttr

	moving sync.Mutex // held by Move: two sessions must not move one message
	shown  sync.Once  // at the first login
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
		a.subscribed[mailbox] = true // a client may show subscribed mailboxes only
	}
	return a, nil
}

// create makes a mailbox. a.mu is held.
func (a *imapAccount) create(mailbox string) error {
	if err := a.User.Create(mailbox, nil); err != nil {
		return err
	}
	a.created++
	a.subscribed[trimMailbox(mailbox)] = false
	return nil
}

// trimMailbox is what imapmemserver does to the name of a new mailbox.
func trimMailbox(name string) string { return strings.TrimRight(name, string(imapDelimiter)) }

// keep makes values larger than those that the file remembers, and keeps them there from
// the first login on. Call it before that.
func (a *imapAccount) keep(path string, log *slog.Logger) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.log = log
	return a.validity.load(path)
}

// secure is called before a value up to that of number is shown. a.mu is held.
func (a *imapAccount) secure(number uint32) {
	if err := a.validity.secure(number); err != nil {
		a.log.Warn("cannot keep the UIDVALIDITY next to MAILFRONT_STATE: if the clock is set back before the next start, mail clients may lose mail",
			"path", a.validity.path, "reason", err.Error())
	}
}

// session returns what a client has after its login.
func (a *imapAccount) session() *imapAccountSession {
	a.shown.Do(func() {
		a.mu.Lock()
		defer a.mu.Unlock()
		number := a.created
		if a.validity.path == "" {
			number = 1 // enough: a mailbox of this list has the same number at the next start
		}
		a.secure(number)
	})
	return &imapAccountSession{imapmemserver.NewUserSession(a.User), a}
}

// outer replaces imapmemserver's number of a mailbox, unless it was not asked for.
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

// number returns imapmemserver's of a mailbox. a.mu is held.
func (a *imapAccount) number(mailbox string) (uint32, error) {
	data, err := a.User.Status(mailbox, &imap.StatusOptions{UIDValidity: true})
	if err != nil {
		return 0, err
	}
	return data.UIDValidity, nil
}

// An imapAccountSession is imapmemserver's, with another UIDVALIDITY.
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
		return nil, err // RFC 4315 section 3: no COPYUID without a UID
	}
	return data, nil
}

// Move copies, and removes what it has copied. The EXPUNGE answers come from the poll
// after every command.
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

// List is imapmemserver's, which would write its own UIDVALIDITY (RFC 5819).
func (s *imapAccountSession) List(w *imapserver.ListWriter, ref string, patterns []string, options *imap.ListOptions) error {
	if len(patterns) == 0 { // asks for the delimiter
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
		// Also for a LIST that does not ask for it (RFC 6154 section 2), and not for LSUB.
		if isSpecial && (!options.SelectSubscribed || options.ReturnSpecialUse || options.SelectSpecialUse) {
			data.Attrs = append(data.Attrs, use)
		}
		if options.ReturnStatus != nil {
			status, err := s.Status(name, options.ReturnStatus)
			if err != nil {
				continue // it was deleted meanwhile
			}
			data.Status = status
		}
		if err := w.WriteList(data); err != nil {
			return err
		}
	}
	return nil
}

// errUse is for CREATE-SPECIAL-USE, which is not offered.
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

// Rename gives the mailbox a new UIDVALIDITY, since the name may have belonged to a
// mailbox with a larger one.
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

// skipNumber keeps a number from every mailbox. a.mu is held.
func (a *imapAccount) skipNumber() error {
	const unused = "\x00" // not possible in a command
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
