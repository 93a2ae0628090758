package vsphere

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"syscall"
	"time"
)

// dialTimeout bounds one connect.
const dialTimeout = 15 * time.Second

// newDialer dials and lets reach judge each address that a name was resolved to, just before it is connected to: what the
// name is resolved to at another time does not matter.
func newDialer(reach func(netip.Addr) error) *net.Dialer {
	dialer := &net.Dialer{Timeout: dialTimeout, KeepAlive: dialTimeout}
	if reach == nil {
		return dialer
	}
	dialer.ControlContext = func(_ context.Context, _, address string, _ syscall.RawConn) error {
		to, err := netip.ParseAddrPort(address)
		if err != nil {
			return fmt.Errorf("connecting to %s: %w", address, err)
		}
		if err := reach(to.Addr()); err != nil {
			return &ForbiddenAddressError{Address: address, Err: err}
		}
		return nil
	}
	return dialer
}

type guardKey struct{}

// WithGuard returns a context whose calls that change something are made only while the guard has no objection. It is asked
// right before each of them.
func WithGuard(ctx context.Context, guard func() error) context.Context {
	return context.WithValue(ctx, guardKey{}, guard)
}

func guarded(ctx context.Context) error {
	if guard, ok := ctx.Value(guardKey{}).(func() error); ok {
		return guard()
	}
	return nil
}

// Call is one call to a vCenter that has ended.
type Call struct {
	// Name is the method's, such as "CloneVM_Task".
	Name string
	Took time.Duration
	Err  error
}
