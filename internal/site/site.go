package site

import (
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/terraform-provider-palette/terraform-provider-palette/internal/hubapi"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/testkit"
)

// Options says what stands in a site. The zero value is a vCenter, a hub on SQLite and a gateway of one replica, on the
// loopback interface with relays between them.
type Options struct {
	VCenter testkit.Options
	// Hubs is the number of instances of the hub; 0 is one. Several need a Database.
	Hubs     int
	Replicas int
	// Database is the URL of a PostgreSQL database; "" is SQLite.
	Database string
	// Places puts each side in a network namespace of its own. See NeedPlaces.
	Places bool
	// Bare leaves out the gateway, the cloud account and the address pool, for tests that make them themselves.
	Bare bool
	// Hurried has gateways look at their vCenters without a pause, for tests that begin the same again and again. They are
	// the test's own binary then, so the package needs a TestMain that calls Main.
	Hurried bool
	// HubSkew is how far the hubs' clock is ahead of everybody else's. They are the test's own binary, too.
	HubSkew time.Duration
	// HubArgs and GatewayArgs are added to the command lines.
	HubArgs, GatewayArgs []string
}

// Site is a vCenter, hubs, a gateway, and the paths between them.
type Site struct {
	VCenter *testkit.VCenter
	// VCenterHost is the vCenter's host:port as a gateway dials it.
	VCenterHost string
	Hubs        []*Hub
	// Front is the way of Terraform, and of this test, to the hubs; nil where the site has places.
	Front    *Relay
	Replicas []*Replica
	// Client has an admin's token of the project default.
	Client *hubapi.Client
	Token  string

	GatewayID, Account, Pool string

	tb      testing.TB
	options Options
	dir     string
	tls     certificate
	foreign []string
	network *network
	// outside, middle and private are where Terraform, the hub, and gateway and vCenter are.
	outside, middle, private Place
}

// New makes a site, starts all that is in it, and ends it with the test.
func New(tb testing.TB, options Options) *Site {
	tb.Helper()
	s := &Site{tb: tb, options: options, dir: tb.TempDir(), outside: Here, middle: Here, private: Here}
	Binary(tb) // Building takes longer than anything below may.
	if options.Places {
		s.network = newNetwork(tb)
		s.outside, s.middle, s.private = s.network.outside, s.network.middle, s.network.private
	}
	s.startVCenter()
	s.startHubs()
	s.Token = s.NewToken("default", "admin")
	s.Client = s.ClientWith("default", s.Token)
	if !options.Bare {
		s.AddGateway()
		s.Account, s.Pool = s.newAccount(), s.newPool()
	}
	s.foreign = s.VCenter.VMs()
	return s
}

// startVCenter runs the vCenter in the test's own process and network. In a site with places a relay in the private one
// stands for it.
func (s *Site) startVCenter() {
	s.tb.Helper()
	s.options.VCenter.Addresses = append(s.options.VCenter.Addresses, vcenterAddress)
	s.VCenter = testkit.Start(s.tb, s.options.VCenter)
	s.VCenterHost = s.VCenter.Host()
	if s.options.Places {
		s.VCenterHost = vcenterAddress + ":443"
		newRelayAt(s.tb, s.private, s.VCenterHost, s.VCenter.Host())
	}
}

func (s *Site) startHubs() {
	s.tb.Helper()
	if s.options.Places {
		s.tls = newCertificate(s.tb, s.dir, hubAddress)
		s.Hubs = append(s.Hubs, s.newHub("hub-0", hubAddress+":443"))
		return
	}
	s.tls = newCertificate(s.tb, s.dir, "127.0.0.1")
	var targets []string
	for range max(s.options.Hubs, 1) {
		targets = append(targets, freeAddr(s.tb))
	}
	s.Front = newRelay(s.tb, targets...)
	for i, addr := range targets {
		s.Hubs = append(s.Hubs, s.newHub("hub-"+string(rune('0'+i)), addr))
	}
}

// Endpoint is the hub's URL as Terraform knows it.
func (s *Site) Endpoint() string {
	if s.options.Places {
		return "https://" + hubAddress
	}
	return "https://" + s.Front.Addr()
}

// CACertificate is the PEM that the hub is believed by.
func (s *Site) CACertificate() string { return s.tls.pem }

// Path is a path in the site's directory, in which everything lies that its processes write.
func (s *Site) Path(name string) string { return filepath.Join(s.dir, name) }

// ClientWith returns a client of the hub's API, from outside.
func (s *Site) ClientWith(project, token string) *hubapi.Client {
	s.tb.Helper()
	transport := s.transport(s.outside)
	s.tb.Cleanup(transport.CloseIdleConnections)
	client, err := hubapi.NewClient(hubapi.Config{Endpoint: s.Endpoint(), Project: project, Token: token, Transport: transport})
	if err != nil {
		s.tb.Fatal(err)
	}
	return client
}

func (s *Site) newAccount() string {
	s.tb.Helper()
	id := uuid.NewString()
	spec := hubapi.CloudAccountSpec{
		GatewayID: s.GatewayID, VCenter: s.VCenterHost, Username: s.VCenter.Username(),
		Trust: hubapi.Trust{CACertificate: s.VCenter.CACertificate()},
	}
	sealed, _, err := s.Client.SealPassword(s.tb.Context(), id, spec, "", s.VCenter.Password())
	if err != nil {
		s.tb.Fatalf("sealing the vCenter's password: %v", err)
	}
	_, err = s.Client.PutCloudAccount(s.tb.Context(), id,
		hubapi.CloudAccountWrite{Name: "lab", Spec: spec, SealedPassword: sealed}, hubapi.WriteOptions{Create: true})
	if err != nil {
		s.tb.Fatalf("keeping a cloud account: %v", err)
	}
	return id
}

func (s *Site) newPool() string {
	s.tb.Helper()
	id := uuid.NewString()
	_, err := s.Client.PutIPPool(s.tb.Context(), id, hubapi.IPPoolWrite{Name: PoolName, Spec: hubapi.IPPoolSpec{
		GatewayID: s.GatewayID, Subnet: "10.20.0.0/22", Gateway: "10.20.0.1", Prefix: 22,
		NameServers: []string{"10.20.0.2"}, Excluded: []string{"10.20.3.200"}, CooldownSeconds: 0,
	}}, hubapi.WriteOptions{Create: true})
	if err != nil {
		s.tb.Fatalf("keeping an address pool: %v", err)
	}
	return id
}

// Took logs how long something took, for the numbers that tests are about.
func (s *Site) Took(what string, began time.Time) time.Duration {
	took := time.Since(began)
	s.tb.Logf("%s: %s", what, took.Round(time.Millisecond))
	return took
}

// At does something when vCenter is called with a method for the first time from now on, before it carries the call out,
// and tells when that was done.
func (s *Site) At(method string, do func()) (done <-chan struct{}) {
	struck := make(chan struct{})
	var once sync.Once
	s.VCenter.OnCall(func(called string, _ int) error {
		if called == method {
			once.Do(func() {
				do()
				close(struck)
			})
		}
		return nil
	})
	return struck
}

// VCenterCAFile is a file with the certificate authority that the vCenter is believed by.
func (s *Site) VCenterCAFile() string {
	s.tb.Helper()
	path := s.Path("vcenter-ca.pem")
	write(s.tb, path, []byte(s.VCenter.CACertificate()))
	return path
}
