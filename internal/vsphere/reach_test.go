package vsphere

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"sync/atomic"
	"testing"
)

// TestReachIsAskedWithTheResolvedAddress shows that what counts is where a name leads at the time of the connect.
func TestReachIsAskedWithTheResolvedAddress(t *testing.T) {
	v := startSimulator(t, nil)
	forbidden := errors.New("not there")
	for name, host := range map[string]string{"Address": v.config().Host, "Name": net.JoinHostPort("localhost", portOf(v.config().Host))} {
		config := v.config()
		config.Host, config.Trust = host, Trust{Insecure: true}
		var asked []netip.Addr
		config.Reach = func(addr netip.Addr) error {
			asked = append(asked, addr)
			return forbidden
		}
		_, err := Open(t.Context(), config)
		refused, ok := errors.AsType[*ForbiddenAddressError](err)
		if !ok || !errors.Is(err, forbidden) || Classify(err) != ClassFatal {
			t.Fatalf("%s: %v", name, err)
		}
		if len(asked) == 0 || !asked[0].IsLoopback() || refused.Address == host && name == "Name" {
			t.Errorf("%s: asked about %v, refused %s", name, asked, refused.Address)
		}
		config.Reach = func(netip.Addr) error { return nil }
		s, err := Open(t.Context(), config)
		if err != nil {
			t.Fatalf("%s, allowed: %v", name, err)
		}
		if err := s.Close(t.Context()); err != nil {
			t.Error(err)
		}
	}
}

func portOf(host string) string {
	u := url.URL{Host: host}
	return u.Port()
}

// TestReachAfterTheNameHasTurned shows a name that leads elsewhere once the session is open: the next connect is judged anew.
func TestReachAfterTheNameHasTurned(t *testing.T) {
	v := startSimulator(t, nil)
	config := v.config()
	var turned atomic.Bool
	config.Reach = func(netip.Addr) error {
		if turned.Load() {
			return errors.New("it leads to another place now")
		}
		return nil
	}
	s, err := Open(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Close(context.Background()) }()
	turned.Store(true)
	s.soap.CloseIdleConnections()
	_, err = s.retrieve(t.Context(), objectSpec(*s.content.SessionManager, "currentSession"))
	if _, ok := errors.AsType[*ForbiddenAddressError](err); !ok {
		t.Errorf("a connect to where the name leads now: %v", err)
	}
	turned.Store(false)
}

// TestRedirectIsNotFollowed shows that a vCenter does not decide where a password is sent, nor an environment through what.
func TestRedirectIsNotFollowed(t *testing.T) {
	var elsewhere atomic.Int32
	other := httptest.NewTLSServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { elsewhere.Add(1) }))
	defer other.Close()
	turning := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, other.URL+r.URL.Path, http.StatusTemporaryRedirect)
	}))
	defer turning.Close()
	t.Setenv("HTTPS_PROXY", other.URL)
	_, err := Open(t.Context(), Config{
		Host: turning.Listener.Addr().String(), Username: "u", Password: "p", Trust: Trust{Insecure: true},
	})
	if _, ok := errors.AsType[*UnreachableError](err); !ok {
		t.Errorf("a vCenter that redirects: %v", err)
	}
	if n := elsewhere.Load(); n != 0 {
		t.Errorf("%d requests went where the redirect or the environment led", n)
	}
}

// TestGuard shows that calls that change something are asked for permission right before they are made, and others are not.
func TestGuard(t *testing.T) {
	v := startSimulator(t, nil)
	config := v.config()
	var told atomic.Int32
	config.Calls = func(Call) { told.Add(1) }
	s, err := Open(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Close(context.Background()) }()
	denied := errors.New("not the holder")
	ctx := WithGuard(t.Context(), func() error { return denied })
	if _, err := s.retrieve(ctx, objectSpec(*s.content.SessionManager, "currentSession")); err != nil {
		t.Errorf("a read: %v", err)
	}
	if _, err := s.CreateFolder(ctx, "DC0", "guarded"); !errors.Is(err, denied) {
		t.Errorf("a change without permission: %v", err)
	}
	if _, err := s.CreateFolder(t.Context(), "DC0", "guarded"); err != nil {
		t.Errorf("a change: %v", err)
	}
	if told.Load() == 0 {
		t.Error("nobody was told of the calls")
	}
}
