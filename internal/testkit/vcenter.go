package testkit

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"sync"
	"testing"
	"time"

	"github.com/vmware/govmomi"
	"github.com/vmware/govmomi/session"
	"github.com/vmware/govmomi/simulator"
	vapi "github.com/vmware/govmomi/vapi/simulator"
	"github.com/vmware/govmomi/vim25"
	"github.com/vmware/govmomi/vim25/soap"
	"github.com/vmware/govmomi/vim25/types"
)

// Options says how a VCenter is made. The zero value is the inventory of this package's constants and quick guests.
type Options struct {
	// VMs is the number of extra plain VMs, spread over folders below /dc-north/vm/bulk, for tests of size.
	VMs int
	// CloneDelay is how long each clone takes. Its task runs and its name is taken meanwhile.
	CloneDelay time.Duration
	Guests     GuestOptions
	// Listen is host:port; the default is 127.0.0.1:0.
	Listen string
	// Addresses are IP addresses by which the vCenter is reached besides the one it listens on.
	Addresses []string
}

// VCenter is a running simulated vCenter with its guests.
type VCenter struct {
	options  Options
	identity identity
	model    *simulator.Model
	service  *simulator.Service
	listener net.Listener
	server   *http.Server

	// world orders everything that touches the inventory: reads share it, changes have it alone. It is always taken
	// before an object's own lock of the simulator, and not while waiting for updates, only to read them.
	world sync.RWMutex

	ctx    context.Context
	cancel context.CancelFunc
	work   sync.WaitGroup
	closed sync.Once

	tasks    *taskWatch
	changes  *changes
	traffic  traffic
	waits    waits
	sessions sessions
	counters idCounters
	// cloning are the names of clones that are being made, each with the VM that nobody can read yet. It needs the world.
	cloning map[childName]types.ManagedObjectReference
	guests  *guests

	faults     faultRules
	privileges privileges
	// proxies are the *Proxy in front of the server.
	proxies sync.Map
}

// Start runs a VCenter until the test ends.
func Start(tb testing.TB, options Options) *VCenter {
	tb.Helper()
	vc, err := Run(context.Background(), options)
	if err != nil {
		tb.Fatalf("starting the vCenter: %v", err)
	}
	tb.Cleanup(vc.Close)
	return vc
}

// Run starts a VCenter. It stops when ctx ends or Close is called; Close must be called in either case.
func Run(ctx context.Context, options Options) (*VCenter, error) {
	vc := &VCenter{
		options: options, tasks: newTaskWatch(), changes: newChanges(), guests: newGuests(),
		cloning: map[childName]types.ManagedObjectReference{},
	}
	vc.ctx, vc.cancel = context.WithCancel(ctx)
	vc.traffic.reset()
	err := vc.start()
	if err != nil {
		vc.Close()
		return nil, err
	}
	context.AfterFunc(vc.ctx, vc.endWaits)
	return vc, nil
}

func (vc *VCenter) start() error {
	address := vc.options.Listen
	if address == "" {
		address = "127.0.0.1:0"
	}
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return fmt.Errorf("listening: %w", err)
	}
	if vc.identity, err = newIdentity(append(vc.options.Addresses, host)...); err != nil {
		return err
	}
	if err := vc.build(); err != nil {
		return fmt.Errorf("building the inventory: %w", err)
	}
	var config net.ListenConfig
	if vc.listener, err = config.Listen(vc.ctx, "tcp", address); err != nil {
		return fmt.Errorf("listening: %w", err)
	}
	vc.serve()
	if err := vc.tag(); err != nil {
		return fmt.Errorf("tagging: %w", err)
	}
	vc.ResetCalls()
	return nil
}

// Close stops the guests, ends all requests and removes the datastores' files. It may be called more than once.
func (vc *VCenter) Close() {
	vc.closed.Do(func() {
		vc.cancel()
		if vc.server != nil {
			_ = vc.server.Close()
		} else if vc.listener != nil {
			_ = vc.listener.Close()
		}
		vc.endWaits()
		vc.work.Wait()
		if vc.model != nil && vc.model.Service != nil {
			vc.model.Remove()
		}
	})
}

// URL is the vCenter's address with scheme, without path.
func (vc *VCenter) URL() string { return "https://" + vc.Host() }

// Host is the vCenter's host:port.
func (vc *VCenter) Host() string { return vc.listener.Addr().String() }

// CACertificate is the PEM of the CA that signed the server's certificate.
func (vc *VCenter) CACertificate() string { return vc.identity.caPEM }

// Thumbprint is the SHA-256 of the server's certificate in upper-case hex with colons.
func (vc *VCenter) Thumbprint() string { return vc.identity.thumbprint() }

// ThumbprintSHA1 is the SHA-1 of the server's certificate in upper-case hex with colons.
func (vc *VCenter) ThumbprintSHA1() string { return vc.identity.thumbprintSHA1() }

// Username is the user that logs in.
func (vc *VCenter) Username() string { return Username }

// Password is the password of Username.
func (vc *VCenter) Password() string {
	vc.world.RLock()
	defer vc.world.RUnlock()
	password, _ := vc.service.Listen.User.Password()
	return password
}

// SetPassword changes the password of Username. Sessions that are open stay open.
func (vc *VCenter) SetPassword(password string) {
	vc.world.Lock()
	defer vc.world.Unlock()
	// SOAP and REST each have a copy of the URL; what they have in common is this.
	*vc.service.Listen.User = *url.UserPassword(Username, password)
}

// InstanceUUID is the vCenter's own id, as in its service content.
func (vc *VCenter) InstanceUUID() string { return vc.serviceInstance().Content.About.InstanceUuid }

// ownAgent marks the requests of this package's own clients: they are not counted, hooked or faulted.
const ownAgent = "palette-testkit"

// Client logs in a client for assertions. Its calls are not counted, see no faults and no hooks.
func (vc *VCenter) Client(tb testing.TB) *govmomi.Client {
	tb.Helper()
	client, err := vc.login(context.Background())
	if err != nil {
		tb.Fatalf("logging in to the vCenter: %v", err)
	}
	tb.Cleanup(func() {
		_ = client.Logout(context.Background())
		client.CloseIdleConnections()
	})
	return client
}

func (vc *VCenter) login(ctx context.Context) (*govmomi.Client, error) {
	u := &url.URL{Scheme: "https", Host: vc.Host(), Path: vim25.Path}
	transport := soap.NewClient(u, false)
	transport.UserAgent = ownAgent
	transport.DefaultTransport().Proxy = nil
	transport.SetThumbprint(vc.Host(), vc.Thumbprint())
	vim, err := vim25.NewClient(ctx, transport)
	if err != nil {
		return nil, fmt.Errorf("reaching the vCenter: %w", err)
	}
	vim.UserAgent = ownAgent
	client := &govmomi.Client{Client: vim, SessionManager: session.NewManager(vim)}
	if err := client.Login(ctx, url.UserPassword(Username, vc.Password())); err != nil {
		return nil, fmt.Errorf("logging in: %w", err)
	}
	return client, nil
}

// serve registers the simulator's endpoints and starts the server.
func (vc *VCenter) serve() {
	registry := vc.service.Context.Map
	vc.service.Listen = &url.URL{
		Scheme: "https", Host: vc.Host(), Path: vim25.Path, User: url.UserPassword(Username, Password),
	}
	vc.service.RegisterSDK(registry, registry.Path+"/vimService")
	mux := vc.service.ServeMux
	mux.HandleFunc(registry.Path+"/vimServiceVersions.xml", vc.service.ServiceVersions)
	mux.HandleFunc("/folder/", vc.service.ServeDatastore)
	patterns, handler := vapi.New(vc.service.Listen, registry)
	for _, pattern := range patterns {
		vc.service.Handle(pattern, handler)
	}
	registry.SessionManager().ServiceHostName = vc.Host()
	registry.Handler = vc.dispatch

	vc.server = newServer(vc, vc.identity)
	vc.work.Go(func() {
		err := vc.server.ServeTLS(vc.listener, "", "")
		if !errors.Is(err, http.ErrServerClosed) {
			vc.cancel()
		}
	})
}

// context returns a new context of the simulator. Each stands for one caller: locks held by one are not held by another.
func (vc *VCenter) context() *simulator.Context {
	ctx := *vc.service.Context
	return &ctx
}

func (vc *VCenter) registry() *simulator.Registry { return vc.service.Context.Map }

func (vc *VCenter) serviceInstance() *simulator.ServiceInstance {
	instance, _ := vc.registry().Get(vim25.ServiceInstance).(*simulator.ServiceInstance)
	return instance
}
