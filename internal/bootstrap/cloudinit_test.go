package bootstrap_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/terraform-provider-palette/terraform-provider-palette/internal/bootstrap"
)

// TestCloudInitSchema lets cloud-init judge the user data of each kind of machine, where it is installed.
func TestCloudInitSchema(t *testing.T) {
	cloudInit, err := exec.LookPath("cloud-init")
	if err != nil {
		t.Skip("cloud-init is not on PATH: user data is checked against its documented shape only")
	}
	if testing.Short() {
		t.Skip("cloud-init takes half a second for each of the kinds")
	}
	kinds(t, func(t *testing.T, m bootstrap.Machine) {
		t.Parallel() // cloud-init is slow to start
		path := filepath.Join(t.TempDir(), "userdata.yaml")
		if err := os.WriteFile(path, decode(t, m).userText, 0o600); err != nil {
			t.Fatal(err)
		}
		out, err := exec.CommandContext(t.Context(), cloudInit, "schema", "--config-file", path).CombinedOutput()
		if err != nil {
			t.Errorf("%v: %s", err, out)
		}
	})
}
