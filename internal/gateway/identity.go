package gateway

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"

	"github.com/google/uuid"

	"github.com/terraform-provider-palette/terraform-provider-palette/internal/hubapi"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/seal"
)

// Identity is all a gateway has of its own: who it is, and the key that opens what was sealed to it.
type Identity struct {
	ID string
	// Project is the one project the gateway works for; "" is any, as for the system gateway.
	Project string
	Key     *seal.Ring
}

// worksFor tells why the gateway does nothing for a project, if so.
func (id Identity) worksFor(project string) error {
	if id.Project == "" || id.Project == project {
		return nil
	}
	return hubapi.NewProblem(hubapi.CodeForbidden, "the gateway works for another project")
}

type identityFile struct {
	ID  string `json:"id"`
	Key []byte `json:"key"`
}

// LoadIdentity reads the identity kept in a file, or makes one there that only its owner can read.
func LoadIdentity(path string) (Identity, error) {
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return newIdentity(path)
	}
	if err != nil {
		return Identity{}, fmt.Errorf("reading the gateway's identity: %w", err)
	}
	var file identityFile
	if err := json.Unmarshal(text, &file); err != nil {
		return Identity{}, fmt.Errorf("reading the gateway's identity in %s: %w", path, err)
	}
	key, err := seal.ParsePrivateKey(file.Key)
	if err != nil {
		return Identity{}, fmt.Errorf("reading the gateway's identity in %s: %w", path, err)
	}
	return Identity{ID: file.ID, Key: seal.NewRing(key)}, nil
}

// newIdentity writes the file whole or not at all, so that a crash never leaves half an identity behind.
func newIdentity(path string) (Identity, error) {
	key, err := seal.NewPrivateKey()
	if err != nil {
		return Identity{}, err
	}
	b, err := key.Bytes()
	if err != nil {
		return Identity{}, err
	}
	id := Identity{ID: uuid.NewString(), Key: seal.NewRing(key)}
	text, err := json.Marshal(identityFile{ID: id.ID, Key: b})
	if err != nil {
		return Identity{}, fmt.Errorf("encoding the gateway's identity: %w", err)
	}
	if err := WriteWhole(path, text); err != nil {
		return Identity{}, fmt.Errorf("keeping the gateway's identity: %w", err)
	}
	return id, nil
}

// WriteWhole writes a file that only its owner can read, whole or not at all, whatever happens meanwhile.
func WriteWhole(path string, content []byte) (err error) {
	tmp, err := os.CreateTemp(filepath.Dir(path), ".identity-*") // made with mode 0600
	if err != nil {
		return fmt.Errorf("making a file beside it: %w", err)
	}
	defer func() {
		if err != nil {
			_ = os.Remove(tmp.Name())
		}
	}()
	if _, err = tmp.Write(content); err == nil {
		err = tmp.Sync()
	}
	if closeErr := tmp.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		return err
	}
	if err = os.Rename(tmp.Name(), path); err != nil {
		return fmt.Errorf("putting it in its place: %w", err)
	}
	return syncDirectory(filepath.Dir(path))
}

// syncDirectory makes a rename in it outlive a loss of power.
func syncDirectory(path string) error {
	if runtime.GOOS == "windows" {
		return nil // has no such thing
	}
	dir, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("opening its directory: %w", err)
	}
	defer func() { _ = dir.Close() }()
	if err := dir.Sync(); err != nil {
		return fmt.Errorf("writing its directory: %w", err)
	}
	return nil
}
