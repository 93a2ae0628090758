package embedded

import "io/fs"

// isPrivate believes Windows, where each user's temporary directory is in the user's profile and closed to other users,
// and where permission bits say nothing of that.
func isPrivate(dir fs.FileInfo) bool { return dir.IsDir() }
