// Package downloads owns what a hub gives to anybody who asks: its own executable, which is also the gateway's, so that a
// machine in the private network needs no other source and both have the same version.
package downloads

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"runtime"
	"sync"
	"time"

	"github.com/terraform-provider-palette/terraform-provider-palette/internal/hubapi"
)

const (
	// serveLimit is how long a download may take: a slow line is no reason to have no gateway.
	serveLimit = 30 * time.Minute
	// parallel bounds downloads at once. Who is told to wait comes back.
	parallel = 32
)

// Executable serves a file and says what it is.
type Executable struct {
	path, version string
	slots         chan struct{}

	mu   sync.Mutex
	info *hubapi.Download
}

// New returns what serves the running program of the given version; path "" is its own executable.
func New(path, version string) *Executable {
	return &Executable{path: path, version: version, slots: make(chan struct{}, parallel)}
}

// Handlers are the endpoints by their exact paths.
func (e *Executable) Handlers() map[string]http.Handler {
	return map[string]http.Handler{
		hubapi.PathDownloads:       http.HandlerFunc(e.serveInfo),
		hubapi.PathDownloadGateway: http.HandlerFunc(e.serveFile),
	}
}

func (e *Executable) serveInfo(w http.ResponseWriter, _ *http.Request) {
	info, err := e.describe()
	if err != nil {
		hubapi.WriteProblem(w, hubapi.AsProblem(err))
		return
	}
	hubapi.WriteJSON(w, http.StatusOK, hubapi.Downloads{Gateway: info})
}

func (e *Executable) serveFile(w http.ResponseWriter, r *http.Request) {
	select {
	case e.slots <- struct{}{}:
		defer func() { <-e.slots }()
	default:
		w.Header().Set("Retry-After", "10")
		hubapi.WriteProblem(w, hubapi.NewProblem(hubapi.CodeRateLimited, "too many downloads at once"))
		return
	}
	info, err := e.describe()
	if err != nil {
		hubapi.WriteProblem(w, hubapi.AsProblem(err))
		return
	}
	file, err := e.open()
	if err != nil {
		hubapi.WriteProblem(w, hubapi.AsProblem(err))
		return
	}
	defer func() { _ = file.Close() }()                                            // it was only read
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(serveLimit)) // where the transport knows any
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Header().Set("ETag", `"`+info.SHA256+`"`)
	http.ServeContent(w, r, "", time.Time{}, file)
}

// describe reads the file once: a program that is replaced while it runs is served as what it was, or not at all.
func (e *Executable) describe() (hubapi.Download, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.info != nil {
		return *e.info, nil
	}
	file, err := e.open()
	if err != nil {
		return hubapi.Download{}, err
	}
	defer func() { _ = file.Close() }() // it was only read
	digest := sha256.New()
	size, err := io.Copy(digest, file)
	if err != nil {
		return hubapi.Download{}, fmt.Errorf("reading the hub's executable: %w", err)
	}
	e.info = &hubapi.Download{
		Path: hubapi.PathDownloadGateway, OS: runtime.GOOS, Arch: runtime.GOARCH, Version: e.version,
		SHA256: hex.EncodeToString(digest.Sum(nil)), Size: size,
	}
	return *e.info, nil
}

// open opens the very file that runs, also when another one has taken its name.
func (e *Executable) open() (*os.File, error) {
	paths := []string{e.path}
	if e.path == "" {
		executable, err := os.Executable()
		if err != nil {
			return nil, fmt.Errorf("finding the hub's executable: %w", err)
		}
		paths = []string{"/proc/self/exe", executable}
	}
	var errs []error
	for _, path := range paths {
		file, err := os.Open(path)
		if err == nil {
			return file, nil
		}
		errs = append(errs, err)
	}
	return nil, fmt.Errorf("opening the hub's executable: %w", errors.Join(errs...))
}
