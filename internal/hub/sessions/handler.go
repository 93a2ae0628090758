package sessions

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/terraform-provider-palette/terraform-provider-palette/internal/gatewayapi"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/hub/authority"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/hub/roster"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/hub/store"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/hubapi"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/tunnel"
)

// Handler takes tunnels; it belongs at tunnel.Path. Who is at the other end is known by what is inside the tunnel: nothing
// in the request is believed but the address it comes from, which is for limits and logs only.
func (s *Sessions) Handler() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if reason := s.refusing(); reason != "" {
			turnAway(w, hubapi.NewProblem(hubapi.CodeUnreachable, "%s", reason))
			return
		}
		address := s.cfg.Source(r)
		switch class := tunnel.Class(r.URL.Query().Get("class")); class {
		case tunnel.ClassControl:
			if slices.Contains(strings.Split(r.Header.Get(gatewayapi.HeaderInstances), ","), s.cfg.Instance) {
				hubapi.WriteProblem(w, hubapi.NewProblem(hubapi.CodeInUse, "the gateway has a session with this instance of the hub"))
				return
			}
			if session := s.accept(w, r, address); session != nil {
				s.hand(session, func(ctx context.Context) { s.control(ctx, session, address) })
			}
		case tunnel.ClassEnrol:
			if s.sources.barred(address, s.now()) {
				turnAway(w, hubapi.NewProblem(hubapi.CodeRateLimited, "too many enrolments from this address were refused"))
				return
			}
			s.takeEnrolment(w, r, address)
		case tunnel.ClassBulk, tunnel.ClassStreams:
			hubapi.WriteProblem(w, hubapi.NewProblem(hubapi.CodeInvalid, "this hub has no use for a tunnel of class %q", class))
		default:
			hubapi.WriteProblem(w, hubapi.NewProblem(hubapi.CodeInvalid, "there is no such class of tunnel"))
		}
	})
}

// takeEnrolment lets a process in that has no certificate. There is room for few of them: anybody can be one.
func (s *Sessions) takeEnrolment(w http.ResponseWriter, r *http.Request, address string) {
	leave, ok := s.enrolling.enter(address)
	if !ok {
		turnAway(w, hubapi.NewProblem(hubapi.CodeRateLimited, "too many enrolments are under way"))
		return
	}
	session := s.accept(w, r, address)
	if session == nil {
		leave()
		return
	}
	begun := s.begin(func(ctx context.Context) {
		defer leave()
		s.enrol(ctx, session, address)
	})
	if !begun {
		_ = session.Close() // The hub is shutting down.
		leave()
	}
}

func turnAway(w http.ResponseWriter, p *hubapi.Problem) {
	w.Header().Set("Retry-After", "1")
	hubapi.WriteProblem(w, p)
}

// hand passes a tunnel on to what outlives the request.
func (s *Sessions) hand(session *tunnel.Session, do func(ctx context.Context)) {
	if !s.begin(do) {
		_ = session.Close() // The hub is shutting down.
	}
}

// accept does the handshakes. It has answered the request in any case.
func (s *Sessions) accept(w http.ResponseWriter, r *http.Request, address string) *tunnel.Session {
	leave, err := s.sources.enter(r.Context(), address)
	if err != nil {
		turnAway(w, hubapi.NewProblem(hubapi.CodeRateLimited, "%s", err))
		return nil
	}
	defer leave()
	certificate, err := s.authority.Server()
	if err != nil {
		s.log.ErrorContext(r.Context(), "no certificate for the hub's end of a tunnel", "error", err)
		turnAway(w, hubapi.AsProblem(nil))
		return nil
	}
	session, err := tunnel.Accept(w, r, tunnel.AcceptConfig{
		Handshakes: s.handshakes,
		TLS: &tls.Config{
			Certificates: []tls.Certificate{*certificate}, ClientCAs: s.authority.Pool(), Time: s.now,
			VerifyConnection: s.verify,
		},
	})
	if err != nil {
		s.log.InfoContext(r.Context(), "tunnel refused",
			"class", r.URL.Query().Get("class"), "remote_address", address, "error", err)
		return nil
	}
	return session
}

// verifyLimit bounds how long the store may take while a gateway waits in its handshake.
const verifyLimit = 5 * time.Second

// verify decides in each handshake whether a certificate that the authority has signed is still good. In an enrolment
// there is none.
func (s *Sessions) verify(state tls.ConnectionState) error {
	if len(state.PeerCertificates) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(s.life, verifyLimit)
	defer cancel()
	_, err := s.known(ctx, state.PeerCertificates[0])
	return err
}

// errShutOut tells that a certificate was good once.
var errShutOut = errors.New("the replica is not let in")

// known returns the replica that a certificate is for, if it may still connect.
func (s *Sessions) known(ctx context.Context, cert *x509.Certificate) (authority.ReplicaID, error) {
	id, err := authority.ReplicaOf(cert)
	if err != nil {
		return id, fmt.Errorf("%w: %w", errShutOut, err)
	}
	return id, s.allowed(ctx, id)
}

// allowed tells whether a replica may be connected, by what is kept of its gateway.
func (s *Sessions) allowed(ctx context.Context, id authority.ReplicaID) error {
	gateway, err := roster.LoadGateway(ctx, s.store, id.Gateway)
	if err != nil && !errors.Is(err, store.ErrNoRecord) {
		return fmt.Errorf("reading gateway %s: %w", id.Gateway, err)
	}
	return lets(gateway, id)
}

// lets tells why a gateway, which is nil when there is none, does not let a replica in.
func lets(gateway *roster.Gateway, id authority.ReplicaID) error {
	if gateway == nil || gateway.Project != id.Project {
		return fmt.Errorf("%w: there is no gateway %s in project %s", errShutOut, id.Gateway, id.Project)
	}
	switch replica := gateway.Status.Replica(id.Replica); {
	case replica == nil:
		return fmt.Errorf("%w: gateway %s has no replica %s", errShutOut, id.Gateway, id.Replica)
	case replica.RevokedAt != nil:
		return fmt.Errorf("%w: replica %s was revoked at %s", errShutOut, id.Replica, replica.RevokedAt.Format(time.RFC3339))
	default:
		return nil
	}
}
