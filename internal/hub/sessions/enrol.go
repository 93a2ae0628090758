package sessions

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode"

	"github.com/terraform-provider-palette/terraform-provider-palette/internal/gatewayapi"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/hub/authority"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/hub/roster"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/hub/store"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/hubapi"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/tunnel"
)

const (
	// enrolLimit bounds the whole conversation with a process that has no certificate.
	enrolLimit = time.Minute
	// refuseLimit bounds how long such a process may take to hear why it is refused.
	refuseLimit = 5 * time.Second
	// rejoinWithin is how long after its last certificate a replica may come back without being paired anew.
	rejoinWithin = 30 * 24 * time.Hour

	nonceSize   = 32
	maxName     = 128
	maxVersion  = 64
	maxEscrow   = 64 << 10
	exporterLen = 32
)

// applicant is a process without a certificate, in its one conversation.
type applicant struct {
	*gatewayapi.Enrolment

	client  *gatewayapi.Client
	address string
}

// enrol finds out who a process without a certificate is, and gives it one or the reason why not.
func (s *Sessions) enrol(ctx context.Context, session *tunnel.Session, address string) {
	defer func() { _ = session.Close() }()
	ctx, cancel := context.WithTimeout(ctx, enrolLimit)
	defer cancel()
	stop := context.AfterFunc(ctx, func() { _ = session.Close() })
	defer stop()
	a, err := challenge(ctx, session, address)
	if err == nil {
		err = s.admit(ctx, a)
	}
	s.record(ctx, a, err)
	if err == nil {
		return
	}
	s.log.WarnContext(ctx, "enrolment refused", "remote_address", address, "error", err)
	if hubapi.LostConnection(err) {
		return
	}
	p, ok := errors.AsType[*hubapi.Problem](err)
	if !ok {
		s.log.ErrorContext(ctx, "enrolment failed", "remote_address", address, "error", err)
		p = hubapi.AsProblem(nil).WithHint("Try again; the hub's log says more.")
	}
	if p.Code == hubapi.CodeUnauthorized {
		s.sources.failed(address, s.now())
	}
	refused, cancelRefusal := context.WithTimeout(ctx, refuseLimit)
	defer cancelRefusal()
	_ = gatewayapi.NewClient(session).Refuse(refused, p) // It will come back if it has not heard.
}

// challenge asks a process who it is, and has it prove that it has its identity key, here and now.
func challenge(ctx context.Context, session *tunnel.Session, address string) (*applicant, error) {
	client := gatewayapi.NewClient(session)
	nonce := make([]byte, nonceSize)
	_, _ = rand.Read(nonce) // never fails
	asking, cancel := context.WithTimeout(ctx, greetLimit)
	defer cancel()
	e, err := client.Enrol(asking, gatewayapi.EnrolChallenge{Nonce: nonce})
	if err != nil {
		return nil, fmt.Errorf("asking who is there: %w", err)
	}
	state := session.ConnectionState()
	exporter, err := state.ExportKeyingMaterial(gatewayapi.ExporterLabel, nil, exporterLen)
	if err != nil {
		return nil, fmt.Errorf("exporting from the connection: %w", err)
	}
	if (e.Pairing == nil) == (e.Rejoin == nil) {
		return nil, hubapi.NewProblem(hubapi.CodeInvalid, "an enrolment has either a pairing token or an identity to rejoin as")
	}
	if !e.Signed(nonce, exporter) {
		return nil, hubapi.NewProblem(hubapi.CodeUnauthorized, "the enrolment is not signed by its identity key for this connection")
	}
	e.Name, e.Version = clean(e.Name, maxName), clean(e.Version, maxVersion)
	if e.Name == "" {
		return nil, hubapi.NewProblem(hubapi.CodeInvalid, "an enrolment names the replica")
	}
	return &applicant{Enrolment: &e, client: client, address: address}, nil
}

// admit gives an applicant its identity.
func (s *Sessions) admit(ctx context.Context, a *applicant) error {
	if a.Pairing != nil {
		return s.pair(ctx, a)
	}
	return s.rejoin(ctx, a)
}

// unknownReplica is the answer to whoever is not the replica it says it is, whatever is wrong about it.
func unknownReplica() *hubapi.Problem {
	return hubapi.NewProblem(hubapi.CodeUnauthorized, "the hub knows no such replica of this gateway with this identity key").
		WithHint("The gateway may have been deleted. Pair it again with a new token.")
}

// rejoin gives a new certificate to a replica whose old one has expired.
func (s *Sessions) rejoin(ctx context.Context, a *applicant) error {
	gateway, err := roster.LoadGateway(ctx, s.store, a.Rejoin.Gateway)
	if errors.Is(err, store.ErrNoRecord) {
		return unknownReplica()
	}
	if err != nil {
		return err
	}
	r := gateway.Status.Replica(a.Rejoin.Replica)
	switch {
	case r == nil || !bytes.Equal(r.IdentityKey, a.IdentityKey):
		return unknownReplica()
	case r.RevokedAt != nil:
		return hubapi.NewProblem(hubapi.CodeForbidden, "replica %q of gateway %q was revoked at %s",
			r.Name, gateway.Name, r.RevokedAt.Format(time.RFC3339)).
			WithHint("If that was a mistake, pair it again with a new token.")
	case s.now().After(r.CertifiedUntil.Add(rejoinWithin)):
		return hubapi.NewProblem(hubapi.CodeForbidden, "replica %q of gateway %q was away too long: its last certificate ended at %s",
			r.Name, gateway.Name, r.CertifiedUntil.Format(time.RFC3339)).
			WithHint("A replica may rejoin for 30 days after that. Pair it again with a new token.")
	}
	grant, until, err := s.grant(gateway, r.ID, a.CSR)
	if err != nil {
		return badRequest(err)
	}
	id := authority.ReplicaID{Project: gateway.Project, Gateway: gateway.ID, Replica: r.ID}
	if err := s.certified(ctx, id, until); err != nil {
		return err
	}
	if _, err := a.client.Grant(ctx, grant); err != nil {
		return fmt.Errorf("giving replica %s of gateway %s its certificate: %w", r.ID, gateway.ID, err)
	}
	s.log.InfoContext(ctx, "replica has rejoined",
		"gateway_id", gateway.ID, "replica_id", r.ID, "project", gateway.Project, "remote_address", a.address)
	return nil
}

func badRequest(err error) error {
	if errors.Is(err, authority.ErrRequest) {
		return hubapi.NewProblem(hubapi.CodeInvalid, "%s", err)
	}
	return err
}

// clean makes a word that a gateway says of itself fit to be kept and shown.
func clean(text string, most int) string {
	text = strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return -1
	}, strings.ToValidUTF8(text, ""))
	text = strings.TrimSpace(text)
	if len(text) > most {
		text = strings.ToValidUTF8(text[:most], "")
	}
	return text
}
