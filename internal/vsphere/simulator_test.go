package vsphere

import (
	"context"
	"crypto/tls"
	"encoding/pem"
	"sync"
	"testing"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/soap"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// vcenter is a plain simulator, for what does not need testkit's truths.
type vcenter struct {
	model  *simulator.Model
	server *simulator.Server
}

func startSimulator(t *testing.T, change func(*simulator.Model)) *vcenter {
	t.Helper()
	model := simulator.VPX()
	if change != nil {
		change(model)
	}
	if err := model.Create(); err != nil {
		t.Fatal(err)
	}
	model.Service.TLS = new(tls.Config)
	model.Service.RegisterEndpoints = true
	server := model.Service.NewServer()
	t.Cleanup(func() {
		server.Close()
		model.Remove()
	})
	return &vcenter{model: model, server: server}
}

func (v *vcenter) config() Config {
	password, _ := v.server.URL.User.Password()
	certificate := v.server.TLS.Certificates[0].Certificate[0]
	return Config{
		Host: v.server.URL.Host, Username: v.server.URL.User.Username(), Password: password,
		Trust:   Trust{CACertificate: string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: certificate}))},
		through: throughCalls,
	}
}

func (v *vcenter) open(t *testing.T) *Session {
	t.Helper()
	s, err := Open(t.Context(), v.config())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(context.Background()); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return s
}

// calls counts the SOAP calls of a session by name, logins left out.
type calls struct {
	next  soap.RoundTripper
	mutex sync.Mutex
	names []string
	// fail is asked before each call and may answer in the vCenter's place.
	fail func(name string) error
	// lose is asked after each call; an error is what comes back instead of the answer.
	lose func(name string) error
}

// throughCalls is a Config's way to have its session's calls counted.
func throughCalls(next soap.RoundTripper) soap.RoundTripper { return &calls{next: next} }

// countCalls begins to count. The session's loop may be calling already.
func countCalls(s *Session) *calls {
	c := s.vim.RoundTripper.(*caller).next.(*calls)
	c.reset()
	return c
}

func (c *calls) failBy(fail func(name string) error) {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	c.fail = fail
}

func (c *calls) loseBy(lose func(name string) error) {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	c.lose = lose
}

func (c *calls) RoundTrip(ctx context.Context, req, res soap.HasFault) error {
	name := callName(req)
	c.mutex.Lock()
	c.names = append(c.names, name)
	fail, lose := c.fail, c.lose
	c.mutex.Unlock()
	if fail != nil {
		if err := fail(name); err != nil {
			return err
		}
	}
	err := c.next.RoundTrip(ctx, req, res)
	if lose != nil && err == nil {
		return lose(name)
	}
	return err
}

func (c *calls) reset() {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	c.names = nil
}

func (c *calls) seen() []string {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	return append([]string(nil), c.names...)
}

func (c *calls) count(name string) int {
	n := 0
	for _, seen := range c.seen() {
		if seen == name {
			n++
		}
	}
	return n
}
