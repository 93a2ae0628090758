package sessions

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/google/uuid"

	"github.com/terraform-provider-palette/terraform-provider-palette/internal/hub/roster"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/hub/store"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/hubapi"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/tunnel"
)

// recordLimit is how long it may take to keep an entry of the audit log.
const recordLimit = 5 * time.Second

// record keeps in the audit log that a process asked for an identity, and what came of it. A conversation that was cut off
// is none: the process comes again.
func (s *Sessions) record(ctx context.Context, a *applicant, err error) {
	p, isProblem := errors.AsType[*hubapi.Problem](err)
	if a == nil || (err != nil && !isProblem) {
		return
	}
	entry := store.AuditEntry{
		Time: s.now(), Remote: a.address, Method: "ENROL", Route: tunnel.Path, Kind: store.KindGateway, Outcome: http.StatusOK,
	}
	if isProblem {
		entry.Outcome, entry.Code = p.Status, p.Code
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), recordLimit)
	defer cancel()
	s.identify(ctx, a, &entry)
	if err := s.store.AppendAudit(ctx, entry); err != nil {
		s.log.ErrorContext(ctx, "audit entry not written", "error", err, "actor", entry.Actor, "object", entry.Object,
			"outcome", entry.Outcome, "remote_address", entry.Remote)
	}
}

// identify fills in who asked, as which gateway. What it says is believed as far as it names something that there is.
func (s *Sessions) identify(ctx context.Context, a *applicant, entry *store.AuditEntry) {
	gateway := ""
	switch {
	case a.Pairing != nil && uuid.Validate(a.Pairing.ID) == nil:
		if pairing, err := roster.LoadPairing(ctx, s.store, a.Pairing.ID); err == nil {
			entry.Actor, gateway = "pairing:"+pairing.ID, pairing.Spec.Gateway
		}
	case a.Rejoin != nil && uuid.Validate(a.Rejoin.Replica) == nil:
		entry.Actor, gateway = "replica:"+a.Rejoin.Replica, a.Rejoin.Gateway
	}
	if g, err := roster.LoadGateway(ctx, s.store, gateway); err == nil {
		entry.Project, entry.Object, entry.Name = g.Project, g.ID, g.Name
	}
}
