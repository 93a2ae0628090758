// Package postgres runs real PostgreSQL servers for tests, from the distribution's package: each in a directory of its own,
// on a unix socket in it, as a user without rights.
package postgres

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

const startTimeout = 30 * time.Second

// Server is a running server.
type Server struct {
	bin, dir string
	as       *account // nil is the user who runs the test
	process  *exec.Cmd
	exited   chan struct{}
	count    atomic.Int64
}

// account is a user of the system.
type account struct{ uid, gid uint32 }

// Start starts a server, and stops it when the test ends. Where PostgreSQL is not installed the test is skipped.
func Start(tb testing.TB) *Server {
	tb.Helper()
	bin := binaries()
	if bin == "" {
		tb.Skip("PostgreSQL is not installed (Debian's package postgresql): what needs it is not tested")
	}
	s := &Server{bin: bin}
	var err error
	if s.as, err = unprivileged(); err != nil {
		tb.Fatal(err)
	}
	s.dir, err = os.MkdirTemp("", "postgres") //nolint:usetesting // The test's own directory is closed to the server's user.
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := errors.Join(s.stop(syscall.SIGINT), os.RemoveAll(s.dir)); err != nil {
			tb.Error(err)
		}
	})
	if s.as != nil {
		if err := os.Chown(s.dir, int(s.as.uid), int(s.as.gid)); err != nil {
			tb.Fatal(err)
		}
	}
	initdb := s.command(tb.Context(), "initdb", "--pgdata", s.data(), "--username", "palette", "--auth", "trust",
		"--encoding", "UTF8", "--locale", "C.UTF-8", "--no-sync", "--no-instructions")
	if out, err := initdb.CombinedOutput(); err != nil {
		tb.Fatalf("initdb: %v\n%s", err, out)
	}
	s.Resume(tb)
	return s
}

// binaries returns the directory of the newest installed version, or "".
func binaries() string {
	found, err := filepath.Glob("/usr/lib/postgresql/*/bin/postgres")
	if err != nil || len(found) == 0 {
		path, err := exec.LookPath("postgres")
		if err != nil {
			return ""
		}
		return filepath.Dir(path)
	}
	return filepath.Dir(slices.MaxFunc(found, func(a, b string) int { return version(a) - version(b) }))
}

func version(path string) int {
	n, _ := strconv.Atoi(filepath.Base(filepath.Dir(filepath.Dir(path))))
	return n
}

// unprivileged returns the user to run as: PostgreSQL refuses to run as root.
func unprivileged() (*account, error) {
	if os.Getuid() != 0 {
		return nil, nil
	}
	for _, name := range []string{"postgres", "nobody"} {
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, errUID := strconv.ParseUint(u.Uid, 10, 32)
		gid, errGID := strconv.ParseUint(u.Gid, 10, 32)
		if err := errors.Join(errUID, errGID); err != nil {
			return nil, fmt.Errorf("user %s: %w", name, err)
		}
		return &account{uid: uint32(uid), gid: uint32(gid)}, nil
	}
	return nil, errors.New("there is no user without rights to run PostgreSQL as")
}

func (s *Server) data() string { return filepath.Join(s.dir, "data") }

func (s *Server) command(ctx context.Context, name string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, filepath.Join(s.bin, name), args...)
	cmd.Dir = s.dir
	cmd.Env = []string{"LC_ALL=C.UTF-8", "PATH=" + os.Getenv("PATH")}
	runAs(cmd, s.as)
	return cmd
}

// Resume starts the server again after Stop or Kill, and waits until it answers.
func (s *Server) Resume(tb testing.TB) {
	tb.Helper()
	// It outlives the test's context, so that a cleanup can stop it in order.
	s.process = s.command(context.Background(), "postgres", "-D", s.data(), "-k", s.dir, "-c", "listen_addresses=",
		"-c", "fsync=off", "-c", "max_connections=100", "-c", "log_min_messages=fatal")
	endWithTest(s.process)
	log, err := os.OpenFile(filepath.Join(s.dir, "log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		tb.Fatal(err)
	}
	s.process.Stderr = log
	process, started, exited := s.process, make(chan error), make(chan struct{})
	s.exited = exited
	go func() {
		// The kernel ends the process when the thread is gone that has started it, and threads of a test come and go.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		started <- process.Start()
		_ = process.Wait() // fails at once where nothing was started
		close(exited)
	}()
	err = <-started
	_ = log.Close()
	if err != nil {
		tb.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(tb.Context(), startTimeout)
	defer cancel()
	for {
		err := s.command(ctx, "pg_isready", "-q", "-h", s.dir, "-d", "postgres", "-U", "palette").Run()
		if err == nil {
			return
		}
		select {
		case <-exited:
		case <-ctx.Done():
		case <-time.After(20 * time.Millisecond):
			continue
		}
		text, _ := os.ReadFile(filepath.Join(s.dir, "log"))
		tb.Fatalf("the server did not start: %v\n%s", err, text)
	}
}

// Stop ends the server as an administrator does: it cuts all connections and takes down what it has.
func (s *Server) Stop(tb testing.TB) {
	tb.Helper()
	if err := s.stop(syscall.SIGINT); err != nil {
		tb.Fatal(err)
	}
}

// Kill ends the server as a crash does.
func (s *Server) Kill(tb testing.TB) {
	tb.Helper()
	if err := s.stop(syscall.SIGQUIT); err != nil {
		tb.Fatal(err)
	}
}

func (s *Server) stop(signal syscall.Signal) error {
	if s.process == nil {
		return nil
	}
	err := s.process.Process.Signal(signal)
	if errors.Is(err, os.ErrProcessDone) {
		err = nil
	}
	<-s.exited
	s.process = nil
	return err
}

// Dir is where the server's socket is.
func (s *Server) Dir() string { return s.dir }

// DSN returns the URL of a place where nothing is yet: a schema of its own, which is made in far less time than a database.
func (s *Server) DSN(tb testing.TB) string {
	tb.Helper()
	name := fmt.Sprintf("hub%d", s.count.Add(1))
	psql := s.command(tb.Context(), "psql", "-q", "-h", s.dir, "-U", "palette", "-c", "CREATE SCHEMA "+name, "postgres")
	if out, err := psql.CombinedOutput(); err != nil {
		tb.Fatalf("psql: %v\n%s", err, out)
	}
	u := url.URL{Scheme: "postgres", Path: "/postgres", RawQuery: url.Values{
		"host": {s.dir}, "user": {"palette"}, "sslmode": {"disable"}, "search_path": {name},
	}.Encode()}
	return u.String()
}
