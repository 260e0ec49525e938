package main

import (
	"errors"
	"net"
	"strings"
	"testing"

	"github.com/emersion/go-smtp"
	"github.com/stretchr/testify/require"
)

// A writeLog is a connection that records each Write, of which it takes at most room bytes.
type writeLog struct {
	net.Conn
	writes []string
	room   int
}

func (c *writeLog) Write(b []byte) (int, error) {
	c.writes = append(c.writes, string(b))
	if len(b) > c.room {
		return c.room, errors.New("no room")
	}
	return len(b), nil
}

func TestSMTPReplyIsWrittenAtOnce(t *testing.T) {
	for _, tc := range []struct {
		name   string
		writes []string
		want   []string
	}{
		{name: "one line", writes: []string{"220 mail.example.com\r\n", "250 OK\r\n"}, want: []string{"220 mail.example.com\r\n", "250 OK\r\n"}},
		{name: "several lines", writes: []string{"250-a\r\n", "250-b\r\n", "250 c\r\n", "221 bye\r\n"}, want: []string{"250-a\r\n250-b\r\n250 c\r\n", "221 bye\r\n"}},
		{name: "a TLS record", writes: []string{"\x16\x03\x01-\r\n"}, want: []string{"\x16\x03\x01-\r\n"}},
		{name: "no code", writes: []string{"25x-a\r\n", "2x0-a\r\n", "x50-a\r\n"}, want: []string{"25x-a\r\n", "2x0-a\r\n", "x50-a\r\n"}},
		{name: "a line in two parts", writes: []string{"250 client.", "250-example\r\n"}, want: []string{"250 client.", "250-example\r\n"}},
		{name: "a first line in two parts", writes: []string{"250-client.", "250-example\r\n", "250-b\r\n", "250 c\r\n"},
			want: []string{"250-client.", "250-example\r\n", "250-b\r\n250 c\r\n"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			below := &writeLog{room: 1000}
			c := &replyConn{Conn: below}
			for _, w := range tc.writes {
				n, err := c.Write([]byte(w))
				require.NoError(t, err)
				require.Equal(t, len(w), n)
			}
			require.Equal(t, tc.want, below.writes)
		})
	}
}

func TestSMTPReplyReportsFailedWrite(t *testing.T) {
	for _, tc := range []struct{ room, want int }{{room: 3, want: 0}, {room: 7, want: 0}, {room: 9, want: 2}} {
		c := &replyConn{Conn: &writeLog{room: tc.room}}
		_, err := c.Write([]byte("250-a\r\n"))
		require.NoError(t, err)
		n, err := c.Write([]byte("250 b\r\n"))
		require.EqualError(t, err, "no room")
		require.Equal(t, tc.want, n)
	}
}

// The bytes arrive in their order, in at most as many parts, and the last line of a reply is not
// held back.
func FuzzSMTPReplyIsComplete(f *testing.F) {
	f.Add("250-a\r\n|250-b\r\n|250 c\r\n")
	f.Add("250-long|\r\n|250-\r\n|250 c|\r|\n")
	f.Add("220 a\r\n|\x16\x03\x01|250-\r\n|535-\r\n|\n")
	f.Fuzz(func(t *testing.T, parts string) {
		below := &writeLog{room: len(parts) + 100}
		c := &replyConn{Conn: below}
		writes := append(strings.Split(parts, "|"), "\r\n", "250 end\r\n")
		for _, w := range writes {
			n, err := c.Write([]byte(w))
			require.NoError(t, err)
			require.Equal(t, len(w), n)
		}
		require.Equal(t, strings.Join(writes, ""), strings.Join(below.writes, ""))
		require.LessOrEqual(t, len(below.writes), len(writes))
	})
}

// A reportingConn reports each Write.
type reportingConn struct {
	net.Conn
	wrote chan<- string
}

func (c reportingConn) Write(b []byte) (int, error) {
	c.wrote <- string(b)
	return c.Conn.Write(b)
}

type reportingListener struct {
	net.Listener
	wrote chan<- string
}

func (l reportingListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	return reportingConn{c, l.wrote}, err
}

func TestAnswerToEHLOIsOneWrite(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	wrote := make(chan string, 10)
	below := make(chan net.Conn, 1)
	s := smtpServer{smtp.NewServer(smtp.BackendFunc(func(c *smtp.Conn) (smtp.Session, error) {
		below <- c.Conn().(interface{ NetConn() net.Conn }).NetConn()
		return nil, nil
	}))}
	defer s.Close()
	go s.Serve(reportingListener{l, wrote})
	c, err := smtp.Dial(l.Addr().String())
	require.NoError(t, err)
	defer c.Close()
	require.NoError(t, c.Hello("client.example"))
	require.IsType(t, reportingConn{}, <-below, "the facts of the client are found below")
	require.Equal(t, "220 ", (<-wrote)[:4])
	require.Regexp(t, "^250-Hello client.example\r\n(250-.*\r\n)+250 .*\r\n$", <-wrote)
}
