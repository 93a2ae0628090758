package site

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"testing"
	"time"
)

// startLimit is how long a process may take to answer after it was started, on a machine with other things to do.
const startLimit = 30 * time.Second

// Hub is one instance of the hub.
type Hub struct {
	*Process

	// Addr is the host:port it listens on.
	Addr    string
	dataDir string
	site    *Site
	client  *http.Client
}

// newHub starts an instance and waits until it is ready.
func (s *Site) newHub(name, addr string) *Hub {
	s.tb.Helper()
	h := &Hub{site: s, Addr: addr, dataDir: filepath.Join(s.dir, name)}
	command := []string{
		Binary(s.tb), "hub", "run", "--listen", addr, "--data-dir", h.dataDir,
		"--tls-cert", s.tls.file, "--tls-key", s.tls.key,
		"--secret-file", s.secretFile(),
	}
	if s.options.Database != "" {
		command = append(command, "--database", s.options.Database)
	}
	command = append(command, s.options.HubArgs...)
	var env []string
	if s.options.HubSkew != 0 {
		command, env = []string{os.Args[0]}, []string{hubVariable + "=" + s.wrongHub(h)}
	}
	h.Process = newProcess(s.tb, s.middle, name, s.dir, command, env...)
	h.client = &http.Client{Transport: s.transport(s.middle), Timeout: 5 * time.Second}
	s.tb.Cleanup(h.client.CloseIdleConnections)
	h.Start()
	h.AwaitReady()
	return h
}

// wrongHub is what a hub whose clock is wrong is told.
func (s *Site) wrongHub(h *Hub) string {
	s.tb.Helper()
	text, err := json.Marshal(wrongHub{
		Listen: h.Addr, DataDir: h.dataDir, Database: s.options.Database, TLSCert: s.tls.file, TLSKey: s.tls.key,
		SecretFile: s.secretFile(), Skew: s.options.HubSkew,
	})
	if err != nil {
		s.tb.Fatal(err)
	}
	return string(text)
}

// secretFile is what instances that share records share, too.
func (s *Site) secretFile() string { return filepath.Join(s.dir, "hub.secret") }

// AwaitReady waits until the instance says that it is ready.
func (h *Hub) AwaitReady() {
	h.tb.Helper()
	Eventually(h.tb, startLimit, h.name+" is ready", func() error {
		if !h.Running() {
			return errors.New("it has ended")
		}
		_, err := h.Get("/readyz")
		return err
	})
}

// Get returns what the instance answers outside its API, such as its health.
func (h *Hub) Get(path string) (string, error) { return get(h.client, "https://"+h.Addr+path, "") }

// Metrics returns the instance's metrics.
func (h *Hub) Metrics() (string, error) {
	return get(h.client, "https://"+h.Addr+"/metrics", h.site.NewToken("", "viewer"))
}

func get(client *http.Client, url, token string) (string, error) {
	request, err := http.NewRequestWithContext(context.Background(), http.MethodGet, url, http.NoBody)
	if err != nil {
		return "", err
	}
	if token != "" {
		request.Header.Set("Authorization", "Bearer "+token)
	}
	answer, err := client.Do(request)
	if err != nil {
		return "", err
	}
	defer func() { _ = answer.Body.Close() }()
	body, err := io.ReadAll(answer.Body)
	if err == nil && answer.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s", url, answer.Status)
	}
	return string(body), err
}

// apiToken is the form of a token for the hub's API.
var apiToken = regexp.MustCompile(`palette_[A-Za-z0-9-]+_[A-Za-z0-9_-]+`)

// NewToken makes an API token with the hub's own command. It is good for all projects where none is named.
func (s *Site) NewToken(project, role string) string {
	s.tb.Helper()
	command := []string{Binary(s.tb), "hub", "token", "create", "--role", role, "--data-dir", s.Hubs[0].dataDir}
	if project == "" {
		command = append(command, "--all-projects")
	} else {
		command = append(command, "--project", project)
	}
	if s.options.Database != "" {
		command = append(command, "--database", s.options.Database)
	}
	out := run(s.tb, s.middle, command...)
	token := apiToken.FindString(out)
	if token == "" {
		s.tb.Fatalf("hub token create printed no token:\n%s", out)
	}
	return token
}

// transport reaches hubs from a place.
func (s *Site) transport(from Place) *http.Transport {
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM([]byte(s.tls.pem))
	return &http.Transport{
		TLSClientConfig:   &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12},
		ForceAttemptHTTP2: true,
		DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			var conn net.Conn
			err := from.do(func() error {
				var dialer net.Dialer
				var err error
				conn, err = dialer.DialContext(ctx, network, addr)
				return err
			})
			return conn, err
		},
	}
}

// freeAddr is a host:port of the loopback interface that nobody listens on.
func freeAddr(tb testing.TB) string {
	tb.Helper()
	var config net.ListenConfig
	listener, err := config.Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	defer func() { _ = listener.Close() }()
	return listener.Addr().String()
}
