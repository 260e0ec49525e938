package proxyproto_test

import "time"

// The client and the server of FuzzForward.

// send sends the stream as the script says.
func (s *forwardScript) send() {
	for _, b := range s.steps {
		arg := int(b >> 3)
		ok := true
		switch b & 7 {
		case 0:
			ok = s.write(1 + arg)
		case 1:
			ok = s.write(1 + arg*37)
		case 2:
			ok = s.write(8 << 10 * (arg%4 + 1))
		case 3:
			ok = s.write((arg + 1) * 10 << 10)
		case 4:
			for i := 0; ok && i <= arg; i++ {
				ok = s.write(1)
			}
		case 5:
			s.awaitReceived()
		case 6:
			s.end()
			return
		case 7:
			if s.reset = arg%2 == 0; s.reset {
				abort(s.client)
			} else {
				s.stopped = true
				s.src.Close()
				s.dst.Close()
			}
			return
		}
		if !ok {
			return // Forward has ended
		}
	}
	s.end()
}

func (s *forwardScript) write(n int) bool {
	n, err := s.client.Write(s.stream[s.sent:min(len(s.stream), s.sent+n)])
	s.sent += n
	return err == nil
}

// awaitReceived waits until the server has received what was sent. Bytes that may become a
// header under Ignore do not arrive before the header ends.
func (s *forwardScript) awaitReceived() {
	if s.source == "ignored" && s.received.Load() == 0 {
		return
	}
	for s.received.Load() < int64(s.sent) {
		select {
		case <-s.more:
		case <-s.unread:
			return
		case <-s.returned:
			return
		case <-time.After(10 * time.Second):
			s.t.Errorf("%d of %d bytes arrived", s.received.Load(), s.sent)
			return
		}
	}
}

func (s *forwardScript) end() {
	if c, ok := s.client.(interface{ CloseWrite() error }); ok {
		c.CloseWrite()
	} else {
		s.client.Close()
	}
}

// receive reads what the server receives, and compares it with the stream.
func (s *forwardScript) receive() {
	b := make([]byte, 32<<10)
	for {
		n, err := s.server.Read(b)
		at := int(s.received.Load())
		if at+n > len(s.stream) || string(s.stream[at:at+n]) != string(b[:n]) {
			s.t.Errorf("wrong bytes after %d", at)
		}
		s.received.Add(int64(n))
		select {
		case s.more <- struct{}{}:
		default:
		}
		if err != nil {
			return
		}
		if s.received.Load() >= s.limit {
			switch s.destination {
			case "closes early":
				abort(s.server)
				return
			case "expires":
				s.dst.SetWriteDeadline(time.Unix(1, 0))
			}
		}
	}
}
