package testkit

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
)

// Access says how to reach a VCenter of another process.
type Access struct {
	URL      string `json:"url"`
	Username string `json:"username"`
	Password string `json:"password"`
	// CAFile is the path of the CA's PEM.
	CAFile     string `json:"ca_file"`
	Thumbprint string `json:"thumbprint"`
}

// Announce writes an Access as JSON to a file, and the CA beside it. The file is complete as soon as it is there.
func (vc *VCenter) Announce(file string) error {
	file, err := filepath.Abs(file)
	if err != nil {
		return fmt.Errorf("finding %s: %w", file, err)
	}
	access := Access{
		URL: vc.URL(), Username: Username, Password: Password, CAFile: file + ".ca.pem", Thumbprint: vc.Thumbprint(),
	}
	data, err := json.MarshalIndent(access, "", "  ")
	if err != nil {
		return fmt.Errorf("encoding: %w", err)
	}
	if err := os.WriteFile(access.CAFile, []byte(vc.CACertificate()), 0o600); err != nil {
		return fmt.Errorf("writing the CA: %w", err)
	}
	draft := file + ".new"
	if err := os.WriteFile(draft, append(data, '\n'), 0o600); err != nil {
		return fmt.Errorf("writing %s: %w", draft, err)
	}
	if err := os.Rename(draft, file); err != nil {
		return fmt.Errorf("publishing %s: %w", file, err)
	}
	return nil
}
