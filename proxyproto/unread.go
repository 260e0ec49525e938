package proxyproto

import (
	"net"
	"time"
)

// readUnread is for Close. A direct client may have sent a header that the server did
// not read, because only the server sends data on the connection (an FTP download).
// readUnread reports or drops such a header as Read does. An unread header would make the
// kernel reset the connection, and the client could lose data.
//
// It reads only what has arrived and does not wait for more, and it leaves the rest to
// a Read that is under way. It returns true if the header made it close the connection.
func (l *lead) readUnread(c *Conn) (closed bool) {
	if !l.mu.TryLock() {
		return false
	}
	defer l.mu.Unlock()
	if c.lead.Load() != l || l.refused {
		return false
	}
	h := l.held
	switch {
	case h == nil || h.state == matching:
		if has, _ := hasData(c.conn); !has {
			return false
		}
		c.conn.SetReadDeadline(time.Now().Add(lastLook))
	case h.ignoring && h.state == collecting:
		if has, _ := hasData(c.conn); !has {
			return false
		}
		h.deadline.setApp(c.conn, time.Now().Add(lastLook))
	default: // data of the application
		return false
	}
	l.readLocked(c, make([]byte, firstRead))
	return l.refused || h != nil && h.state == failed
}

// hasData is peek for a caller that does not need the error.
func hasData(c net.Conn) (has, known bool) {
	has, known, _ = peek(c)
	return has, known
}
