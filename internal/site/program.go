package site

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// programName is what Terraform expects a provider's binary to be called.
const programName = "terraform-provider-palette"

// program is built once for all tests of a process.
var program struct {
	once sync.Once
	path string
	err  error
}

// Binary builds the program that all roles run and returns its path. Remove it with Clean when the tests are done.
func Binary(tb testing.TB) string {
	tb.Helper()
	program.once.Do(func() { program.path, program.err = build() })
	if program.err != nil {
		tb.Fatalf("building the program: %v", program.err)
	}
	return program.path
}

func build() (string, error) {
	root, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}").Output()
	if err != nil {
		return "", fmt.Errorf("finding the module: %w", err)
	}
	dir, err := os.MkdirTemp("", "palette-site-")
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, programName)
	compile := exec.Command("go", "build", "-o", path, ".")
	compile.Dir = strings.TrimSpace(string(root))
	if out, err := compile.CombinedOutput(); err != nil {
		return "", fmt.Errorf("%w\n%s", err, out)
	}
	return path, nil
}

// Clean removes what Binary has built.
func Clean() {
	if program.path != "" {
		_ = os.RemoveAll(filepath.Dir(program.path))
	}
}

// output runs a command to its end and returns what it printed.
func output(place Place, env []string, command ...string) (string, error) {
	cmd := exec.Command(command[0], command[1:]...)
	cmd.Env = append(os.Environ(), env...)
	var out []byte
	err := place.do(func() error {
		var err error
		out, err = cmd.CombinedOutput()
		return err
	})
	return string(out), err
}
