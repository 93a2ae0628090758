package acctest

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/terraform-provider-palette/terraform-provider-palette/internal/gateway/agent"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/gateway/policy"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/hub/access"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/hub/service"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/hubapi"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/testkit"
)

// connectLimit is how long a gateway may take to be online.
const connectLimit = 30 * time.Second

// remote is a hub that is reached by HTTPS, and the gateways that dial out to it.
type remote struct {
	dataDir  string
	listen   string
	token    string
	ca       string
	gateways []*RemoteGateway
	// guests has a directory for each VM that is a gateway.
	guests string
	mu     sync.Mutex
	disks  map[string]*sync.Mutex

	ended   chan error
	stopHub context.CancelFunc
}

func newRemote(tb testing.TB) *remote {
	tb.Helper()
	return &remote{dataDir: filepath.Join(tb.TempDir(), "hub"), guests: tb.TempDir(), listen: "127.0.0.1:0"}
}

// RemoteGateway is a gateway of a remote world: one process, with a directory of its own.
type RemoteGateway struct {
	ID      string
	dataDir string
	ended   chan error
	stop    context.CancelFunc
}

// NewRemote starts a world with a hub that is reached by HTTPS, whatever the environment asks for. Its gateways are those
// that the test pairs.
func NewRemote(tb testing.TB, opts ...testkit.Options) *Env {
	tb.Helper()
	m := newRemote(tb)
	m.gateways = []*RemoteGateway{}
	return newEnv(tb, m, opts)
}

func (m *remote) start(tb testing.TB) {
	tb.Helper()
	m.startHub(tb)
	if m.gateways == nil {
		m.gateways = []*RemoteGateway{m.newGateway(tb, "remote")}
	}
	for _, g := range m.gateways {
		m.startGateway(tb, g)
	}
}

func (m *remote) startHub(tb testing.TB) {
	tb.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	m.stopHub, m.ended = cancel, make(chan error, 1)
	ready := make(chan service.Addresses, 1)
	go func() {
		m.ended <- service.Run(ctx, service.Config{
			Listen: m.listen, DataDir: m.dataDir, Version: "test", Log: testLog(),
			Limits: access.Limits{}, Ready: func(a service.Addresses) { ready <- a },
		})
	}()
	select {
	case addresses := <-ready:
		m.listen = addresses.Hub // the same one after a restart
	case err := <-m.ended:
		tb.Fatalf("starting the hub: %v", err)
	}
	if m.token == "" {
		m.trust(tb)
	}
}

// trust reads the hub's certificate and makes an API token, as its administrator does.
func (m *remote) trust(tb testing.TB) {
	tb.Helper()
	certificate, err := os.ReadFile(filepath.Join(m.dataDir, "tls.crt"))
	if err != nil {
		tb.Fatal(err)
	}
	m.ca = string(certificate)
	records, err := service.OpenRecords(tb.Context(), "", m.dataDir)
	if err != nil {
		tb.Fatal(err)
	}
	_, m.token, err = access.NewTokens(records, nil).Create(tb.Context(),
		access.Token{Name: "test", Project: hubapi.DefaultProject, Role: hubapi.RoleAdmin}, 0)
	if err := errors.Join(err, records.Close()); err != nil {
		tb.Fatal(err)
	}
}

// newGateway makes a gateway known to the hub and pairs a process as it.
func (m *remote) newGateway(tb testing.TB, name string) *RemoteGateway {
	tb.Helper()
	client, err := m.client()
	if err != nil {
		tb.Fatal(err)
	}
	g, err := client.PutGateway(tb.Context(), uuid.NewString(), hubapi.GatewayWrite{Name: name}, hubapi.WriteOptions{Create: true})
	if err != nil {
		tb.Fatalf("making gateway %s: %v", name, err)
	}
	token, _, err := client.Pair(tb.Context(), g.ID, hubapi.PairOptions{})
	if err != nil {
		tb.Fatalf("pairing gateway %s: %v", name, err)
	}
	paired, err := m.pair(tb, filepath.Join(tb.TempDir(), "gateway"), name, token.String())
	if err != nil {
		tb.Fatalf("pairing gateway %s: %v", name, err)
	}
	return paired
}

func (m *remote) pair(tb testing.TB, dir, name, token string) (*RemoteGateway, error) {
	tb.Helper()
	paired, err := agent.Pair(tb.Context(), agent.PairConfig{
		Hub: m.endpoint(), Token: token, Name: name, DataDir: dir, OuterCA: m.ca, Version: "test",
	})
	if err != nil {
		return nil, err
	}
	return &RemoteGateway{ID: paired.Gateway, dataDir: dir}, nil
}

func (m *remote) startGateway(tb testing.TB, g *RemoteGateway) {
	tb.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	g.stop, g.ended = cancel, make(chan error, 1)
	go func() { g.ended <- runAgent(ctx, g.dataDir) }()
	m.awaitOnline(tb, g)
}

func runAgent(ctx context.Context, dataDir string) error {
	return agent.Run(ctx, agent.Config{
		DataDir: dataDir, Version: "test", Log: testLog(), Pace: pace,
		// The simulated vCenter is on the same machine.
		Policy: &policy.Policy{AllowCIDRs: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128")}},
	})
}

// boot is a guest that becomes a gateway: it fetches the program, pairs once, and runs.
func (m *remote) boot(ctx context.Context, guest testkit.GatewayBoot) error {
	// An earlier boot may still be stopping.
	unlock := m.lockDisk(guest.Disk)
	defer unlock()
	dir := filepath.Join(m.guests, guest.Disk)
	if _, err := os.Stat(filepath.Join(dir, "identity.json")); errors.Is(err, fs.ErrNotExist) {
		if err := checkProgram(ctx, guest); err != nil {
			return err
		}
		_, err := agent.Pair(ctx, agent.PairConfig{
			Hub: guest.Boot.Hub, Token: guest.Boot.Token, Name: guest.VM, DataDir: dir, OuterCA: guest.Boot.CA, Version: "test",
		})
		if err != nil {
			return fmt.Errorf("pairing %s: %w", guest.VM, err)
		}
	}
	return runAgent(ctx, dir)
}

func (m *remote) lockDisk(disk string) (unlock func()) {
	m.mu.Lock()
	if m.disks == nil {
		m.disks = map[string]*sync.Mutex{}
	}
	if m.disks[disk] == nil {
		m.disks[disk] = &sync.Mutex{}
	}
	lock := m.disks[disk]
	m.mu.Unlock()
	lock.Lock()
	return lock.Unlock
}

// checkProgram fetches what the guest would install, and compares its digest.
func checkProgram(ctx context.Context, guest testkit.GatewayBoot) error {
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM([]byte(guest.Boot.CA))
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}}}
	defer client.CloseIdleConnections()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, guest.Boot.Hub+hubapi.PathDownloadGateway, nil)
	if err != nil {
		return err
	}
	response, err := client.Do(request)
	if err != nil {
		return err
	}
	defer func() { _ = response.Body.Close() }()
	digest := sha256.New()
	if _, err := io.Copy(digest, response.Body); err != nil {
		return err
	}
	if got := hex.EncodeToString(digest.Sum(nil)); response.StatusCode != http.StatusOK || got != guest.Boot.Digest {
		return fmt.Errorf("%s: the program has digest %s, want %s", response.Status, got, guest.Boot.Digest)
	}
	return nil
}

func (m *remote) awaitOnline(tb testing.TB, g *RemoteGateway) {
	tb.Helper()
	client, err := m.client()
	if err != nil {
		tb.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(tb.Context(), connectLimit)
	defer cancel()
	tick := time.NewTicker(pace)
	defer tick.Stop()
	for {
		known, err := client.Gateway(ctx, g.ID)
		if err == nil && known.Status.State == hubapi.GatewayOnline && holds(known) {
			return
		}
		select {
		case <-ctx.Done():
			tb.Fatalf("gateway %s has not come online: %+v, %v", g.ID, known, err)
		case err := <-g.ended:
			tb.Fatalf("gateway %s has ended: %v", g.ID, err)
		case <-tick.C:
		}
	}
}

// holds tells whether a replica has the lease, without which the gateway works on nothing.
func holds(g *hubapi.Gateway) bool {
	for _, r := range g.Status.Replicas {
		if r.Holder {
			return true
		}
	}
	return false
}

func (m *remote) stop(tb testing.TB) {
	tb.Helper()
	for _, g := range m.gateways {
		if g.stop == nil {
			continue
		}
		g.stop()
		if err := <-g.ended; err != nil {
			tb.Errorf("the gateway ended with %v", err)
		}
		g.stop = nil
	}
	m.stopHub()
	if err := <-m.ended; err != nil {
		tb.Errorf("the hub ended with %v", err)
	}
}

func (m *remote) endpoint() string { return "https://" + m.listen }

func (m *remote) settings() map[string]string {
	return map[string]string{"endpoint": m.endpoint(), "token": m.token, "ca_certificate": m.ca}
}

func (m *remote) embedded(context.Context, string) (http.RoundTripper, error) {
	return nil, errors.New("the provider has an endpoint, and started a hub of its own")
}

func (m *remote) client() (*hubapi.Client, error) {
	return hubapi.NewClient(hubapi.Config{Endpoint: m.endpoint(), Token: m.token, CACertificate: strings.TrimSpace(m.ca) + "\n"})
}

// PairGateway makes a process of the test a replica of the gateway that a pairing token is for, and runs it until the test
// ends.
func (e *Env) PairGateway(name, token string) (*RemoteGateway, error) {
	e.tb.Helper()
	m, ok := e.mode.(*remote)
	if !ok {
		return nil, errors.New("only a remote world has gateways of its own")
	}
	g, err := m.pair(e.tb, filepath.Join(e.tb.TempDir(), "gateway"), name, token)
	if err != nil {
		return nil, err
	}
	m.gateways = append(m.gateways, g)
	m.startGateway(e.tb, g)
	return g, nil
}

// StopGateway ends a gateway's process, as a crash of its machine does, until StartGateway.
func (e *Env) StopGateway(g *RemoteGateway) {
	e.tb.Helper()
	g.stop()
	if err := <-g.ended; err != nil {
		e.tb.Errorf("the gateway ended with %v", err)
	}
	g.stop = nil
}

// RotateKey has a gateway make a new sealing key, and waits until the hub has it.
func (e *Env) RotateKey(g *RemoteGateway) {
	e.tb.Helper()
	rotated, err := agent.RotateKey(e.tb.Context(), g.dataDir)
	if err != nil {
		e.tb.Fatal(err)
	}
	ticker := time.NewTicker(100 * time.Millisecond)
	defer ticker.Stop()
	for deadline := time.Now().Add(time.Minute); ; <-ticker.C {
		gateways, err := e.Client().Gateway(e.tb.Context(), g.ID)
		if err == nil && gateways.KeyFingerprint() == rotated.To {
			return
		}
		if time.Now().After(deadline) {
			e.tb.Fatalf("the hub does not take the new key: %v", err)
		}
	}
}

// AddGateway makes another gateway of a remote world, paired and running.
func (e *Env) AddGateway(name string) *RemoteGateway {
	e.tb.Helper()
	m, ok := e.mode.(*remote)
	if !ok {
		e.tb.Fatal("only a remote world has gateways of its own")
	}
	g := m.newGateway(e.tb, name)
	m.gateways = append(m.gateways, g)
	m.startGateway(e.tb, g)
	return g
}
