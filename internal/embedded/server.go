package embedded

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/gofrs/flock"

	"github.com/terraform-provider-palette/terraform-provider-palette/internal/gateway"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/hub"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/hub/store"
)

// server is a hub and its system gateway, serving a directory's socket.
type server struct {
	lock    *flock.Flock
	records *store.SQLite
	gateway *gateway.Gateway
	memory  *memoryTransport
	http    *http.Server
	stopHub context.CancelFunc
	hubDone chan error
}

// maxSocketPath is the shortest limit among the platforms for the path of a unix socket.
const maxSocketPath = 100

// socketPath is a path in the directory, or, where that is too long for a socket, one in the user's temporary directory
// that follows from it.
func socketPath(dir string) (string, error) {
	path := filepath.Join(dir, "hub.sock")
	if len(path) <= maxSocketPath {
		return path, nil
	}
	sum := sha256.Sum256([]byte(dir))
	short := filepath.Join(os.TempDir(), "palette-"+strconv.Itoa(os.Getuid())+"-"+hex.EncodeToString(sum[:8]))
	if err := os.MkdirAll(short, 0o700); err != nil {
		return "", fmt.Errorf("making a directory for the hub's socket: %w", err)
	}
	info, err := os.Lstat(short)
	if err != nil {
		return "", fmt.Errorf("looking at the directory of the hub's socket: %w", err)
	}
	if !isPrivate(info) {
		return "", fmt.Errorf("%s is not a directory of this user alone: remove it", short)
	}
	return filepath.Join(short, "hub.sock"), nil
}

// startServer opens the records and serves them. The caller holds the directory's lock.
func startServer(dir, socket string, with settings) (_ *server, err error) {
	identity, err := gateway.LoadIdentity(filepath.Join(dir, "gateway.json"))
	if err != nil {
		return nil, err
	}
	records, err := store.OpenSQLite(context.Background(), filepath.Join(dir, "hub.db"))
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, records.Close())
		}
	}()
	// The lock says that nobody serves; what is left of a socket is of a process that was killed.
	if err := os.Remove(socket); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("removing a stale socket: %w", err)
	}
	listener, err := net.Listen("unix", socket) //nolint:noctx // Listening on a unix socket does not wait.
	if err != nil {
		return nil, fmt.Errorf("listening on the hub's socket: %w", err)
	}
	if err := os.Chmod(socket, 0o600); err != nil {
		return nil, errors.Join(fmt.Errorf("closing the hub's socket to others: %w", err), listener.Close())
	}
	return assemble(identity, records, listener, with)
}

// assemble wires the hub to its system gateway by memory and serves the hub on the listener.
func assemble(
	identity gateway.Identity, records *store.SQLite, listener net.Listener, with settings,
) (*server, error) {
	system := gateway.New(gateway.Config{Identity: identity, Version: with.version, Log: with.log, Pace: with.pace})
	memory := newMemoryTransport(system.Handler())
	management, err := hub.New(hub.Config{
		Store: records, Version: with.version, Log: with.log,
		Gateways: hub.NewSystemGateway(identity.ID, memory),
	})
	if err != nil {
		return nil, errors.Join(err, memory.close(), listener.Close())
	}
	ctx, stop := context.WithCancel(context.Background())
	s := &server{
		records: records, gateway: system, memory: memory, stopHub: stop, hubDone: make(chan error, 1),
		http: &http.Server{
			Handler: management.Handler(), ReadHeaderTimeout: 10 * time.Second,
			BaseContext: func(net.Listener) context.Context { return ctx },
		},
	}
	go func() {
		err := management.Run(ctx)
		if ctx.Err() == nil {
			with.log.ErrorContext(ctx, "the hub has stopped listening to its gateway", "error", err)
		}
		s.hubDone <- err
	}()
	go func() { _ = s.http.Serve(listener) }() // ends with ErrServerClosed when the server is closed
	return s, nil
}

// finishLimit is how long requests that are being answered may still take.
const finishLimit = 400 * time.Millisecond

// close lets requests be answered, then stops the work, then the hub, then the records. Who is not answered by then comes
// back to whoever serves next. Reports that are not kept by then are not needed: what they say is read from vCenter by
// whoever goes on.
func (s *server) close(ctx context.Context) error {
	finishing, cancel := context.WithTimeout(ctx, finishLimit)
	defer cancel()
	_ = s.http.Shutdown(finishing) // Those who watch a cluster keep it from ending by itself.
	err := s.gateway.Close(ctx)
	s.stopHub()
	select {
	case hubErr := <-s.hubDone:
		if !errors.Is(hubErr, context.Canceled) {
			err = errors.Join(err, hubErr)
		}
	case <-ctx.Done():
		err = errors.Join(err, ctx.Err())
	}
	return errors.Join(err, s.http.Close(), s.memory.close(), s.records.Close(), s.lock.Unlock())
}
