// Package vsphere owns everything that is said to a vCenter: one session for each cloud account, reads of the inventory,
// and the folders and virtual machines of clusters. It is the only package that imports govmomi, and it knows nothing of
// hubs or Terraform; the gateway uses it.
//
// A Session holds one SOAP session and, once tags are needed, one REST session. It logs in again by itself when vCenter
// forgets it, and stops for good when vCenter refuses the password. All waiting, for tasks and for machines, goes through
// one property collector for each session. Nothing is remembered that would have to be right after a crash: the caches
// hold names and references only and are read again when one of them is unknown.
package vsphere

import (
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"sync"
	"sync/atomic"
	"time"

	"github.com/vmware/govmomi/vapi/rest"
	"github.com/vmware/govmomi/vim25"
	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/soap"
	"github.com/vmware/govmomi/vim25/types"
	"golang.org/x/sync/singleflight"
)

const (
	// maxReads bounds the read calls of one session that are under way at once.
	maxReads = 8
	// keepAlive is how often an idle session is used; vCenter's default time-out is 30 minutes.
	keepAlive = 5 * time.Minute
	// callTimeout bounds one call, so that a connection that swallows answers is given up.
	callTimeout = 2 * time.Minute
	// logoutTimeout bounds the farewell to a vCenter that does not answer.
	logoutTimeout = 10 * time.Second
	// defaultPace is the pause after an update, in which further updates gather.
	defaultPace = 400 * time.Millisecond
)

// Config says which vCenter to talk to, and as whom.
type Config struct {
	// Host is a host name or IP address, IPv6 in brackets, with a port where that is not 443.
	Host, Username, Password string
	Trust                    Trust
	// UserAgent is shown in vCenter's list of sessions.
	UserAgent string
	// Pace is the least time between two answers of the update loop; 0 is the default of 400 ms.
	Pace time.Duration
	// Reach judges each address before it is connected to; nil has no objection to any.
	Reach func(netip.Addr) error
	// Calls is told of each call when it ends; nil is nobody.
	Calls func(Call)

	// through is put around the session's transport before its first call. Tests count and break calls with it.
	through func(soap.RoundTripper) soap.RoundTripper
}

// Login is how a session was opened.
type Login struct {
	Host     string
	Username string
	Password string
	Trust    Trust
}

// Login says how the session was opened.
func (s *Session) Login() Login {
	return Login{Host: s.config.Host, Username: s.config.Username, Password: s.config.Password, Trust: s.config.Trust}
}

// About says what a vCenter is.
type About struct {
	// Version is such as "8.0.3", Build the number of the build, APIVersion such as "8.0.3.0".
	Version, Build, APIVersion string
	InstanceUUID               string
}

// Session is a logged-in session with one vCenter. It is safe for concurrent use.
type Session struct {
	config  Config
	soap    *soap.Client
	vim     *vim25.Client
	content types.ServiceContent

	ctx    context.Context //nolint:containedctx // ends with the session, which outlives every call
	cancel context.CancelFunc
	owned  sync.WaitGroup

	logins     singleflight.Group
	generation atomic.Int64 // counts SOAP logins
	user       atomic.Value // string: the user as vCenter calls it
	refused    atomic.Bool
	closed     atomic.Bool
	reads      chan struct{}

	restMutex sync.Mutex
	rest      *rest.Client
	tagNames  map[string]tagName

	cache   cache
	updates *updates
	making  *making
}

// Open logs in, exactly once. The SOAP session is made now, the REST session when tags are first needed. The context
// bounds opening only. No proxy is used, whatever the environment says.
func Open(ctx context.Context, config Config) (*Session, error) {
	tlsConfig, err := config.Trust.tlsConfig(config.Host)
	if err != nil {
		return nil, err
	}
	if config.Pace <= 0 {
		config.Pace = defaultPace
	}
	client := soap.NewClient(&url.URL{Scheme: "https", Host: config.Host, Path: vim25.Path}, false)
	client.UserAgent = config.UserAgent
	replaceTransport(client, newTransport(tlsConfig), newDialer(config.Reach))
	s := &Session{config: config, soap: client, reads: make(chan struct{}, maxReads), making: newMaking()}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	s.updates = newUpdates(s)
	if err := s.open(ctx); err != nil {
		s.cancel()
		client.CloseIdleConnections()
		return nil, err
	}
	s.owned.Go(s.keepAlive)
	s.owned.Go(func() { s.updates.run(s.ctx) })
	return s, nil
}

func (s *Session) open(ctx context.Context) error {
	if err := s.useServiceVersion(ctx); err != nil {
		return s.connectError(err)
	}
	vim, err := vim25.NewClient(s.operation(ctx), s.soap)
	if err != nil {
		return s.connectError(err)
	}
	s.vim, s.content = vim, vim.ServiceContent
	transport := soap.RoundTripper(s.soap)
	if s.config.through != nil {
		transport = s.config.through(transport)
	}
	vim.RoundTripper = &caller{session: s, next: transport}
	return s.login(ctx)
}

// connectError makes an error of the first calls into one that says what is wrong with the address or its trust.
func (s *Session) connectError(err error) error {
	var untrusted *UntrustedError
	var forbidden *ForbiddenAddressError
	switch {
	case errors.As(err, &untrusted):
		return untrusted
	case errors.As(err, &forbidden):
		return forbidden
	case errors.Is(err, context.Canceled):
		return fmt.Errorf("connecting to vCenter %s: %w", s.config.Host, err)
	}
	return &UnreachableError{Host: s.config.Host, Err: err}
}

// useServiceVersion asks which API version the vCenter speaks and speaks no newer one.
func (s *Session) useServiceVersion(ctx context.Context) error {
	u := s.soap.URL()
	u.Path = vim25.Path + "/vimServiceVersions.xml"
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), http.NoBody)
	if err != nil {
		return fmt.Errorf("asking for the API version: %w", err)
	}
	var versions struct {
		Namespaces []struct {
			Name    string `xml:"name"`
			Version string `xml:"version"`
		} `xml:"namespace"`
	}
	err = s.soap.Do(ctx, request, func(response *http.Response) error {
		if response.StatusCode != http.StatusOK {
			return fmt.Errorf("asking for the API version: %s", response.Status)
		}
		return xml.NewDecoder(response.Body).Decode(&versions)
	})
	if err != nil {
		return err
	}
	for _, namespace := range versions.Namespaces {
		if namespace.Name == "urn:"+vim25.Namespace {
			s.soap.Namespace, s.soap.Version = namespace.Name, namespace.Version
			return nil
		}
	}
	return errors.New("the server does not offer the vSphere API")
}

// login makes a SOAP session. A refused password closes the session's mouth for good.
func (s *Session) login(ctx context.Context) error {
	if s.refused.Load() {
		return ErrCredentials
	}
	response, err := methods.Login(s.operation(ctx), s.soap, &types.Login{
		This: *s.content.SessionManager, UserName: s.config.Username, Password: s.config.Password,
	})
	if err != nil {
		if _, ok := isFault[*types.InvalidLogin](err); ok {
			s.refused.Store(true)
			return ErrCredentials
		}
		if isTransport(err) {
			return s.connectError(err)
		}
		return s.newFaultError("log in", s.config.Host, err)
	}
	s.user.Store(response.Returnval.UserName)
	s.generation.Add(1)
	return nil
}

// loginAgain makes a new SOAP session unless somebody has done so since generation seen. However many callers notice at
// once, one login is made.
func (s *Session) loginAgain(ctx context.Context, seen int64) error {
	//nolint:contextcheck // the login is everybody's who waits for it, so no single caller may end it
	done := s.logins.DoChan("soap", func() (any, error) {
		if s.generation.Load() != seen {
			return nil, nil //nolint:nilnil // nothing to return but the error
		}
		bounded, cancel := context.WithTimeout(s.ctx, callTimeout)
		defer cancel()
		return nil, s.login(bounded)
	})
	select {
	case result := <-done:
		return result.Err
	case <-ctx.Done():
		return fmt.Errorf("logging in again: %w", ctx.Err())
	}
}

// usable tells why no call may be made, if so.
func (s *Session) usable() error {
	switch {
	case s.closed.Load():
		return ErrClosed
	case s.refused.Load():
		return ErrCredentials
	}
	return nil
}

// keepAlive uses the session now and then. The probe is a property read and needs no privilege; one that fails is
// followed by the next.
func (s *Session) keepAlive() {
	ticker := time.NewTicker(keepAlive)
	defer ticker.Stop()
	for {
		select {
		case <-s.ctx.Done():
			return
		case <-ticker.C:
		}
		s.probe(s.ctx)
	}
}

func (s *Session) probe(ctx context.Context) {
	seen := s.generation.Load()
	objects, err := s.retrieve(ctx, objectSpec(*s.content.SessionManager, "currentSession"))
	if err != nil || s.usable() != nil {
		return
	}
	if len(objects) == 0 || objects[0].props["currentSession"] == nil {
		_ = s.loginAgain(ctx, seen) // the next call, or the next probe, tries again
	}
	s.probeREST(ctx)
}

// About says what the vCenter is.
func (s *Session) About() About {
	about := s.content.About
	return About{
		Version: about.Version, Build: about.Build, APIVersion: about.ApiVersion, InstanceUUID: about.InstanceUuid,
	}
}

// Close stops all waiting and logs out. Tasks that are running in the vCenter go on.
func (s *Session) Close(ctx context.Context) error {
	if s.closed.Swap(true) {
		return nil
	}
	s.cancel()
	s.owned.Wait()
	defer s.soap.CloseIdleConnections()
	if s.refused.Load() {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, logoutTimeout)
	defer cancel()
	restErr := s.logoutREST(ctx)
	_, err := methods.Logout(s.operation(ctx), s.soap, &types.Logout{This: *s.content.SessionManager})
	if _, gone := isFault[*types.NotAuthenticated](err); gone {
		err = nil
	}
	if err := errors.Join(restErr, err); err != nil {
		return fmt.Errorf("logging out of vCenter %s: %w", s.config.Host, err)
	}
	return nil
}
