// Copy this file: files are checked completely before they replace the values in use, and an invalid
// file changes nothing. Change the settings.

package main

import (
	"context"
	"crypto/tls"
)

// reload reads the list of trusted proxies and the certificate again, after SIGHUP. Open connections
// are not affected. The list applies to new connections, and behind HTTP proxies to new requests.
// The certificate applies to new handshakes. ctx ends the look-ups.
func (f *frontend) reload(ctx context.Context) {
	hasFile := f.cfg.certFile.Text != ""
	for _, l := range f.cfg.trusted.lists {
		if l.isFile {
			hasFile = true
			f.reloadTrusted(ctx, l)
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
	if !hasFile {
		f.log.Info("reload: no setting names a file")
	}
}

func expiry(cert *tls.Certificate) string {
	if cert.Leaf == nil {
		return "unknown"
	}
	return cert.Leaf.NotAfter.UTC().Format("2006-01-02")
}
