//go:build !windows

package embedded

import (
	"io/fs"
	"os"
	"syscall"
)

// isPrivate tells whether only this user can make and replace files in a directory.
func isPrivate(dir fs.FileInfo) bool {
	stat, ok := dir.Sys().(*syscall.Stat_t)
	return ok && dir.IsDir() && dir.Mode().Perm()&0o077 == 0 && int(stat.Uid) == os.Getuid()
}
