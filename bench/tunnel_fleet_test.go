package bench

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/terraform-provider-palette/terraform-provider-palette/internal/tunnel"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/tunnel/tunneltest"
)

// fleetVariable names the directory of a child process: this test binary run once more as a hub, to be measured and killed.
const fleetVariable = "PALETTE_BENCH_HUB"

// fleetSize is how many gateways there are.
const fleetSize = 1000

// BenchmarkTunnelFleet connects a thousand gateways to a hub in a process of its own, looks at its memory when all are idle,
// kills it, and starts it again two seconds later.
func BenchmarkTunnelFleet(b *testing.B) {
	for b.Loop() {
		f := newFleet(b)
		hub := f.start(b)
		empty := residentMiB(b, hub.Process.Pid)
		began := time.Now()
		var gateways sync.WaitGroup
		ctx, cancel := context.WithCancel(context.Background())
		for range fleetSize {
			gateways.Go(func() { f.gateway(ctx) })
		}
		f.await(b, fleetSize)
		first := time.Since(began)
		wait(5 * time.Second)
		full := residentMiB(b, hub.Process.Pid)
		stop(hub)
		f.await(b, 0)
		wait(2 * time.Second)
		hub = f.start(b)
		began = time.Now()
		f.await(b, fleetSize)
		back := time.Since(began)
		again := residentMiB(b, hub.Process.Pid)
		cancel()
		gateways.Wait()
		stop(hub)
		tunnelTable = append(tunnelTable,
			tunnelRow{work: "hub without gateways, resident", ours: fmt.Sprintf("%d MiB", empty)},
			tunnelRow{work: "hub with 1,000 idle gateways, resident", ours: fmt.Sprintf("%d MiB", full), goal: "< 200 MiB"},
			tunnelRow{work: "hub after all came back, resident", ours: fmt.Sprintf("%d MiB", again)},
			tunnelRow{work: "1,000 gateways connect", ours: first.Round(time.Millisecond).String()},
			tunnelRow{work: "1,000 gateways back after kill -9", ours: back.Round(time.Millisecond).String(), goal: "< 15 s"},
		)
		b.ReportMetric(float64(full), "MiB")
		b.ReportMetric(back.Seconds(), "s-until-back")
	}
}

// fleet is a thousand gateways and what their hub needs to start.
type fleet struct {
	dir       string
	address   string
	dial      tunnel.DialConfig
	connected atomic.Int64
	changed   chan struct{}
}

func newFleet(b *testing.B) *fleet {
	b.Helper()
	public, private := tunneltest.NewAuthority(b, "public"), tunneltest.NewAuthority(b, "private")
	f := &fleet{dir: b.TempDir(), changed: make(chan struct{}, 1)}
	listener, err := new(net.ListenConfig).Listen(b.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	f.address = listener.Addr().String()
	_ = listener.Close()
	f.save(b, "address", []byte(f.address))
	f.save(b, "authority", private.PEM())
	for name, cert := range map[string]tls.Certificate{"public": public.Server("127.0.0.1"), "private": private.Server(hubName)} {
		f.save(b, name, append(tunneltest.KeyPEM(b, cert), certPEM(cert)...))
	}
	f.dial = tunnel.DialConfig{
		URL: "https://" + f.address, Class: tunnel.ClassControl,
		Proxy:    func(*http.Request) (*url.URL, error) { return nil, nil },
		OuterTLS: &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: public.Pool()},
		InnerTLS: &tls.Config{
			MinVersion: tls.VersionTLS13, RootCAs: private.Pool(), ServerName: hubName,
			Certificates: []tls.Certificate{private.Client(gatewayURI)},
		},
	}
	return f
}

func certPEM(cert tls.Certificate) []byte {
	var text []byte
	for _, der := range cert.Certificate {
		text = append(text, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})...)
	}
	return text
}

func (f *fleet) save(b *testing.B, name string, text []byte) {
	b.Helper()
	if err := os.WriteFile(filepath.Join(f.dir, name), text, 0o600); err != nil {
		b.Fatal(err)
	}
}

// start starts the hub and waits until it listens.
func (f *fleet) start(b *testing.B) *exec.Cmd {
	b.Helper()
	hub := exec.Command(os.Args[0])
	hub.Env = append(os.Environ(), fleetVariable+"="+f.dir)
	hub.Stderr = os.Stderr
	out, err := hub.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := hub.Start(); err != nil {
		b.Fatal(err)
	}
	if _, err := bufio.NewReader(out).ReadString('\n'); err != nil {
		b.Fatal(err)
	}
	return hub
}

func stop(hub *exec.Cmd) {
	_ = hub.Process.Kill()
	_ = hub.Wait()
}

// gateway stays connected: from 0.2 to 2 seconds between attempts, with full jitter.
func (f *fleet) gateway(ctx context.Context) {
	pause := 200 * time.Millisecond
	for ctx.Err() == nil {
		conn, err := tunnel.Dial(ctx, f.dial)
		if err == nil {
			f.count(1)
			_ = conn.Serve(ctx, work())
			f.count(-1)
			pause = 200 * time.Millisecond
		}
		select {
		case <-time.After(rand.N(pause)):
		case <-ctx.Done():
		}
		pause = min(2*pause, 2*time.Second)
	}
}

func (f *fleet) count(n int64) {
	f.connected.Add(n)
	select {
	case f.changed <- struct{}{}:
	default:
	}
}

func (f *fleet) await(b *testing.B, count int64) {
	b.Helper()
	timeout := time.After(2 * time.Minute)
	for f.connected.Load() != count {
		select {
		case <-f.changed:
		case <-timeout:
			b.Fatalf("%d gateways are connected, want %d", f.connected.Load(), count)
		}
	}
}

func wait(d time.Duration) { <-time.After(d) }

func residentMiB(b *testing.B, pid int) int {
	b.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		b.Skip("the memory of a process is read from /proc, which is not here")
	}
	_, rest, _ := strings.Cut(string(status), "VmRSS:")
	kib, err := strconv.Atoi(strings.Fields(rest)[0])
	if err != nil {
		b.Fatal(err)
	}
	return kib / 1024
}

// runFleetHub is the hub in a process of its own. It ends with its parent's patience.
func runFleetHub(dir string) error {
	read := func(name string) []byte {
		text, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			panic(err)
		}
		return text
	}
	pair := func(name string) []tls.Certificate {
		cert, err := tls.X509KeyPair(read(name), read(name))
		if err != nil {
			panic(err)
		}
		return []tls.Certificate{cert}
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(read("authority"))
	cfg := tunnel.AcceptConfig{
		TLS:        &tls.Config{MinVersion: tls.VersionTLS13, Certificates: pair("private"), ClientCAs: pool},
		Handshakes: tunnel.NewHandshakes(64),
	}
	listener, err := new(net.ListenConfig).Listen(context.Background(), "tcp", string(read("address")))
	if err != nil {
		return err
	}
	fmt.Fprintln(os.Stdout, "listening")
	server := &http.Server{
		TLSConfig: &tls.Config{MinVersion: tls.VersionTLS12, Certificates: pair("public")}, ReadHeaderTimeout: time.Minute,
		ErrorLog: log.New(io.Discard, "", 0),
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if session, err := tunnel.Accept(w, r, cfg); err == nil {
				<-session.Done()
			}
		}),
	}
	return server.ServeTLS(listener, "", "")
}
