package gateway

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/terraform-provider-palette/terraform-provider-palette/internal/gateway/policy"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/gatewayapi"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/hubapi"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/vsphere"
)

// accounts holds one vCenter session for each cloud account, however many clusters use it.
type accounts struct {
	identity  Identity
	policy    *policy.Policy
	calls     func(vsphere.Call)
	userAgent string
	pace      time.Duration

	ctx    context.Context //nolint:containedctx // The life of logins, which outlive the request that starts them.
	stop   context.CancelFunc
	logins sync.WaitGroup

	mu   sync.Mutex
	open map[string]*account
}

// loginLimit bounds one login.
const loginLimit = time.Minute

// account is the session of one cloud account with one set of credentials. A refused password is remembered: asking the
// vCenter again would only lock the account out.
type account struct {
	digest   [sha256.Size]byte
	revision int64
	ready    chan struct{} // closed when session and err are set
	session  *vsphere.Session
	err      error
}

func newAccounts(cfg Config) *accounts {
	ctx, stop := context.WithCancel(context.Background())
	return &accounts{
		ctx: ctx, stop: stop, identity: cfg.Identity, policy: cfg.Policy, calls: cfg.Calls,
		userAgent: "terraform-provider-palette-gateway/" + cfg.Version, pace: cfg.Pace,
		open: map[string]*account{},
	}
}

// session returns the session for an account, logging in when there is none for these very credentials. A document that is
// older than the one logged in with is out of date: its holder gets the session of the newer one.
func (a *accounts) session(ctx context.Context, doc gatewayapi.Account) (*vsphere.Session, error) {
	digest, err := digestOf(doc)
	if err != nil {
		return nil, err
	}
	a.mu.Lock()
	current, ok := a.open[doc.ID]
	if ok && (current.digest == digest || doc.Revision < current.revision) {
		a.mu.Unlock()
		return current.wait(ctx)
	}
	next := &account{digest: digest, revision: doc.Revision, ready: make(chan struct{})}
	a.open[doc.ID] = next
	a.logins.Go(func() { a.begin(doc, next, current) })
	a.mu.Unlock()
	return next.wait(ctx)
}

// begin logs in for all who wait, whichever of them goes away meanwhile.
func (a *accounts) begin(doc gatewayapi.Account, next, previous *account) {
	ctx, cancel := context.WithTimeout(a.ctx, loginLimit)
	defer cancel()
	next.session, next.err = a.login(ctx, doc)
	close(next.ready)
	a.settle(ctx, doc.ID, next, previous)
}

// settle keeps the better of two accounts: a new one that could not log in gives way to the old one, except that refused
// credentials are remembered where there is nothing to go back to. Who works with the session of the old one is told by
// it that it is closed, and comes back.
func (a *accounts) settle(ctx context.Context, id string, next, previous *account) {
	if next.err == nil {
		if previous != nil {
			if session, err := previous.wait(ctx); err == nil {
				_ = session.Close(ctx) // The new credentials work; what the old session leaves behind times out.
			}
		}
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.open[id] != next {
		return
	}
	switch {
	case previous != nil:
		a.open[id] = previous
	case !errors.Is(next.err, vsphere.ErrCredentials):
		delete(a.open, id)
	}
}

func (a *account) wait(ctx context.Context) (*vsphere.Session, error) {
	select {
	case <-a.ready:
		return a.session, a.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (a *accounts) login(ctx context.Context, doc gatewayapi.Account) (*vsphere.Session, error) {
	if err := a.mayUse(doc); err != nil {
		return nil, err
	}
	password, err := a.password(doc)
	if err != nil {
		return nil, err
	}
	return vsphere.Open(ctx, a.sessionConfig(doc.Spec.VCenter, doc.Spec.Username, password, vsphere.Trust(doc.Spec.Trust)))
}

// password opens an account's password.
func (a *accounts) password(doc gatewayapi.Account) (string, error) {
	binding, err := hubapi.PasswordBinding(doc.Project, doc.ID, doc.Spec)
	if err != nil {
		return "", err
	}
	password, err := a.identity.Key.Open(binding, doc.SealedPassword)
	if err != nil {
		return "", &hubapi.Problem{
			Code: hubapi.CodeCredentials, Field: "/password_wo", Title: "Password cannot be opened",
			Detail: err.Error(),
			Hint:   "Give the password again by raising password_wo_version.",
		}
	}
	return string(password), nil
}

func (a *accounts) sessionConfig(host, username, password string, trust vsphere.Trust) vsphere.Config {
	config := vsphere.Config{
		Host: host, Username: username, Password: password, Trust: trust,
		UserAgent: a.userAgent, Pace: a.pace, Calls: a.calls,
	}
	if a.policy != nil {
		config.Reach = a.policy.Reach
	}
	return config
}

// mayUse tells why this gateway has nothing to do with an account, if so. A hub is not believed: what it hands on may be
// another gateway's, or changed.
func (a *accounts) mayUse(doc gatewayapi.Account) error {
	if doc.Spec.GatewayID != a.identity.ID {
		return &hubapi.Problem{
			Code: hubapi.CodeInvalid, Field: "/gateway_id", Title: "Not my account",
			Detail: fmt.Sprintf("cloud account %s belongs to gateway %s, this is %s", doc.Name, doc.Spec.GatewayID, a.identity.ID),
		}
	}
	if err := a.identity.worksFor(doc.Project); err != nil {
		return err
	}
	if host, err := hubapi.CanonicalVCenter(doc.Spec.VCenter); err != nil || host != doc.Spec.VCenter {
		return hubapi.NewProblem(hubapi.CodeInvalid, "the vCenter's address is not in its canonical form").At("/vcenter")
	}
	if a.policy == nil {
		return nil
	}
	return a.policy.VCenter(doc.Spec.VCenter)
}

// count is how many sessions are open or being opened.
func (a *accounts) count() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return len(a.open)
}

func (a *accounts) close(ctx context.Context) error {
	a.stop()
	a.logins.Wait() // each ends with the context
	a.mu.Lock()
	defer a.mu.Unlock()
	var errs []error
	for _, open := range a.open {
		if session, err := open.wait(ctx); err == nil {
			errs = append(errs, session.Close(ctx))
		}
	}
	a.open = map[string]*account{}
	return errors.Join(errs...)
}

// digestOf names a set of credentials: where, who, which password, what is believed.
func digestOf(doc gatewayapi.Account) ([sha256.Size]byte, error) {
	spec := doc.Spec
	spec.Verify = nil // what is checked once does not change the session
	text, err := json.Marshal(struct {
		Spec   hubapi.CloudAccountSpec `json:"spec"`
		Sealed []byte                  `json:"sealed"`
	}{spec, doc.SealedPassword})
	if err != nil {
		return [sha256.Size]byte{}, fmt.Errorf("encoding cloud account: %w", err)
	}
	return sha256.Sum256(text), nil
}
