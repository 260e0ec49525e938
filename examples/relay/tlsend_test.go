package main

import (
	"bytes"
	"crypto/tls"
	"io"
	"net"
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"
)

// A recorder keeps the bytes that are read from a connection.
type recorder struct {
	net.Conn
	read bytes.Buffer
}

func (r *recorder) Read(b []byte) (int, error) {
	n, err := r.Conn.Read(b)
	r.read.Write(b[:n])
	return n, err
}

// A TLS client must see that its stream is complete (RFC 8446 section 6.1). OpenSSL reports
// an error for an end without close_notify. In TLS 1.2 the record of an alert is recognizable.
func TestTLSThatEndsHereEndsWithACloseNotify(t *testing.T) {
	certFile, keyFile, config := certificate(t)
	config.MaxVersion = tls.VersionTLS12
	for _, clientFirst := range []bool{true, false} {
		b := startBackend(t)
		r, _ := startRelay(t, []string{b.address()}, "TLS_CERT="+certFile, "TLS_KEY="+keyFile)
		rec := &recorder{Conn: dialAsProxy(t, r, ofClient(1, nil))}
		client := tls.Client(rec, config)
		require.NoError(t, client.Handshake())
		server := b.accept()
		if clientFirst {
			require.NoError(t, client.CloseWrite())
			requireEOF(t, server)
			r.watch.cut(func(tr *traffic) error { // waits until that direction has ended
				for tr.open.Load() > 1 {
					runtime.Gosched()
				}
				return nil
			})
		}
		write(t, server, "221 bye\r\n")
		require.NoError(t, server.Close())
		got, err := io.ReadAll(client)
		require.NoError(t, err)
		require.Equal(t, "221 bye\r\n", string(got))
		var last byte
		for records := rec.read.Bytes(); len(records) > 0; {
			last = records[0]
			records = records[5+int(records[3])<<8+int(records[4]):]
		}
		require.EqualValues(t, 21, last, "the last record is an alert; the client was first: %t", clientFirst)
		require.NoError(t, client.Close())
	}
}
