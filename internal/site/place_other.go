//go:build !linux

package site

import (
	"errors"
	"syscall"
	"testing"
)

func (p Place) do(f func() error) error { return f() }

func dieWithThread(*syscall.SysProcAttr) {}

func canMakePlaces() error { return errors.New("network namespaces need Linux") }

func newPlace(tb testing.TB, _ string) Place {
	tb.Helper()
	tb.Fatal("network namespaces need Linux")
	return Place{}
}
