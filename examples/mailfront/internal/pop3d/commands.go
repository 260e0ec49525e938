package pop3d

import (
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// end handles QUIT. After a login it enters the UPDATE state (RFC 1939 section 6).
func (p *session) end() {
	p.quit = true
	if len(p.deleted) > 0 {
		if err := p.server.Mail.Delete(p.user, slices.Sorted(maps.Keys(p.deleted))); err != nil {
			p.mailboxError(err)
			return
		}
	}
	p.ok("bye")
}

// mailboxError logs and answers an error of the Mailbox.
func (p *session) mailboxError(err error) {
	p.login.Client.Warn(p.server.Log, "mailbox_error", slog.String("reason", err.Error()))
	p.err("[SYS/TEMP] the mailbox is not available: try later") // RFC 3206
}

func (p *session) transaction(command, arg string) {
	switch command {
	case "STAT":
		n, size := 0, 0
		for _, m := range p.messages {
			if !p.deleted[m.UID] {
				n, size = n+1, size+len(m.Data)
			}
		}
		p.ok("%d %d", n, size)
	case "LIST":
		p.list(arg, func(m Message) string { return strconv.Itoa(len(m.Data)) })
	case "UIDL":
		p.list(arg, func(m Message) string { return m.UID })
	case "RETR":
		if m := p.message(arg); m != nil {
			p.ok("%d octets", len(m.Data))
			p.multi(string(m.Data))
		}
	case "TOP":
		number, lines, _ := strings.Cut(arg, " ")
		n, err := strconv.ParseUint(lines, 10, 31)
		if err != nil {
			p.err("use TOP and two numbers: message, lines")
		} else if m := p.message(number); m != nil {
			p.ok("the top")
			p.multi(top(string(m.Data), int(n)))
		}
	case "DELE":
		if m := p.message(arg); m != nil {
			p.deleted[m.UID] = true
			p.ok("deleted at QUIT")
		}
	case "RSET":
		clear(p.deleted)
		p.ok("nothing is deleted")
	default:
		p.err("no such command: see CAPA")
	}
}

// message returns the message with the number arg. Without such a message it answers with an error.
func (p *session) message(arg string) *Message {
	n, err := strconv.ParseUint(arg, 10, 31)
	if err != nil || n < 1 || n > uint64(len(p.messages)) || p.deleted[p.messages[n-1].UID] {
		p.err("no such message")
		return nil
	}
	return &p.messages[n-1]
}

func (p *session) list(arg string, what func(Message) string) {
	if arg != "" {
		if m := p.message(arg); m != nil {
			p.ok("%s %s", arg, what(*m))
		}
		return
	}
	p.ok("the list")
	var b strings.Builder
	for i, m := range p.messages {
		if !p.deleted[m.UID] {
			fmt.Fprintf(&b, "%d %s\n", i+1, what(m))
		}
	}
	p.multi(b.String())
}

// top returns the header of a message and n lines of its body.
func top(text string, n int) string {
	header, body, found := strings.Cut(text, "\r\n\r\n")
	if !found {
		return text
	}
	rest := body
	for ; n > 0 && rest != ""; n-- {
		_, rest, _ = strings.Cut(rest, "\n")
	}
	return header + "\r\n\r\n" + body[:len(body)-len(rest)]
}
