package vsphere

import (
	"context"
	"crypto/x509"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vapi/rest"
	_ "github.com/vmware/govmomi/vapi/simulator" // the REST endpoint
	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/types"

	"github.com/terraform-provider-palette/terraform-provider-palette/internal/inventory"
)

func TestOpenTrust(t *testing.T) {
	v := startSimulator(t, nil)
	good := v.config().Trust.CACertificate
	leaf, err := x509.ParseCertificate(v.server.TLS.Certificates[0].Certificate[0])
	if err != nil {
		t.Fatal(err)
	}
	prints := thumbprintsOf(leaf)
	wrong := strings.Repeat("00:", 19) + "11"
	tests := map[string]struct {
		reason  string
		trust   Trust
		trusted bool
	}{
		"CA":        {reason: "a bundle with the issuer", trust: Trust{CACertificate: good}, trusted: true},
		"SHA1":      {reason: "vSphere shows SHA-1", trust: Trust{Thumbprints: prints[:1]}, trusted: true},
		"SHA256":    {reason: "openssl shows SHA-256", trust: Trust{Thumbprints: prints[1:]}, trusted: true},
		"LowerCase": {reason: "case says nothing", trust: Trust{Thumbprints: []string{strings.ToLower(prints[1])}}, trusted: true},
		"NoColons": {
			reason: "colons say nothing",
			trust:  Trust{Thumbprints: []string{strings.ReplaceAll(prints[0], ":", "")}}, trusted: true,
		},
		"Rotation":  {reason: "any of the list is enough", trust: Trust{Thumbprints: []string{wrong, prints[0]}}, trusted: true},
		"Insecure":  {reason: "said out loud", trust: Trust{Insecure: true}, trusted: true},
		"BothFirst": {reason: "the bundle is enough", trust: Trust{CACertificate: good, Thumbprints: []string{wrong}}, trusted: true},
		"Empty":     {reason: "empty means the system's authorities, never insecure"},
		"Wrong":     {reason: "another certificate", trust: Trust{Thumbprints: []string{wrong}}},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			config := v.config()
			config.Trust = tc.trust
			s, err := Open(t.Context(), config)
			if tc.trusted {
				if err != nil {
					t.Fatalf("%s: %v", tc.reason, err)
				}
				_ = s.Close(t.Context())
				return
			}
			var untrusted *UntrustedError
			if !errors.As(err, &untrusted) {
				t.Fatalf("%s: got %v, want an UntrustedError", tc.reason, err)
			}
			if diff := cmp.Diff(prints, untrusted.Presented); diff != "" {
				t.Errorf("%s: presented thumbprints: -want, +got:\n%s", tc.reason, diff)
			}
		})
	}
}

func TestOpenRefused(t *testing.T) {
	v := startSimulator(t, func(m *simulator.Model) {})
	tests := map[string]struct {
		reason string
		change func(*Config)
		is     func(error) bool
	}{
		"Password": {
			reason: "a wrong password is one clear error",
			change: func(c *Config) { c.Password = "" },
			is:     func(err error) bool { return errors.Is(err, ErrCredentials) && Classify(err) == ClassFatal },
		},
		"Address": {
			reason: "nothing listens there",
			change: func(c *Config) { c.Host = "127.0.0.1:1" },
			is: func(err error) bool {
				var unreachable *UnreachableError
				return errors.As(err, &unreachable) && Classify(err) == ClassRetry
			},
		},
		"CA": {
			reason: "a bundle without certificates is a mistake",
			change: func(c *Config) { c.Trust.CACertificate = "hello" },
			is:     func(err error) bool { return err != nil && Classify(err) == ClassFatal },
		},
		"Thumbprint": {
			reason: "a thumbprint that cannot be one is a mistake",
			change: func(c *Config) { c.Trust.Thumbprints = []string{"12:34"} },
			is:     func(err error) bool { return err != nil && Classify(err) == ClassFatal },
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			config := v.config()
			tc.change(&config)
			s, err := Open(t.Context(), config)
			if s != nil || !tc.is(err) {
				t.Errorf("%s: got %v, %v", tc.reason, s, err)
			}
		})
	}
}

func TestAbout(t *testing.T) {
	v := startSimulator(t, nil)
	about := v.open(t).About()
	want := v.model.ServiceContent.About
	if diff := cmp.Diff(About{
		Version: want.Version, Build: want.Build, APIVersion: want.ApiVersion, InstanceUUID: want.InstanceUuid,
	}, about); diff != "" {
		t.Errorf("-want, +got:\n%s", diff)
	}
}

// killSession ends the session behind its back, as a restart of vCenter does.
func killSession(t *testing.T, s *Session) {
	t.Helper()
	if _, err := methods.Logout(t.Context(), s.soap, &types.Logout{This: *s.content.SessionManager}); err != nil {
		t.Fatal(err)
	}
}

func TestLoginAgain(t *testing.T) {
	v := startSimulator(t, nil)
	s := v.open(t)
	killSession(t, s)
	before := s.generation.Load()
	failed := make(chan error, 16)
	for range cap(failed) {
		go func() {
			_, err := s.Inventory(t.Context(), inventory.Query{Kind: inventory.KindDatacenters})
			failed <- err
		}()
	}
	for range cap(failed) {
		if err := <-failed; err != nil {
			t.Errorf("reading after the session was lost: %v", err)
		}
	}
	if got := s.generation.Load() - before; got != 1 {
		t.Errorf("%d logins for one lost session, want 1", got)
	}
}

func TestProbeLogsIn(t *testing.T) {
	v := startSimulator(t, nil)
	s := v.open(t)
	killSession(t, s)
	before := s.generation.Load()
	s.probe(t.Context())
	s.probe(t.Context())
	if got := s.generation.Load() - before; got != 1 {
		t.Errorf("%d logins for one lost session, want 1", got)
	}
}

func TestRefusedForGood(t *testing.T) {
	v := startSimulator(t, nil)
	s := v.open(t)
	killSession(t, s)
	s.config.Password = ""
	for range 3 {
		_, err := s.Inventory(t.Context(), inventory.Query{Kind: inventory.KindDatacenters})
		if !errors.Is(err, ErrCredentials) {
			t.Fatalf("got %v, want ErrCredentials", err)
		}
	}
	counted := countCalls(s)
	_, _ = s.Inventory(t.Context(), inventory.Query{Kind: inventory.KindDatacenters})
	if diff := cmp.Diff(0, len(counted.seen())); diff != "" {
		t.Errorf("calls of a session whose password was refused: -want, +got:\n%s", diff)
	}
}

func TestRESTLoginAgain(t *testing.T) {
	v := startSimulator(t, nil)
	s := v.open(t)
	query := inventory.Query{Kind: inventory.KindComputeClusters}
	if _, err := s.Inventory(t.Context(), query); err != nil {
		t.Fatal(err)
	}
	if err := s.withREST(t.Context(), func(c *rest.Client) error { return c.Logout(t.Context()) }); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Inventory(t.Context(), query); err != nil {
		t.Errorf("reading tags after the REST session was lost: %v", err)
	}
}

func TestReadsAreRepeated(t *testing.T) {
	answered := taskFault(&types.LocalizedMethodFault{Fault: &types.NotSupported{}})
	tests := map[string]struct {
		reason string
		fault  error
		times  int
		class  Class
	}{
		"EOF":      {reason: "a cut connection", fault: io.EOF, times: 2},
		"Starting": {reason: "a vCenter that starts", fault: &statusError{"503 Service Unavailable"}, times: 3},
		"Down":     {reason: "not for ever", fault: io.EOF, times: 100, class: ClassRetry},
		"Fault":    {reason: "a fault is an answer", fault: answered, times: 1, class: ClassFatal},
	}
	v := startSimulator(t, nil)
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			s := v.open(t)
			counted := countCalls(s)
			left := tc.times
			counted.failBy(func(name string) error {
				if name != "RetrievePropertiesEx" || left == 0 {
					return nil
				}
				left--
				return tc.fault
			})
			_, err := s.Inventory(t.Context(), inventory.Query{Kind: inventory.KindDatacenters})
			if diff := cmp.Diff(tc.class, Classify(err)); diff != "" {
				t.Errorf("%s: class of %v: -want, +got:\n%s", tc.reason, err, diff)
			}
			if got := counted.count("RetrievePropertiesEx"); got > readAttempts {
				t.Errorf("%s: %d attempts, want at most %d", tc.reason, got, readAttempts)
			}
		})
	}
}

func TestCancelledReadReturns(t *testing.T) {
	v := startSimulator(t, nil)
	s := v.open(t)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	countCalls(s).failBy(func(string) error { return io.EOF })
	if _, err := s.Inventory(ctx, inventory.Query{Kind: inventory.KindDatacenters}); err == nil {
		t.Error("no error from a read that never got through")
	}
}
