// What to copy: the cases of an error, which decide between the client, the backend, the relay's
// own limits and its shutdown. What to change: the names of the settings.

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"syscall"

	"github.com/seed-94e48765/portico/proxyproto"
)

// The reasons for which the relay itself ends a session.
var (
	errIdle     = errors.New("no data for the time in RELAY_IDLE_TIMEOUT")
	errStuck    = errors.New("the other side took no data for the time in RELAY_IDLE_TIMEOUT")
	errShutdown = errors.New("cut at shutdown, when the time in RELAY_GRACE had passed")
	errNoRoom   = fmt.Errorf("%w: it waited for room, which RELAY_MAX_SESSIONS limits", errShutdown)
)

// turnAway logs why a client gets no session. The level is that of other clients.
func (s *session) turnAway(level slog.Level, message string, err error) {
	if errors.Is(err, errShutdown) {
		level, message = s.level(), "client turned away"
	}
	s.log(level, message, slog.String("reason", err.Error()))
}

// noTLS logs why the handshake of a client failed.
func (s *session) noTLS(err error) {
	switch {
	case errors.Is(err, context.Canceled):
		err = errShutdown
	case isTimeout(err):
		err = fmt.Errorf("the client did not end its handshake in %v (RELAY_DIAL_TIMEOUT): %w", s.relay.cfg.dialTimeout, err)
	}
	s.turnAway(slog.LevelDebug, "no TLS handshake", err)
}

// notDialed logs why a client's stream ended before the backend was dialed.
func (s *session) notDialed(err error) {
	message := "client left"
	if errors.Is(err, proxyproto.ErrUntrustedHeader) {
		message = "client turned away"
	}
	s.turnAway(slog.LevelDebug, message, err)
}

// noBackend logs why there is no connection to the backend.
func (s *session) noBackend(err error) {
	message := "backend does not answer, client turned away"
	switch {
	case errors.Is(err, context.Canceled):
		err = errShutdown
	case isTimeout(err):
		err = fmt.Errorf("no connection in %v (RELAY_DIAL_TIMEOUT): %w", s.relay.cfg.dialTimeout, err)
	case errors.Is(err, syscall.EMFILE), errors.Is(err, syscall.ENFILE):
		message = "cannot dial the backend, client turned away"
		err = fmt.Errorf("%w: raise the limit of open files (ulimit -n), or lower RELAY_MAX_SESSIONS to a sixth of it", err)
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		message = "cannot dial the backend, client turned away"
		err = fmt.Errorf("%w: all local ports may be in use (net.ipv4.ip_local_port_range)", err)
	}
	s.turnAway(slog.LevelWarn, message, err)
}

// reason returns the reason for the end of a session.
func (s *session) reason(err error) string {
	switch {
	case errors.Is(err, io.ErrUnexpectedEOF) && s.state != nil:
		return "the client's connection ended within a TLS record"
	case s.from.Load() == &s.down && s.down.bytes == 0 && !isOwn(err):
		why := "it closed"
		if err != nil {
			why = err.Error()
		}
		return "the backend ended the session without an answer (see whether it expects a PROXY header, RELAY_SEND, from the relay's address): " + why
	case err != nil:
		return err.Error()
	}
	return "both sides closed"
}

// isOwn reports whether the relay itself ended the session.
func isOwn(err error) bool {
	return errors.Is(err, errIdle) || errors.Is(err, errStuck) || errors.Is(err, errShutdown)
}

func isTimeout(err error) bool {
	return errors.Is(err, context.DeadlineExceeded) || errors.Is(err, os.ErrDeadlineExceeded)
}
