package tunnel_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/terraform-provider-palette/terraform-provider-palette/internal/tunnel"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/tunnel/tunneltest"
)

// TestSquid goes through a real proxy, with credentials and without, one that only connects and one that inspects TLS.
func TestSquid(t *testing.T) {
	program := installed(t, "squid")
	w := newWorld(t)
	corporate := tunneltest.NewAuthority(t, "corporate authority")
	connects, inspects := squid(t, program, w.public, nil), ""
	if _, err := os.Stat(certgen); err == nil {
		inspects = squid(t, program, w.public, corporate)
	}
	right, wrong := url.UserPassword("gw", "sec ret"), url.UserPassword("gw", "guess")
	tests := []struct {
		name    string
		address string
		user    *url.Userinfo
		trust   *tunneltest.Authority
		want    error
	}{
		{name: "Connects", address: connects, user: right, trust: w.public},
		{name: "WrongCredentials", address: connects, user: wrong, trust: w.public, want: tunnel.ErrProxyAuth},
		{name: "NoCredentials", address: connects, trust: w.public, want: tunnel.ErrProxyAuth},
		{name: "Inspects", address: inspects, user: right, trust: corporate},
		{name: "InspectsAndIsNotBelieved", address: inspects, user: right, trust: w.public, want: tunnel.ErrOuterCertificate},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if tt.address == "" {
				t.Skipf("this squid does not inspect TLS: %s is not there (Debian: squid-openssl)", certgen)
			}
			w.t = t
			cfg := w.dialConfig(tunnel.ClassControl)
			// Squid makes certificates for names only.
			cfg.URL = strings.Replace(w.server.URL, "127.0.0.1", "localhost", 1)
			cfg.Proxy = through(&url.URL{Scheme: "http", Host: tt.address, User: tt.user})
			cfg.OuterTLS = &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: tt.trust.Pool()}
			if tt.want != nil {
				if _, err := tunnel.Dial(t.Context(), cfg); !errors.Is(err, tt.want) {
					t.Errorf("got %v, want %v", err, tt.want)
				}
				return
			}
			w.passes(cfg)
		})
	}
}

// passes asks small and large things through a tunnel, and looks at who the peers are.
func (w *world) passes(cfg tunnel.DialConfig) *pair {
	w.t.Helper()
	p := w.connect(cfg, standard())
	ctx, cancel := context.WithTimeout(w.t.Context(), 20*time.Second)
	defer cancel()
	large := string(bytes.Repeat([]byte("0123456789abcdef"), 1<<16))
	for _, text := range []string{"hello", large} {
		got, err := ask(ctx, p.session, http.MethodPost, "/echo", text)
		if err != nil || got != text {
			w.t.Errorf("%d bytes came back as %d, with %v", len(text), len(got), err)
		}
	}
	if uri := p.session.ConnectionState().PeerCertificates[0].URIs[0].String(); uri != gatewayURI {
		w.t.Errorf("the hub sees %s, want %s", uri, gatewayURI)
	}
	if name := p.conn.ConnectionState().PeerCertificates[0].DNSNames[0]; name != hubName {
		w.t.Errorf("the gateway sees %s, want %s", name, hubName)
	}
	return p
}

// TestNginx goes through a balancer that ends the outer TLS and cuts what says nothing for a second.
func TestNginx(t *testing.T) {
	program := installed(t, "nginx")
	w := newWorld(t, func(w *world) {
		w.accept.Heartbeat = tunnel.Heartbeat{Idle: 400 * time.Millisecond, Answer: 5 * time.Second}
	})
	address := nginx(t, program, w, time.Second)
	t.Run("PingsKeepItOpen", func(t *testing.T) {
		w.t = t
		cfg := w.dialConfig(tunnel.ClassControl)
		cfg.URL, cfg.Heartbeat = address, w.accept.Heartbeat
		p := w.passes(cfg)
		select {
		case <-p.session.Done():
			t.Errorf("the tunnel ended: %v", p.session.Err())
		case <-time.After(3 * time.Second):
		}
		if _, err := ask(t.Context(), p.session, http.MethodPost, "/echo", "hello"); err != nil {
			t.Error(err)
		}
	})
	t.Run("SilenceIsCut", func(t *testing.T) {
		w.t = t
		w.accept.Heartbeat = tunnel.Heartbeat{}
		cfg := w.dialConfig(tunnel.ClassControl)
		cfg.URL = address
		p := w.passes(cfg)
		select {
		case err := <-p.served:
			if !errors.Is(err, tunnel.ErrLost) {
				t.Errorf("the gateway got %v, want %v", err, tunnel.ErrLost)
			}
		case <-time.After(10 * time.Second):
			t.Error("nginx did not cut a silent tunnel: the other test proves nothing")
		}
		<-p.session.Done()
	})
}

// TestRealTime takes as long as the defaults do: a frozen path is noticed by both ends within 25 seconds, and a balancer that
// cuts what is silent for 20 seconds leaves an idle tunnel alone.
func TestRealTime(t *testing.T) {
	if testing.Short() {
		t.Skip("takes 45 seconds")
	}
	t.Run("Frozen", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		relay := tunneltest.NewRelay(t, w.server.Listener.Addr().String(), 0)
		cfg := w.dialConfig(tunnel.ClassControl)
		cfg.URL = "https://" + relay.Addr()
		p := w.passes(cfg)
		relay.Freeze()
		start := time.Now()
		<-p.session.Done()
		hub := time.Since(start)
		<-p.served
		gateway := time.Since(start)
		t.Logf("noticed by the hub after %s, by the gateway after %s", hub.Round(time.Millisecond), gateway.Round(time.Millisecond))
		if max(hub, gateway) > 25*time.Second {
			t.Error("that is more than 25 seconds")
		}
	})
	t.Run("Nginx", func(t *testing.T) {
		t.Parallel()
		program := installed(t, "nginx")
		w := newWorld(t)
		cfg := w.dialConfig(tunnel.ClassControl)
		cfg.URL = nginx(t, program, w, 20*time.Second)
		p := w.passes(cfg)
		select {
		case <-p.session.Done():
			t.Errorf("the tunnel ended: %v", p.session.Err())
		case <-time.After(42 * time.Second):
		}
	})
}

// certgen makes the certificates of an inspecting squid.
const certgen = "/usr/lib/squid/security_file_certgen"

// installed finds a program of Debian's, or skips the test.
func installed(t *testing.T, name string) string {
	t.Helper()
	for _, path := range []string{name, "/usr/sbin/" + name} {
		if found, err := exec.LookPath(path); err == nil {
			return found
		}
	}
	t.Skipf("%s is not installed: it is not tested", name)
	return ""
}

// squid starts a proxy that asks for credentials, and that inspects TLS when it has an authority to sign with.
func squid(t *testing.T, program string, trust, inspect *tunneltest.Authority) string {
	t.Helper()
	dir, address := shared(t), freeAddress(t)
	write(t, dir, "trust.pem", trust.PEM(), 0o644)
	write(t, dir, "ask", []byte("#!/bin/sh\nwhile read -r u p; do if [ \"$u $p\" = 'gw sec%20ret' ]; then echo OK; else echo ERR; fi; done\n"), 0o755)
	bump := ""
	if inspect != nil {
		write(t, dir, "corporate.pem", append(inspect.PEM(), inspect.KeyPEM()...), 0o644)
		database := filepath.Join(dir, "certificates")
		if out, err := exec.CommandContext(t.Context(), certgen, "-c", "-s", database, "-M", "4MB").CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		give(t, database, "proxy")
		bump = fmt.Sprintf(`
sslcrtd_program %s -s %s -M 4MB
sslcrtd_children 1 startup=1
tls_outgoing_options cafile=%s/trust.pem
ssl_bump bump all
http_upgrade_request_protocols websocket allow all
`, certgen, database, dir)
		address += " ssl-bump tls-cert=" + dir + "/corporate.pem generate-host-certificates=on"
	}
	config := fmt.Sprintf(`http_port %s
auth_param basic program %s/ask
auth_param basic children 1 startup=1
acl known proxy_auth REQUIRED
http_access allow known
http_access deny all
pid_filename none
cache_log /dev/null
access_log none
netdb_filename none
cache deny all
cache_mem 8 MB
shutdown_lifetime 0 seconds
%s`, address, dir, bump)
	write(t, dir, "squid.conf", []byte(config), 0o644)
	host, _, _ := bytes.Cut([]byte(address), []byte(" "))
	start(t, string(host), program, "-N", "-d", "1", "-f", filepath.Join(dir, "squid.conf"))
	return string(host)
}

// nginx starts a balancer in front of the hub that cuts a connection on which neither end says anything for so long.
func nginx(t *testing.T, program string, w *world, idle time.Duration) string {
	t.Helper()
	dir, address := shared(t), freeAddress(t)
	cert := w.public.Server("127.0.0.1")
	for _, der := range cert.Certificate {
		f, err := os.OpenFile(filepath.Join(dir, "cert.pem"), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(pem.Encode(f, &pem.Block{Type: "CERTIFICATE", Bytes: der}), f.Close()); err != nil {
			t.Fatal(err)
		}
	}
	write(t, dir, "key.pem", tunneltest.KeyPEM(t, cert), 0o644)
	write(t, dir, "trust.pem", w.public.PEM(), 0o644)
	config := fmt.Sprintf(`daemon off;
worker_processes 1;
pid %[1]s/nginx.pid;
error_log stderr error;
events { worker_connections 64; }
http {
  access_log off;
  client_body_temp_path %[1]s/body; proxy_temp_path %[1]s/proxy;
  fastcgi_temp_path %[1]s/fastcgi; uwsgi_temp_path %[1]s/uwsgi; scgi_temp_path %[1]s/scgi;
  server {
    listen %[2]s ssl;
    ssl_certificate %[1]s/cert.pem; ssl_certificate_key %[1]s/key.pem;
    location / {
      proxy_pass https://%[3]s;
      proxy_ssl_verify on; proxy_ssl_trusted_certificate %[1]s/trust.pem; proxy_ssl_name localhost; proxy_ssl_server_name on;
      proxy_http_version 1.1;
      proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection "upgrade";
      proxy_read_timeout %[4]ds; proxy_send_timeout %[4]ds;
    }
  }
}
`, dir, address, w.server.Listener.Addr(), int(idle.Seconds()))
	write(t, dir, "nginx.conf", []byte(config), 0o644)
	start(t, address, program, "-e", "stderr", "-c", filepath.Join(dir, "nginx.conf"))
	return "https://" + address
}

// shared is a directory that daemons which drop their rights can read.
func shared(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for _, path := range []string{dir, filepath.Dir(dir)} {
		if err := os.Chmod(path, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// give makes files belong to the user that a daemon becomes when it is started by root.
func give(t *testing.T, root, name string) {
	t.Helper()
	if os.Getuid() != 0 {
		return
	}
	u, err := user.Lookup(name)
	if err != nil {
		t.Fatal(err)
	}
	uid, _ := strconv.Atoi(u.Uid)
	err = filepath.WalkDir(root, func(path string, _ os.DirEntry, err error) error {
		return errors.Join(err, os.Chown(path, uid, -1))
	})
	if err != nil {
		t.Fatal(err)
	}
}

func write(t *testing.T, dir, name string, text []byte, mode os.FileMode) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, name), text, mode); err != nil {
		t.Fatal(err)
	}
}

func freeAddress(t *testing.T) string {
	t.Helper()
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	return listener.Addr().String()
}

// start runs a daemon until the test ends, and waits until it listens.
func start(t *testing.T, address, program string, args ...string) {
	t.Helper()
	var output lockedBuffer
	command := exec.Command(program, args...)
	command.Stdout, command.Stderr = &output, &output
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	exited := make(chan struct{})
	var group sync.WaitGroup
	group.Go(func() {
		_ = command.Wait()
		close(exited)
	})
	t.Cleanup(func() {
		_ = command.Process.Signal(syscall.SIGTERM)
		select {
		case <-exited:
		case <-time.After(5 * time.Second):
			_ = command.Process.Kill()
		}
		group.Wait()
	})
	for deadline := time.Now().Add(20 * time.Second); ; {
		conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", address)
		if err == nil {
			_ = conn.Close()
			return
		}
		select {
		case <-exited:
			t.Fatalf("%s ended: %s", program, output.String())
		case <-time.After(20 * time.Millisecond):
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s does not listen: %s", program, output.String())
		}
	}
}

// lockedBuffer takes the output of a program while the test may read it.
type lockedBuffer struct {
	mu     sync.Mutex
	buffer bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buffer.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buffer.String()
}
