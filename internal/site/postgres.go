package site

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"
	"testing"
)

// Postgres is a PostgreSQL server with one database.
type Postgres struct {
	*Process

	// URL is the database's.
	URL  string
	bin  string
	addr string
}

// NewPostgres starts a server that ends with the test, or skips the test where PostgreSQL is not installed.
func NewPostgres(tb testing.TB) *Postgres {
	tb.Helper()
	bin := postgresBin()
	if bin == "" {
		tb.Skip("PostgreSQL is not installed; Debian's package is postgresql")
	}
	// A test's own directory is closed to other users, and the server refuses to run as root.
	dir, err := os.MkdirTemp("", "palette-postgres-") //nolint:usetesting // See above.
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = os.RemoveAll(dir) })
	server := postgresUser(tb, dir)
	data := filepath.Join(dir, "data")
	initdb := exec.Command(filepath.Join(bin, "initdb"), "-D", data, "-U", "palette", "-A", "trust", "-E", "UTF8", "--no-sync")
	initdb.SysProcAttr, initdb.Dir = &syscall.SysProcAttr{Credential: server}, dir
	if out, err := initdb.CombinedOutput(); err != nil {
		tb.Fatalf("initdb: %v\n%s", err, out)
	}
	addr := freeAddr(tb)
	_, port, err := net.SplitHostPort(addr)
	if err != nil {
		tb.Fatal(err)
	}
	p := &Postgres{bin: bin, addr: addr, URL: "postgres://palette@" + addr + "/postgres?sslmode=disable"}
	p.Process = newProcess(tb, Here, "postgres", tb.TempDir(), []string{
		filepath.Join(bin, "postgres"), "-D", data, "-k", dir, "-h", "127.0.0.1", "-p", port, "-c", "fsync=off",
	})
	p.user, p.workDir = server, dir
	p.Start()
	p.AwaitReady()
	return p
}

// AwaitReady waits until the server takes connections.
func (p *Postgres) AwaitReady() {
	p.tb.Helper()
	host, port, err := net.SplitHostPort(p.addr)
	if err != nil {
		p.tb.Fatal(err)
	}
	Eventually(p.tb, startLimit, "PostgreSQL is ready", func() error {
		out, err := output(Here, nil, filepath.Join(p.bin, "pg_isready"), "-h", host, "-p", port)
		if err != nil {
			return fmt.Errorf("%w: %s", err, out)
		}
		return nil
	})
}

// Crash ends the server as a power cut would: at once, with recovery at the next start.
func (p *Postgres) Crash() {
	p.tb.Helper()
	// SIGQUIT is the server's own word for it; after a SIGKILL its children would live on for a while.
	_ = p.end(syscall.SIGQUIT)
}

// postgresBin is the directory of the server's programs, which Debian does not put on PATH.
func postgresBin() string {
	found, err := filepath.Glob("/usr/lib/postgresql/*/bin/postgres")
	if err == nil && len(found) > 0 {
		return filepath.Dir(slices.Max(found))
	}
	if path, err := exec.LookPath("postgres"); err == nil {
		return filepath.Dir(path)
	}
	return ""
}

// postgresUser gives the directory to the one who is to run the server; nil is this process's own user.
func postgresUser(tb testing.TB, dir string) *syscall.Credential {
	tb.Helper()
	if os.Geteuid() != 0 {
		return nil
	}
	account, err := user.Lookup("postgres")
	if err != nil {
		tb.Skip("PostgreSQL does not run as root, and there is no user postgres")
	}
	uid, _ := strconv.Atoi(account.Uid)
	gid, _ := strconv.Atoi(account.Gid)
	if err := os.Chown(dir, uid, gid); err != nil {
		tb.Fatal(err)
	}
	return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
}
