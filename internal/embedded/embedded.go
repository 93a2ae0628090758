// Package embedded owns the hub that a provider carries in itself: the hub's handler, the system gateway and the records
// in one directory. Every process that uses the directory dials the same unix socket in it; the first one serves it, and
// when that one goes another takes over. Whoever serves, the client's code path is the same.
package embedded

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/gofrs/flock"
)

// Hub is the embedded hub of one process. It starts nothing until it is first used.
type Hub struct {
	settings settings

	mu     sync.Mutex
	dirs   map[string]*directory
	closed bool
}

// settings are what every directory's hub is started with.
type settings struct {
	version string
	log     *slog.Logger
	pace    time.Duration
}

// Option changes how an embedded hub works.
type Option func(*settings)

// WithPace sets the least time between two looks at a vCenter's updates.
func WithPace(pace time.Duration) Option { return func(s *settings) { s.pace = pace } }

// New returns the embedded hub of this process. Close it before the process ends.
func New(version string, log *slog.Logger, options ...Option) *Hub {
	h := &Hub{settings: settings{version: version, log: log}, dirs: map[string]*directory{}}
	for _, option := range options {
		option(&h.settings)
	}
	return h
}

// Transport returns the way to the hub whose records are in the given directory, which is made if it is missing.
func (h *Hub) Transport(dataDir string) (http.RoundTripper, error) {
	path, err := filepath.Abs(dataDir)
	if err != nil {
		return nil, fmt.Errorf("data_dir %s: %w", dataDir, err)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		return nil, net.ErrClosed
	}
	if dir, ok := h.dirs[path]; ok {
		return dir.transport, nil
	}
	dir, err := openDirectory(path, h.settings)
	if err != nil {
		return nil, err
	}
	h.dirs[path] = dir
	return dir.transport, nil
}

// Close stops serving where this process does, so that another can take over, and logs out of every vCenter.
func (h *Hub) Close(ctx context.Context) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.closed = true
	var errs []error
	for _, dir := range h.dirs {
		errs = append(errs, dir.close(ctx))
	}
	return errors.Join(errs...)
}

// directory is a data directory as one process sees it.
type directory struct {
	path      string
	socket    string
	settings  settings
	transport *http.Transport

	mu     sync.Mutex
	server *server // nil while another process serves
	closed bool
}

func openDirectory(path string, with settings) (*directory, error) {
	if err := os.MkdirAll(path, 0o700); err != nil {
		return nil, fmt.Errorf("making data_dir: %w", err)
	}
	// The directory holds a key and sealed secrets: nobody should commit it by accident.
	ignore := filepath.Join(path, ".gitignore")
	if _, err := os.Stat(ignore); errors.Is(err, os.ErrNotExist) {
		if err := os.WriteFile(ignore, []byte("*\n"), 0o600); err != nil {
			return nil, fmt.Errorf("writing to data_dir: %w", err)
		}
	}
	socket, err := socketPath(path)
	if err != nil {
		return nil, err
	}
	dir := &directory{path: path, socket: socket, settings: with}
	dir.transport = &http.Transport{
		DialContext:         func(ctx context.Context, _, _ string) (net.Conn, error) { return dir.dial(ctx) },
		MaxIdleConnsPerHost: 16,
		IdleConnTimeout:     30 * time.Second,
	}
	return dir, nil
}

const (
	dialFirst = 10 * time.Millisecond
	dialMost  = 500 * time.Millisecond
	// dialLimit is how long a process that holds the directory may take to answer.
	dialLimit = 30 * time.Second
)

// dial reaches whoever serves the directory, and begins to serve it when nobody does.
func (d *directory) dial(ctx context.Context) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, dialLimit)
	defer cancel()
	for pause := dialFirst; ; pause = min(2*pause, dialMost) {
		var dialer net.Dialer
		conn, err := dialer.DialContext(ctx, "unix", d.socket)
		if err == nil {
			return conn, nil
		}
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		served, serveErr := d.serve()
		if serveErr != nil {
			return nil, serveErr
		}
		if served {
			continue
		}
		timer := time.NewTimer(pause/2 + rand.N(pause/2)) //nolint:gosec // Jitter needs no secrecy.
		select {
		case <-ctx.Done():
			timer.Stop()
			return nil, fmt.Errorf("another process holds %s but does not answer at %s; "+
				"a data_dir serves the processes of one host: %w", filepath.Join(d.path, lockName), d.socket, ctx.Err())
		case <-timer.C:
		}
	}
}

// lockName is the file whose lock says who serves the directory.
const lockName = "hub.lock"

// serve starts the hub in this process if no other process has the directory's lock.
func (d *directory) serve() (bool, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return false, net.ErrClosed
	}
	if d.server != nil {
		return true, nil
	}
	lock := flock.New(filepath.Join(d.path, lockName))
	got, err := lock.TryLock()
	if err != nil {
		return false, fmt.Errorf("locking data_dir: %w", err)
	}
	if !got {
		return false, nil
	}
	started, err := startServer(d.path, d.socket, d.settings)
	if err != nil {
		return false, errors.Join(err, lock.Unlock())
	}
	started.lock = lock
	d.server = started
	return true, nil
}

func (d *directory) close(ctx context.Context) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.closed = true
	d.transport.CloseIdleConnections()
	if d.server == nil {
		return nil
	}
	err := d.server.close(ctx)
	d.server = nil
	return err
}
