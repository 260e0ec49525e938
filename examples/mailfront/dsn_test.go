package main

import (
	"bytes"
	"io"
	"mime"
	"mime/multipart"
	"net/mail"
	"testing"

	"github.com/stretchr/testify/require"
)

// partsOf returns the type and text of the parts of a report.
func partsOf(t *testing.T, message []byte) (parts [][2]string) {
	t.Helper()
	m, err := mail.ReadMessage(bytes.NewReader(message))
	require.NoError(t, err)
	require.Equal(t, "auto-replied", m.Header.Get("Auto-Submitted"))
	kind, parameters, err := mime.ParseMediaType(m.Header.Get("Content-Type"))
	require.NoError(t, err)
	require.Equal(t, []string{"multipart/report", "delivery-status"}, []string{kind, parameters["report-type"]})
	for r := multipart.NewReader(m.Body, parameters["boundary"]); ; {
		p, err := r.NextPart()
		if err == io.EOF {
			return parts
		}
		require.NoError(t, err)
		b, err := io.ReadAll(p)
		require.NoError(t, err)
		parts = append(parts, [2]string{p.Header.Get("Content-Type"), string(b)})
	}
}

func TestDeliveryReport(t *testing.T) {
	f := startWith(t, nil, nil)
	s := ehlo(t, onTLS(t, f.proxiedBy(proxyIP, "submissions", header(nil))))
	require.Regexp(t, "^235 ", logins["smtp"](s))
	send := func(from string, recipients ...string) {
		require.Regexp(t, "^250 ", s.smtp("MAIL FROM:%s", from))
		for _, to := range recipients {
			require.Regexp(t, "^250 ", s.smtp("RCPT TO:%s", to))
		}
		require.Regexp(t, "^354 ", s.smtp("DATA"))
		require.Regexp(t, "^250 ", s.smtp("Subject: hello\r\n\r\nthe text\r\n."))
	}
	send("<ann@example.test> RET=HDRS ENVID=id+2B1",
		"<a@example.test> NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;old+2Ba@example.test", "<b@example.test> NOTIFY=NEVER", "<c@example.test>")
	require.Len(t, f.mail.messages(), 2)
	parts := partsOf(t, f.mail.messages()[1].Data)
	require.Len(t, parts, 3)
	require.Equal(t, "message/delivery-status", parts[1][0])
	require.Regexp(t, `^Reporting-MTA: dns; example.test\r\nOriginal-Envelope-Id: id\+1\r\nArrival-Date: [^\r]+\r\n\r\n`+
		`Original-Recipient: rfc822; old\+a@example.test\r\nFinal-Recipient: rfc822; a@example.test\r\nAction: delivered\r\nStatus: 2.0.0\r\n$`, parts[1][1])
	require.Equal(t, "text/rfc822-headers", parts[2][0])
	require.Contains(t, parts[2][1], "Subject: hello\r\n")
	require.NotContains(t, parts[2][1], "the text")

	send("<ann@example.test>", "<a@example.test>")
	require.Len(t, f.mail.messages(), 3, "without NOTIFY there is no report of a success")
	send("<>", "<a@example.test> NOTIFY=SUCCESS")
	require.Len(t, f.mail.messages(), 4, "nor for a message that may be a report")

	send("<jörg@example.test> SMTPUTF8", "<ä@example.test> NOTIFY=SUCCESS")
	parts = partsOf(t, f.mail.messages()[5].Data)
	require.Equal(t, "message/global-delivery-status", parts[1][0])
	require.Contains(t, parts[1][1], "Final-Recipient: utf-8; ä@example.test\r\n")

	send("<ann@elsewhere.test>", "<a@example.test> NOTIFY=SUCCESS")
	require.Len(t, f.mail.messages(), 7)
	require.Equal(t, []string{"ann@elsewhere.test"}, f.mail.sent[0].To)
	require.Empty(t, f.mail.sent[0].From, "a report has no sender")
}

// Incoming mail may have a forged sender.
func TestDSNRequiresLogin(t *testing.T) {
	f := startWith(t, nil, nil)
	s := newScript(t, f.proxiedBy(proxyIP, "smtp", header(nil)))
	s.until("220 ")
	require.NotContains(t, s.smtp("EHLO client.example"), "DSN")
	require.Regexp(t, "^250 ", s.smtp("MAIL FROM:<a@elsewhere.test>"))
	require.Regexp(t, "^504 ", s.smtp("RCPT TO:<a@example.test> NOTIFY=SUCCESS"))
}
