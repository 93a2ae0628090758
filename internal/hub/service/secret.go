package service

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

const secretSize = 32

// loadSecret reads the secret, and makes it if the file is missing.
func loadSecret(file string) ([]byte, error) {
	secret, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		secret = make([]byte, secretSize)
		_, _ = rand.Read(secret) // never fails
		if err := writeNew(file, secret); err != nil {
			return nil, fmt.Errorf("making the secret file: %w", err)
		}
		// Another process may have been first.
		secret, err = os.ReadFile(file)
	}
	if err != nil {
		return nil, fmt.Errorf("reading the secret file: %w", err)
	}
	if len(secret) != secretSize {
		return nil, fmt.Errorf("the secret file %s has %d bytes, not %d", file, len(secret), secretSize)
	}
	info, err := os.Stat(file)
	if err != nil {
		return nil, fmt.Errorf("reading the secret file: %w", err)
	}
	if info.Mode().Perm()&0o007 != 0 {
		return nil, fmt.Errorf("the secret file %s can be read by everybody: chmod 600", file)
	}
	return secret, nil
}

// writeNew makes a file that only the owner can read, whole or not at all; one that is there stays.
func writeNew(file string, body []byte) (err error) {
	temp, err := os.CreateTemp(filepath.Dir(file), ".new-*")
	if err != nil {
		return err //nolint:wrapcheck // The caller says what it was for.
	}
	defer func() { err = errors.Join(err, os.Remove(temp.Name())) }()
	_, err = temp.Write(body)
	if err = errors.Join(err, temp.Sync(), temp.Close()); err != nil {
		return err
	}
	if err := os.Link(temp.Name(), file); err != nil && !errors.Is(err, fs.ErrExist) {
		return err //nolint:wrapcheck // The caller says what it was for.
	}
	return nil
}
