package site

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"sync/atomic"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// do calls f on a thread of its own that is in the place: sockets that f makes and processes that it starts stay there.
func (p Place) do(f func() error) error {
	failed := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		if p.namespace == "" {
			defer runtime.UnlockOSThread()
		} // Else the thread ends with the goroutine: no other code gets to run in the namespace.
		if err := p.enter(); err != nil {
			failed <- err
			return
		}
		failed <- f()
	}()
	return <-failed
}

func (p Place) enter() error {
	if p.namespace == "" {
		return nil
	}
	file, err := os.Open(filepath.Join("/run/netns", p.namespace))
	if err != nil {
		return err
	}
	defer func() { _ = file.Close() }()
	if err := unix.Setns(int(file.Fd()), unix.CLONE_NEWNET); err != nil {
		return fmt.Errorf("entering the network namespace %s: %w", p.namespace, err)
	}
	return nil
}

// dieWithThread has a process killed when the thread that started it ends.
func dieWithThread(attributes *syscall.SysProcAttr) { attributes.Pdeathsig = syscall.SIGKILL }

// canMakePlaces tells whether this process may make network namespaces, and if not, why.
func canMakePlaces() error {
	if os.Geteuid() != 0 {
		return errors.New("network namespaces need root")
	}
	if _, err := exec.LookPath("ip"); err != nil {
		return errors.New("network namespaces need the command ip, of the package iproute2")
	}
	return nil
}

// places counts the namespaces of this process, which tests make side by side.
var places atomic.Int32

// newPlace makes a network namespace that goes with the test.
func newPlace(tb testing.TB, name string) Place {
	tb.Helper()
	p := Place{namespace: fmt.Sprintf("palette-%d-%d-%s", os.Getpid(), places.Add(1), name)}
	run(tb, Here, "ip", "netns", "add", p.namespace)
	tb.Cleanup(func() { run(tb, Here, "ip", "netns", "del", p.namespace) })
	run(tb, Here, "ip", "-n", p.namespace, "link", "set", "lo", "up")
	return p
}
