// Copy save: after a power failure the file is complete, with the old or the new contents. Change the
// contents.

package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/crypto/bcrypt"

	"github.com/seed-94e48765/portico/examples/internal/settings"
)

// A state is the result of the set-up. The hash of the password is its only secret.
type state struct {
	PublicURL    string `json:"public_url"`
	PasswordHash string `json:"admin_password_hash"` // bcrypt hash of the administrator's password

	// The fields below are set with a shared store only.
	ID       string `json:"id,omitempty"`       // random; identifies the first set-up
	Revision int    `json:"revision,omitempty"` // number of changes since the first set-up
	Under    string `json:"under,omitempty"`    // decoded path at which the administrator set the public URL
}

// A stateFile keeps a state. Without a path the state is lost when the process ends.
type stateFile struct{ path string }

// load returns the zero state if the file does not exist.
func (f stateFile) load() (s state, err error) {
	if f.path == "" {
		return s, nil
	}
	b, err := os.ReadFile(f.path)
	if errors.Is(err, fs.ErrNotExist) {
		// Report this at the start, not when the set-up page saves the state.
		info, err := os.Stat(filepath.Dir(f.path))
		if err == nil && !info.IsDir() {
			err = fmt.Errorf("%q is not a directory", filepath.Dir(f.path))
		}
		return s, err
	}
	if err != nil {
		return s, err
	}
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(&s); err != nil {
		return state{}, fmt.Errorf("it is damaged: restore it, or remove it and set mailfront up again: %w", err)
	}
	const fix = "restore it, or remove it and set mailfront up again"
	if err := d.Decode(new(any)); err != io.EOF {
		return state{}, errors.New("it is damaged: there is something behind the object: " + fix)
	}
	if s.PublicURL == "" {
		return state{}, errors.New("it is damaged: it has no public_url: " + fix)
	}
	if _, err := bcrypt.Cost([]byte(s.PasswordHash)); s.PasswordHash != "" && (err != nil || len(s.PasswordHash) != 60) {
		return state{}, errors.New("it is damaged: admin_password_hash is not a hash of bcrypt: " + fix)
	}
	return s, nil
}

// save replaces the file. Only the owner can read it.
func (f stateFile) save(s state) error {
	if f.path == "" {
		return nil
	}
	b, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return fmt.Errorf("mailfront: the state: %w", err)
	}
	if err := writeAtomically(f.path, append(b, '\n')); err != nil {
		return fmt.Errorf("mailfront: cannot keep the state: %w", err)
	}
	return nil
}

// saveAside renames the file if it has a set-up other than that of s.
func (f stateFile) saveAside(s state) error {
	kept, err := f.load()
	if err != nil || kept.PublicURL == "" || kept.ID == s.ID {
		return err
	}
	if kept.ID == "" && kept.PublicURL == s.PublicURL && kept.PasswordHash == s.PasswordHash {
		return nil // this node has written it to the store
	}
	return os.Rename(f.path, f.path+".old")
}

// writeAtomically writes a temporary file next to path, with mode 0600, and renames it to path after
// its contents are on the disk.
func writeAtomically(path string, b []byte) (err error) {
	dir := filepath.Dir(path)
	t, err := os.CreateTemp(dir, "."+filepath.Base(path)+".*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			t.Close()
			os.Remove(t.Name())
		}
	}()
	if _, err = t.Write(b); err != nil {
		return err
	}
	if err = t.Sync(); err != nil {
		return err
	}
	if err = t.Close(); err != nil {
		return err
	}
	if err = os.Rename(t.Name(), path); err != nil {
		return err
	}
	// Synchronize the directory, so that the name is on the disk, too. Some systems do not support it.
	// The file is complete in any case.
	if d, err := os.Open(dir); err == nil {
		_ = d.Sync()
		d.Close()
	}
	return nil
}

// readState loads the state for parseConfig.
func (cfg *config) readState(values *settings.Values) (err error) {
	s := values.Get("STATE")
	cfg.stateFile = stateFile{s.Text}
	if cfg.state, err = cfg.stateFile.load(); err != nil {
		return s.Errorf("%w", err)
	}
	return nil
}
