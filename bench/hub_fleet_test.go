package bench

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	mathrand "math/rand/v2"
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

	"github.com/google/uuid"

	"github.com/terraform-provider-palette/terraform-provider-palette/internal/cli"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/gatewayapi"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/hub/authority"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/hub/roster"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/hub/service"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/hub/store"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/hubapi"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/tunnel"
)

// wholeHubVariable has the arguments of a child process that is a whole hub, separated by newlines.
const wholeHubVariable = "PALETTE_BENCH_WHOLE_HUB"

// BenchmarkHubFleet connects a thousand gateways to "hub run" in a process of its own: with certificates, records, leases and
// event streams. A gateway counts as connected when it has its lease. The hub is killed, and started again two seconds later.
func BenchmarkHubFleet(b *testing.B) {
	for b.Loop() {
		s := newSites(b)
		hub := s.start(b)
		empty := residentMiB(b, hub.Process.Pid)
		began := time.Now()
		ctx, cancel := context.WithCancel(context.Background())
		var gateways sync.WaitGroup
		for _, cert := range s.certificates {
			gateways.Go(func() { s.gateway(ctx, cert) })
		}
		s.await(b, fleetSize)
		first := time.Since(began)
		wait(20 * time.Second)
		full := residentMiB(b, hub.Process.Pid)
		idle := cpuTime(b, hub.Process.Pid)
		wait(20 * time.Second)
		idle = cpuTime(b, hub.Process.Pid) - idle
		stop(hub)
		s.await(b, 0)
		wait(2 * time.Second)
		hub = s.start(b)
		began = time.Now()
		s.await(b, fleetSize)
		back, cost := time.Since(began), cpuTime(b, hub.Process.Pid)
		wait(20 * time.Second)
		again := residentMiB(b, hub.Process.Pid)
		cancel()
		gateways.Wait()
		stop(hub)
		tunnelTable = append(tunnelTable,
			tunnelRow{work: "whole hub without gateways, resident", ours: fmt.Sprintf("%d MiB", empty)},
			tunnelRow{work: "whole hub with 1,000 idle gateways, resident", ours: fmt.Sprintf("%d MiB", full), goal: "< 200 MiB"},
			tunnelRow{work: "whole hub after all came back, resident", ours: fmt.Sprintf("%d MiB", again), goal: "< 200 MiB"},
			tunnelRow{work: "whole hub with 1,000 idle gateways, share of one core", ours: fmt.Sprintf("%.1f %%", idle.Seconds()*5)},
			tunnelRow{work: "1,000 gateways get their leases", ours: first.Round(time.Millisecond).String()},
			tunnelRow{work: "1,000 gateways have them back after kill -9", ours: back.Round(time.Millisecond).String(), goal: "< 15 s"},
			tunnelRow{work: "the hub's processor time meanwhile", ours: cost.Round(10 * time.Millisecond).String()},
		)
		b.ReportMetric(float64(full), "MiB")
		b.ReportMetric(back.Seconds(), "s-until-back")
	}
}

// sites are a thousand gateways that were paired some time ago, and the directory of their hub.
type sites struct {
	fleet

	authority    *authority.Authority
	certificates []tls.Certificate
	outer        *tls.Config
	publicKey    []byte
}

func newSites(b *testing.B) *sites {
	b.Helper()
	s := &sites{fleet: fleet{dir: b.TempDir(), changed: make(chan struct{}, 1)}, publicKey: []byte("a key")}
	listener, err := new(net.ListenConfig).Listen(b.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	s.address = listener.Addr().String()
	_ = listener.Close()
	secret := [32]byte{7}
	s.save(b, "secret", secret[:])
	records, err := service.OpenRecords(b.Context(), "", s.dir)
	if err != nil {
		b.Fatal(err)
	}
	if s.authority, err = authority.Open(b.Context(), records, secret, nil); err != nil {
		b.Fatal(err)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		b.Fatal(err)
	}
	for range fleetSize {
		s.pair(b, records, key)
	}
	if err := records.Close(); err != nil {
		b.Fatal(err)
	}
	return s
}

// pair makes the record of a gateway and the certificate of its replica.
func (s *sites) pair(b *testing.B, records store.Records, key *ecdsa.PrivateKey) {
	b.Helper()
	id := authority.ReplicaID{Project: "default", Gateway: uuid.NewString(), Replica: uuid.NewString()}
	csr, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, key)
	if err != nil {
		b.Fatal(err)
	}
	der, until, err := s.authority.SignReplica(csr, id)
	if err != nil {
		b.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		b.Fatal(err)
	}
	s.certificates = append(s.certificates, tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf})
	g := &roster.Gateway{Record: &store.Record{
		Kind: store.KindGateway, ID: id.Gateway, Project: id.Project, Name: id.Gateway, Generation: 1, CreatedAt: time.Now(),
	}}
	g.Status = roster.GatewayStatus{PublicKey: s.publicKey, Replicas: []roster.Replica{
		{ID: id.Replica, Name: "host", PairedAt: new(time.Now()), CertifiedUntil: until},
	}}
	record, err := g.Encode()
	if err != nil {
		b.Fatal(err)
	}
	if err := records.Commit(b.Context(), store.Batch{Put: []*store.Record{record}}); err != nil {
		b.Fatal(err)
	}
}

// start starts the hub and waits until it listens.
func (s *sites) start(b *testing.B) *exec.Cmd {
	b.Helper()
	hub := exec.Command(os.Args[0])
	args := []string{"hub", "run", "--listen", s.address, "--data-dir", s.dir, "--log-level", "error"}
	hub.Env = append(os.Environ(), wholeHubVariable+"="+strings.Join(args, "\n"))
	hub.Stderr = os.Stderr
	out, err := hub.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := hub.Start(); err != nil {
		b.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	for lines.Scan() && !strings.Contains(lines.Text(), "listens") {
	}
	if s.outer == nil {
		ca, err := os.ReadFile(filepath.Join(s.dir, "tls.crt"))
		if err != nil {
			b.Fatal(err)
		}
		s.outer = &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: x509.NewCertPool()}
		s.outer.RootCAs.AppendCertsFromPEM(ca)
	}
	return hub
}

// runWholeHub is what the child process does.
func runWholeHub(args string) error {
	return cli.Run(context.Background(), "bench", strings.Split(args, "\n"), os.Stdout)
}

// gateway stays connected, with the pauses of a gateway whose hub has just gone.
func (s *sites) gateway(ctx context.Context, cert tls.Certificate) {
	dial := tunnel.DialConfig{
		URL: "https://" + s.address, Class: tunnel.ClassControl, OuterTLS: s.outer,
		Proxy: func(*http.Request) (*url.URL, error) { return nil, nil },
		InnerTLS: &tls.Config{
			MinVersion: tls.VersionTLS13, RootCAs: s.authority.Pool(), ServerName: gatewayapi.HubName,
			Certificates: []tls.Certificate{cert},
		},
	}
	id := cert.Leaf.URIs[0].Path
	id = strings.Split(id, "/")[4]
	for pause := 200 * time.Millisecond; ctx.Err() == nil; pause = min(2*pause, 1500*time.Millisecond) {
		conn, err := tunnel.Dial(ctx, dial)
		if err == nil {
			var held atomic.Bool
			_ = conn.Serve(ctx, s.answers(id, func() {
				if held.CompareAndSwap(false, true) {
					s.count(1)
				}
			}))
			if held.Load() {
				s.count(-1)
			}
			pause = 200 * time.Millisecond
		}
		asked := time.Duration(0)
		if refused, ok := errors.AsType[*tunnel.RefusedError](err); ok {
			asked = refused.RetryAfter
		}
		select {
		case <-time.After(asked + mathrand.N(pause)):
		case <-ctx.Done():
		}
	}
}

// answers are those of a gateway that has nothing to do.
func (s *sites) answers(id string, leased func()) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+gatewayapi.PathInfo, func(w http.ResponseWriter, _ *http.Request) {
		hubapi.WriteJSON(w, http.StatusOK, gatewayapi.Info{ID: id, PublicKey: s.publicKey, Version: "bench"})
	})
	mux.HandleFunc("GET "+gatewayapi.PathEvents, func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusOK)
		control := http.NewResponseController(w)
		beat := time.NewTicker(10 * time.Second)
		defer beat.Stop()
		for control.Flush() == nil {
			select {
			case <-r.Context().Done():
				return
			case <-beat.C:
				_, _ = w.Write([]byte("\n"))
			}
		}
	})
	mux.HandleFunc("POST "+gatewayapi.PathLease, func(w http.ResponseWriter, _ *http.Request) {
		leased()
		w.WriteHeader(http.StatusNoContent)
	})
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) })
	return mux
}

// cpuTime is how long a process has run, on all cores, in the hundredths of a second that the kernel tells.
func cpuTime(b *testing.B, pid int) time.Duration {
	b.Helper()
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		b.Skip("the time of a process is read from /proc, which is not here")
	}
	_, rest, _ := strings.Cut(string(stat), ") ")
	fields := strings.Fields(rest)
	var ticks int
	for _, field := range fields[11:13] {
		n, err := strconv.Atoi(field)
		if err != nil {
			b.Fatal(err)
		}
		ticks += n
	}
	return time.Duration(ticks) * 10 * time.Millisecond
}
