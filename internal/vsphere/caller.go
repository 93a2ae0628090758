package vsphere

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"reflect"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/soap"
	"github.com/vmware/govmomi/vim25/types"
)

const (
	readAttempts = 4
	firstBackoff = 200 * time.Millisecond
	lastBackoff  = 5 * time.Second
)

// readCalls are the calls that change nothing, or nothing that outlives the session. Only these are repeated when their
// answer is lost; a repeated CloneVM_Task would make a second machine.
var readCalls = map[string]bool{
	"RetrievePropertiesEx": true, "FindAllByIp": true, "FindAllByUuid": true, "FindByInventoryPath": true,
	"FetchUserPrivilegeOnEntities": true, "CreateContainerView": true, "DestroyView": true, "CreateListView": true,
	"CreatePropertyCollector": true, "DestroyPropertyCollector": true, "ModifyListView": true, "CurrentTime": true,
}

// caller is the way of every SOAP call: operation id, bounds, retry of reads, one login when vCenter forgot the session.
type caller struct {
	session *Session
	next    soap.RoundTripper
}

// RoundTrip implements soap.RoundTripper.
func (c *caller) RoundTrip(ctx context.Context, req, res soap.HasFault) error {
	name := callName(req)
	ctx = c.session.operation(ctx)
	read := readCalls[name]
	if read {
		select {
		case c.session.reads <- struct{}{}:
			defer func() { <-c.session.reads }()
		case <-ctx.Done():
			return fmt.Errorf("%s: %w", name, ctx.Err())
		}
	}
	loggedIn := false
	for attempt := 1; ; attempt++ {
		if err := c.session.usable(); err != nil {
			return err
		}
		seen := c.session.generation.Load()
		err := c.once(ctx, req, res)
		_, forgotten := isFault[*types.NotAuthenticated](err)
		switch {
		case err == nil:
			return nil
		case forgotten && !loggedIn:
			if err := c.session.loginAgain(ctx, seen); err != nil {
				return err
			}
			loggedIn = true
		case read && attempt < readAttempts && isTransport(err) && ctx.Err() == nil:
			if err := pause(ctx, backoff(attempt)); err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
		default:
			return c.wrap(name, err)
		}
		// A second answer must not be decoded on top of the first fault.
		reflect.ValueOf(res).Elem().SetZero()
	}
}

func (c *caller) once(ctx context.Context, req, res soap.HasFault) (failed error) {
	if !readCalls[callName(req)] {
		if err := guarded(ctx); err != nil {
			return err
		}
	}
	bounded, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	if c.session.config.Calls != nil {
		defer func(began time.Time) {
			c.session.config.Calls(Call{Name: callName(req), Took: time.Since(began), Err: failed})
		}(time.Now())
	}
	if err := c.next.RoundTrip(bounded, req, res); err != nil {
		return err
	}
	return deniedInside(res)
}

func (c *caller) wrap(name string, err error) error {
	if untrusted, ok := errors.AsType[*UntrustedError](err); ok {
		return untrusted
	}
	if forbidden, ok := errors.AsType[*ForbiddenAddressError](err); ok {
		return forbidden
	}
	if isTransport(err) {
		return &UnreachableError{Host: c.session.config.Host, Err: fmt.Errorf("%s: %w", name, err)}
	}
	return err
}

// deniedInside finds a lost session that is reported property by property instead of as a fault.
func deniedInside(res soap.HasFault) error {
	body, ok := res.(*methods.RetrievePropertiesExBody)
	if !ok || body.Res == nil || body.Res.Returnval == nil {
		return nil
	}
	for _, object := range body.Res.Returnval.Objects {
		for _, missing := range object.MissingSet {
			if fault, ok := missing.Fault.Fault.(*types.NotAuthenticated); ok {
				return soap.WrapVimFault(fault)
			}
		}
	}
	return nil
}

// refuseRedirect keeps to the vCenter that was named: its answer does not decide where a password goes.
func refuseRedirect(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }

// callName is the method's name: "CloneVM_Task" for a *methods.CloneVM_TaskBody.
func callName(req soap.HasFault) string {
	return strings.TrimSuffix(reflect.TypeOf(req).Elem().Name(), "Body")
}

// WithOperation puts an id on all calls made with the context, by which a vCenter administrator finds them in the log.
func WithOperation(ctx context.Context, id string) context.Context {
	return context.WithValue(ctx, types.ID{}, id)
}

func (s *Session) operation(ctx context.Context) context.Context {
	if id, ok := ctx.Value(types.ID{}).(string); ok && id != "" {
		return ctx
	}
	return WithOperation(ctx, "palette-"+uuid.NewString()[:8])
}

// backoff is exponential with full jitter.
func backoff(attempt int) time.Duration {
	ceiling := min(lastBackoff, firstBackoff<<min(attempt-1, 16))
	return time.Duration(rand.Int64N(int64(ceiling))) + time.Millisecond //nolint:gosec // not a secret
}

func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// statusError is an answer of something between us and the vCenter, or of a vCenter that is starting.
type statusError struct{ status string }

func (e *statusError) Error() string { return e.status }

// gatewayErrors turns 502, 503 and 504 into a typed error, because govmomi's own says no more than its text.
type gatewayErrors struct{ next http.RoundTripper }

// RoundTrip implements http.RoundTripper.
func (g gatewayErrors) RoundTrip(req *http.Request) (*http.Response, error) {
	res, err := g.next.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	switch res.StatusCode {
	case http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		_, _ = io.Copy(io.Discard, io.LimitReader(res.Body, 4096))
		_ = res.Body.Close()
		return nil, &statusError{status: res.Status}
	}
	return res, nil
}

// replaceTransport gives a SOAP client our own transport: govmomi's takes a proxy from the environment and checks
// certificates in its own way.
func replaceTransport(client *soap.Client, transport *http.Transport, dialer *net.Dialer) {
	inner := client.DefaultTransport()
	inner.Proxy = nil
	inner.DialContext = dialer.DialContext
	inner.DialTLSContext = nil
	inner.TLSClientConfig = transport.TLSClientConfig
	inner.TLSHandshakeTimeout = transport.TLSHandshakeTimeout
	inner.MaxIdleConns = transport.MaxIdleConns
	inner.MaxIdleConnsPerHost = transport.MaxIdleConnsPerHost
	inner.IdleConnTimeout = transport.IdleConnTimeout
	client.Client.Transport = gatewayErrors{next: inner}
	client.Client.CheckRedirect = refuseRedirect
}
