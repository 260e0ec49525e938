package main

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestStoredLinesEndInCRLF(t *testing.T) {
	for _, test := range []struct{ name, text, want string }{
		{name: "CRLF", text: "a: b\r\n\r\nc\r\n", want: "a: b\r\n\r\nc\r\n"},
		{name: "bare line feeds, and no end", text: "a: b\n\nc\nd", want: "a: b\r\n\r\nc\r\nd\r\n"},
		{name: "both", text: "a: b\r\n\nc\r\n", want: "a: b\r\n\r\nc\r\n"},
		{name: "nothing", text: "", want: ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			m := newMailbox(testAccount, testPassword)
			require.NoError(t, m.deliver([]byte(test.text)))
			require.Equal(t, test.want, string(m.messages()[0].Data))
		})
	}
}

func TestPOP3DeletesByUID(t *testing.T) {
	m := newMailbox(testAccount, testPassword)
	m.start = "START"
	for _, text := range []string{"one", "two", "three"} {
		require.NoError(t, m.deliver([]byte(text)))
	}
	before := m.size
	mail := pop3Mailbox{m}
	require.NoError(t, mail.Delete(testAccount, []string{"START.2", "START.99"}))
	require.NoError(t, mail.Delete(testAccount, []string{"START.2"}))
	left, err := mail.Messages(testAccount)
	require.NoError(t, err)
	require.Len(t, left, 2)
	require.Equal(t, []string{"START.1", "START.3"}, []string{left[0].UID, left[1].UID})
	require.Equal(t, before-len("two\r\n"), m.size)
	require.NoError(t, m.deliver([]byte("four")))
	require.Equal(t, "START.4", m.messages()[2].UID, "a UID is never used again")
}
