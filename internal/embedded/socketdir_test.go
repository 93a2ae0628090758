package embedded

import (
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

// TestSocketPathOfLongDirectory checks where the socket of a directory is whose path is too long for one.
func TestSocketPathOfLongDirectory(t *testing.T) {
	long := filepath.Join(t.TempDir(), strings.Repeat("x", maxSocketPath))
	const variable = "TMPDIR" // On Windows another one counts, and what is tested here is not decided there.
	tests := map[string]struct {
		reason string
		// spoil changes the directory that was made the first time.
		spoil  func(dir string) error
		refuse bool
	}{
		"Mine":   {reason: "the directory of an earlier process is used again", spoil: func(string) error { return nil }},
		"Opened": {reason: "others could put their socket in", spoil: func(dir string) error { return os.Chmod(dir, 0o770) }, refuse: true},
		"Theirs": {
			reason: "its owner could put his socket in", refuse: true,
			spoil: func(dir string) error { return os.Chown(dir, os.Getuid()+1, -1) },
		},
		"Linked": {
			reason: "who made the link could lead it elsewhere", refuse: true,
			spoil: func(dir string) error {
				if err := os.Rename(dir, dir+".real"); err != nil {
					return err
				}
				return os.Symlink(dir+".real", dir)
			},
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			if runtime.GOOS == "windows" && tc.refuse {
				t.Skip("Windows keeps users' temporary directories apart by itself")
			}
			if name == "Theirs" && os.Getuid() != 0 {
				t.Skip("only root can give a directory away")
			}
			temporary, err := os.MkdirTemp("", "p") //nolint:usetesting // t.TempDir is too long for a socket.
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = os.RemoveAll(temporary) })
			t.Setenv(variable, temporary)
			path, err := socketPath(long)
			if err != nil || len(path) > maxSocketPath {
				t.Fatalf("socketPath = %q, %v", path, err)
			}
			if err := tc.spoil(filepath.Dir(path)); err != nil {
				t.Fatal(err)
			}
			again, err := socketPath(long)
			if refused := err != nil; refused != tc.refuse || !refused && again != path {
				t.Errorf("%s: the second time it is %q, %v", tc.reason, again, err)
			}
		})
	}
}
