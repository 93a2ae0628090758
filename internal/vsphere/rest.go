package vsphere

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"

	"github.com/vmware/govmomi/vapi/rest"
)

// withREST calls f with a logged-in REST client, and once more after a login when vCenter has forgotten the session: it
// does after 24 hours, however busy the session is.
func (s *Session) withREST(ctx context.Context, f func(*rest.Client) error) error {
	ctx = s.operation(ctx)
	for attempt := 1; ; attempt++ {
		if err := s.usable(); err != nil {
			return err
		}
		client, err := s.restClient(ctx)
		if err != nil {
			return err
		}
		err = f(client)
		if err == nil || attempt > 1 || !rest.IsStatusError(errors.Unwrap(err), http.StatusUnauthorized) &&
			!rest.IsStatusError(err, http.StatusUnauthorized) {
			return err
		}
		s.forgetREST(client)
	}
}

func (s *Session) restClient(ctx context.Context) (*rest.Client, error) {
	s.restMutex.Lock()
	defer s.restMutex.Unlock()
	if s.rest != nil {
		return s.rest, nil
	}
	client := rest.NewClient(s.vim)
	client.Client.Client.CheckRedirect = refuseRedirect
	client.Client.Client.Transport = gatewayErrors{next: s.soap.DefaultTransport()}
	err := client.Login(ctx, url.UserPassword(s.config.Username, s.config.Password))
	if rest.IsStatusError(err, http.StatusUnauthorized) {
		s.refused.Store(true)
		return nil, ErrCredentials
	}
	if err != nil {
		return nil, fmt.Errorf("logging in to the vCenter REST API: %w", err)
	}
	s.rest = client
	return client, nil
}

func (s *Session) forgetREST(client *rest.Client) {
	s.restMutex.Lock()
	defer s.restMutex.Unlock()
	if s.rest == client {
		s.rest = nil
	}
}

// probeREST drops a REST session that has ended, so that the next use logs in.
func (s *Session) probeREST(ctx context.Context) {
	s.restMutex.Lock()
	client := s.rest
	s.restMutex.Unlock()
	if client == nil {
		return
	}
	if session, err := client.Session(ctx); err == nil && session == nil {
		s.forgetREST(client)
	}
}

func (s *Session) logoutREST(ctx context.Context) error {
	s.restMutex.Lock()
	client := s.rest
	s.rest = nil
	s.restMutex.Unlock()
	if client == nil {
		return nil
	}
	if err := client.Logout(ctx); err != nil && !rest.IsStatusError(err, http.StatusUnauthorized) {
		return fmt.Errorf("ending the REST session: %w", err)
	}
	return nil
}
