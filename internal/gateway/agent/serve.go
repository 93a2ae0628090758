package agent

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"runtime/pprof"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/terraform-provider-palette/terraform-provider-palette/internal/hubapi"
)

// socketName is where the process answers those who may enter its data directory.
const socketName = "gateway.sock"

// serveHealth tells whether the process lives and is ready, and its metrics. Nothing else is said to the network.
func (a *agent) serveHealth(ctx context.Context) error {
	var config net.ListenConfig
	listener, err := config.Listen(ctx, "tcp", a.cfg.Listen)
	if err != nil {
		return fmt.Errorf("listening for health checks: %w", err)
	}
	a.log.InfoContext(ctx, "serving health and metrics", "address", listener.Addr().String())
	return serveUntil(ctx, listener, a.health())
}

func (a *agent) health() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		hubapi.WriteJSON(w, http.StatusOK, map[string]string{"status": "ok"})
	})
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		if !a.ready() {
			hubapi.WriteJSON(w, http.StatusServiceUnavailable, map[string]string{"status": "no session with the hub"})
			return
		}
		hubapi.WriteJSON(w, http.StatusOK, map[string]string{"status": "ok"})
	})
	mux.Handle("GET /metrics", promhttp.HandlerFor(a.metrics.registry, promhttp.HandlerOpts{}))
	return mux
}

// serveSocket answers those who may enter the data directory: the commands status, support-bundle and
// rotate-key.
func (a *agent) serveSocket(ctx context.Context) error {
	path := filepath.Join(a.dir.path, socketName)
	// The directory is locked: what is left of a socket is of a process that was killed.
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("removing a stale socket: %w", err)
	}
	var config net.ListenConfig
	listener, err := config.Listen(ctx, "unix", path)
	if err != nil {
		// Its path may be too long for a socket. The gateway does its work all the same.
		a.log.WarnContext(ctx, "status and support-bundle will say less", "error", err)
		<-ctx.Done()
		return ctx.Err()
	}
	return serveUntil(ctx, listener, a.local())
}

func (a *agent) local() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("/", a.health())
	mux.HandleFunc("GET /status", func(w http.ResponseWriter, _ *http.Request) {
		hubapi.WriteJSON(w, http.StatusOK, a.status())
	})
	mux.HandleFunc("POST "+rotatePath, answering(func(context.Context, struct{}) (RotatedKey, error) { return a.rotateKey() }))
	mux.HandleFunc("GET /log", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write(a.cfg.Recent.Bytes())
	})
	mux.HandleFunc("GET /goroutines", func(w http.ResponseWriter, _ *http.Request) {
		// Level 1 shows functions and lines, and no arguments.
		_ = pprof.Lookup("goroutine").WriteTo(w, 1)
	})
	mux.HandleFunc("GET /runtime", func(w http.ResponseWriter, _ *http.Request) {
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		hubapi.WriteJSON(w, http.StatusOK, map[string]any{
			"go": runtime.Version(), "os": runtime.GOOS, "arch": runtime.GOARCH, "cpus": runtime.NumCPU(),
			"goroutines": runtime.NumGoroutine(), "heap_bytes": m.HeapAlloc, "uptime": time.Since(a.began).String(),
		})
	})
	return mux
}

// serveUntil serves until the context ends, and a moment longer for those who are being answered.
func serveUntil(ctx context.Context, listener net.Listener, handler http.Handler) error {
	server := &http.Server{
		Handler: handler, ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 10 * time.Second, WriteTimeout: 30 * time.Second,
		MaxHeaderBytes: 16 << 10,
	}
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	select {
	case err := <-served:
		return fmt.Errorf("serving %s: %w", listener.Addr(), err)
	case <-ctx.Done():
	}
	closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	_ = server.Shutdown(closing)
	_ = server.Close()
	if err := <-served; !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serving %s: %w", listener.Addr(), err)
	}
	return ctx.Err()
}
