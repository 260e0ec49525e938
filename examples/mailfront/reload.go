// What to copy: the whole file: what is read again is checked whole before it
// counts, and a file that is bad leaves what there was in force. What to change:
// the settings.

package main

import (
	"crypto/tls"
	"errors"
	"os"

	"github.com/seed-94e48765/portico/examples/internal/settings"
	"github.com/seed-94e48765/portico/trustnet"
)

// reload reads the list of trusted proxies and the certificate again, after SIGHUP.
// Connections stay: the list is asked about the next ones, and about the next
// request where the proxy speaks HTTP; the certificate is for the next handshakes.
func (f *frontend) reload() {
	if file := f.cfg.trustedFile; file.Text != "" {
		set, err := readTrustedFile(file)
		if err == nil {
			f.cfg.trusted.Store(set)
			f.log.Info("reload", "setting", file.From, "file", file.Text, "networks", len(set.Prefixes()))
		} else {
			f.log.Error("reload failed, the old list stays in force", "setting", file.From, "reason", err.Error())
		}
	}
	if file := f.cfg.certFile; file.Text != "" {
		cert, err := loadCertificate(f.cfg, f.cfg.base)
		if err == nil {
			f.certificate.Store(cert)
			f.log.Info("reload", "setting", file.From, "file", file.Text, "expires", expiry(cert))
		} else {
			f.log.Error("reload failed, the old certificate stays in force", "setting", file.From, "reason", err.Error())
		}
	}
	if f.cfg.trustedFile.Text == "" && f.cfg.certFile.Text == "" {
		f.log.Info("reload: no setting names a file")
	}
}

func expiry(cert *tls.Certificate) string {
	if cert.Leaf == nil {
		return "unknown"
	}
	return cert.Leaf.NotAfter.UTC().Format("2006-01-02")
}

// readTrustedFile returns a set that trusts somebody, and not everybody.
func readTrustedFile(file settings.Value) (*trustnet.Set, error) {
	// A pipe could block here for ever, and with it the end of the program.
	if info, err := os.Stat(file.Text); err == nil && info.Mode()&(os.ModeNamedPipe|os.ModeSocket) != 0 {
		return nil, file.Errorf("it is a pipe or socket: give a file")
	}
	f, err := os.Open(file.Text)
	if err != nil {
		return nil, file.Errorf("%w", err)
	}
	defer f.Close()
	set, err := trustnet.Read(f)
	if err == nil {
		err = checkTrusted(set)
	}
	if err != nil {
		return nil, file.Errorf("%w", err)
	}
	return set, nil
}

// checkTrusted is for a list that is there.
func checkTrusted(set *trustnet.Set) error {
	if set.IsEmpty() {
		return errors.New("it lists nobody: unset it if nobody is to be trusted")
	}
	// proxyproto would trust nobody then, and count it. Better to say so at once.
	if set.TrustsAll() {
		return errors.New("it covers all of IPv4 or all of IPv6, so that whoever connects could name any client: list the proxies only")
	}
	return nil
}
