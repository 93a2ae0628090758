package site

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"
)

// endLimit is how long a process may take to end when it is asked to.
const endLimit = 20 * time.Second

// Process is a program that runs beside the test. What it prints goes to a file, also when it is started again.
type Process struct {
	tb      testing.TB
	name    string
	place   Place
	command []string
	env     []string
	user    *syscall.Credential
	workDir string
	logFile string

	mu   sync.Mutex
	cmd  *exec.Cmd
	done chan struct{} // closed when the running process has ended
	err  error         // how it ended
}

// newProcess says what will run. It is ended with the test, and what it printed is shown if the test fails.
func newProcess(tb testing.TB, place Place, name, logDir string, command []string, env ...string) *Process {
	tb.Helper()
	p := &Process{tb: tb, name: name, place: place, command: command, env: env, logFile: filepath.Join(logDir, name+".log")}
	tb.Cleanup(func() {
		p.Kill()
		if tb.Failed() {
			tb.Logf("the last lines of %s:\n%s", name, p.tail(60))
		}
	})
	return p
}

// Name is what the process is called in the site.
func (p *Process) Name() string { return p.name }

// Start starts the process.
func (p *Process) Start() {
	p.tb.Helper()
	if err := p.start(); err != nil {
		p.tb.Fatalf("starting %s: %v", p.name, err)
	}
}

func (p *Process) start() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.running() {
		return errors.New("it runs already")
	}
	out, err := os.OpenFile(p.logFile, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer func() { _ = out.Close() }()
	cmd := exec.Command(p.command[0], p.command[1:]...) // It outlives no test: newProcess ends it.
	cmd.Env = slices.Concat(os.Environ(), p.env)
	cmd.Stdout, cmd.Stderr, cmd.Dir = out, out, p.workDir
	// What it starts itself is of its group, and gets every signal, too, as from a terminal.
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: p.user, Setpgid: true}
	// Nothing of a test survives the test's own process, and a process is its thread's child: the thread stays with it.
	dieWithThread(cmd.SysProcAttr)
	started, done := make(chan error, 2), make(chan struct{})
	go func() {
		started <- p.place.do(func() error {
			if err := cmd.Start(); err != nil {
				return err
			}
			started <- nil
			err := cmd.Wait()
			p.mu.Lock()
			defer p.mu.Unlock()
			p.err = err
			close(done)
			return err
		})
	}()
	if err := <-started; err != nil {
		return err
	}
	p.cmd, p.done, p.err = cmd, done, nil
	return nil
}

// running needs the lock.
func (p *Process) running() bool {
	if p.done == nil {
		return false
	}
	select {
	case <-p.done:
		return false
	default:
		return true
	}
}

// Running tells whether the process runs or is stopped.
func (p *Process) Running() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.running()
}

// signal sends a signal and returns what is closed when the process has ended; nil when it does not run.
func (p *Process) signal(s syscall.Signal) <-chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.running() {
		return nil
	}
	_ = syscall.Kill(-p.cmd.Process.Pid, s) // It may just have ended.
	return p.done
}

// Kill ends the process with SIGKILL, as a power cut would, and waits until it is gone.
func (p *Process) Kill() {
	if done := p.signal(syscall.SIGKILL); done != nil {
		<-done
	}
}

// End asks the process to end, as a service manager would, and returns how it did.
func (p *Process) End() error { return p.end(syscall.SIGTERM) }

// Interrupt asks the process to end as Ctrl-C does, and returns how it did.
func (p *Process) Interrupt() error { return p.end(syscall.SIGINT) }

func (p *Process) end(how syscall.Signal) error {
	done := p.signal(how)
	if done == nil {
		return fmt.Errorf("%s does not run", p.name)
	}
	select {
	case <-done:
	case <-time.After(endLimit):
		return fmt.Errorf("%s has not ended within %s", p.name, endLimit)
	}
	return p.result()
}

func (p *Process) result() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.err
}

// Wait waits until the process ends by itself.
func (p *Process) Wait(limit time.Duration) error {
	p.mu.Lock()
	done := p.done
	p.mu.Unlock()
	select {
	case <-done:
		return p.result()
	case <-time.After(limit):
		return fmt.Errorf("%s has not ended within %s", p.name, limit)
	}
}

// Freeze stops the process where it is, with SIGSTOP, until Thaw.
func (p *Process) Freeze() { p.signal(syscall.SIGSTOP) }

// Thaw ends Freeze.
func (p *Process) Thaw() { p.signal(syscall.SIGCONT) }

// Log is what the process has printed in all its lives.
func (p *Process) Log() string {
	text, err := os.ReadFile(p.logFile)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		p.tb.Errorf("reading what %s printed: %v", p.name, err)
	}
	return string(text)
}

// tail is the end of Log.
func (p *Process) tail(lines int) []byte {
	all := bytes.Split([]byte(p.Log()), []byte("\n"))
	return bytes.Join(all[max(0, len(all)-lines):], []byte("\n"))
}
