// Copy reportDelivery, which reports that a message reached a mailbox. Change the destination of
// the report. A server that relays mail passes the parameters on (RFC 3461 section 5.2.1).

package main

import (
	"crypto/rand"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/emersion/go-smtp"

	"github.com/seed-94e48765/portico/examples/mailfront/internal/msgauth"
)

// A recipient is a recipient whose delivery the sender has requested a report for (RFC 3461
// section 4.1).
type recipient struct {
	address      string
	original     string // decoded ORCPT; may be ""
	originalType smtp.DSNAddressType
}

// recipientsToReport returns the recipient if a report of its delivery was requested, and nil
// otherwise.
func recipientsToReport(to string, options *smtp.RcptOptions) []recipient {
	if !slices.Contains(options.Notify, smtp.DSNNotifySuccess) {
		return nil
	}
	return []recipient{{to, options.OriginalRecipient, options.OriginalRecipientType}}
}

// A report is a delivery status notification (RFC 3464) for a message that was delivered.
type report struct {
	server     string // host name of this server
	domain     string // domain of its postmaster
	to         string
	envelopeID string // decoded ENVID; may be ""
	utf8       bool   // whether the client used SMTPUTF8
	at         time.Time
	recipients []recipient
	header     []byte // header of the delivered message
}

// message returns the report in the format of a message.
func (r report) message() []byte {
	kind, headers, addressType := "message/delivery-status", "text/rfc822-headers", "rfc822"
	if r.utf8 { // RFC 6533
		kind, headers, addressType = "message/global-delivery-status", "message/global-headers", "utf-8"
	}
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\r\n", args...) }
	boundary := rand.Text()
	line("From: Mail delivery <postmaster@%s>", r.domain)
	line("To: <%s>", oneLine(r.to))
	line("Subject: Your message was delivered")
	line("Date: %s", r.at.Format(time.RFC1123Z))
	line("Message-ID: <%s@%s>", rand.Text(), r.server)
	line("Auto-Submitted: auto-replied") // RFC 3834 section 5
	line("MIME-Version: 1.0")
	line("Content-Type: multipart/report; report-type=delivery-status; boundary=%q", boundary)
	line("\r\n--%s\r\nContent-Type: text/plain; charset=utf-8\r\n", boundary)
	line("Your message was delivered to the mailbox of")
	for _, to := range r.recipients {
		line("    %s", oneLine(to.address))
	}
	line("\r\n--%s\r\nContent-Type: %s\r\n", boundary, kind)
	line("Reporting-MTA: dns; %s", r.server)
	if r.envelopeID != "" {
		line("Original-Envelope-Id: %s", r.envelopeID)
	}
	line("Arrival-Date: %s", r.at.Format(time.RFC1123Z))
	for _, to := range r.recipients {
		line("")
		if to.original != "" {
			line("Original-Recipient: %s; %s", strings.ToLower(string(to.originalType)), oneLine(to.original))
		}
		line("Final-Recipient: %s; %s", addressType, oneLine(to.address))
		line("Action: delivered")
		line("Status: 2.0.0")
	}
	line("\r\n--%s\r\nContent-Type: %s\r\n", boundary, headers)
	b.Write(r.header)
	line("\r\n--%s--", boundary)
	return []byte(b.String())
}

// oneLine replaces control characters, which could add header fields.
func oneLine(text string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return '?'
		}
		return r
	}, text)
}

// reportDelivery delivers the report that the sender of a message has requested. A message with
// an empty sender gets no report, because it is a report itself.
func (s *smtpSession) reportDelivery(data []byte) {
	if len(s.reported) == 0 || s.from == "" {
		return
	}
	header, _ := msgauth.SplitMessage(data)
	text := report{
		server: s.f.cfg.mailName(), domain: s.f.cfg.domains[0], to: s.from, envelopeID: s.envelopeID, utf8: s.utf8,
		at: time.Now(), recipients: s.reported, header: header,
	}.message()
	if slices.Contains(s.f.cfg.domains, msgauth.ASCIIDomain(s.from[strings.LastIndexByte(s.from, '@')+1:])) {
		if err := s.f.mail.deliver(text); err != nil {
			s.f.log.Warn("cannot deliver a delivery report", "reason", err.Error())
		}
		return
	}
	s.f.mail.relay(envelope{Time: time.Now(), To: []string{s.from}, Size: len(text)})
}
