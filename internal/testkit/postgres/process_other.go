//go:build !linux

package postgres

import "os/exec"

// runAs leaves the user as it is: only where continuous integration runs do tests run as root.
func runAs(*exec.Cmd, *account) {}

// endWithTest needs Linux. Elsewhere a server stays when its test is killed.
func endWithTest(*exec.Cmd) {}
