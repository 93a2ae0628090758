package hub

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/terraform-provider-palette/terraform-provider-palette/internal/cluster"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/hub/store"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/hubapi"
)

func notFound(format string, args ...any) *hubapi.Problem {
	return hubapi.NewProblem(hubapi.CodeNotFound, format, args...)
}

func invalid(field, format string, args ...any) *hubapi.Problem {
	return hubapi.NewProblem(hubapi.CodeInvalid, format, args...).At(field)
}

func inUse(format string, args ...any) *hubapi.Problem {
	return hubapi.NewProblem(hubapi.CodeInUse, format, args...)
}

// exists tells that a create met an object that is not the creator's.
func exists(r *store.Record) *hubapi.Problem {
	p := hubapi.NewProblem(hubapi.CodeAlreadyExists, "project %s already has the %s %q, with id %s",
		r.Project, nouns[r.Kind], r.Name, r.ID).At("/name")
	return p.WithHint("Choose another name, or take it over: terraform import %s.<name> %s", resources[r.Kind], r.ID)
}

// conflict tells that the object has been written since the writer read it.
func conflict(r *store.Record, based int64) *hubapi.Problem {
	p := hubapi.NewProblem(hubapi.CodeConflict,
		"%s %q has changed since it was read: it is at generation %d, the write is based on %d",
		nouns[r.Kind], r.Name, r.Generation, based)
	return p.WithHint("Somebody else has changed it. Plan again, look, and apply again.")
}

// refusal makes one problem of those that stop a write; nil when none does. The first is the problem, the others are
// told.
func refusal(problems []cluster.Problem) error {
	var first *cluster.Problem
	var more []string
	for i, p := range problems {
		switch {
		case p.Severity != cluster.SeverityError:
		case first == nil:
			first = &problems[i]
		default:
			more = append(more, strings.TrimPrefix(p.Field+": "+p.Message, ": "))
		}
	}
	if first == nil {
		return nil
	}
	detail := first.Message
	if len(more) > 0 {
		detail += "\nand also:\n  - " + strings.Join(more, "\n  - ")
	}
	return invalid(first.Field, "%s", detail)
}

func hasErrors(problems []cluster.Problem) bool { return refusal(problems) != nil }

func problemAt(field, format string, args ...any) cluster.Problem {
	return cluster.Problem{Severity: cluster.SeverityError, Field: field, Message: fmt.Sprintf(format, args...)}
}

// fromGateway turns what a gateway answered, or that it did not, into what the hub answers. What the gateway said about
// the vCenter must not look like the hub's own trouble: clients would repeat the request.
func fromGateway(id string, err error) error {
	if err == nil {
		return nil
	}
	if hubapi.LostConnection(err) {
		p := hubapi.NewProblem(hubapi.CodeUnreachable, "gateway %s does not answer: %s", id, err)
		return p.WithHint("Nothing was changed. See that the gateway runs and can reach the hub, then try again.")
	}
	p, ok := errors.AsType[*hubapi.Problem](err)
	if !ok {
		return err
	}
	q := *p
	q.RequestID = "" // the answer's own is the one that is logged
	switch {
	case q.Status == http.StatusServiceUnavailable || (q.Status >= 400 && q.Status < 500):
	case q.Code == hubapi.CodeUnreachable:
		q.Status = http.StatusFailedDependency
	default:
		q.Status = hubapi.StatusOf(q.Code)
	}
	return &q
}

// asProblem turns any error into what is answered. What is not a problem is logged and not told.
func (h *Hub) asProblem(ctx context.Context, err error) *hubapi.Problem {
	if p, ok := errors.AsType[*hubapi.Problem](err); ok {
		return p
	}
	switch {
	case errors.Is(err, store.ErrStale):
		return hubapi.NewProblem(hubapi.CodeConflict, "the record was changed by somebody else at the same time").
			WithHint("Try again.")
	case errors.Is(err, store.ErrNewerDocument):
		return hubapi.NewProblem(hubapi.CodeInternal, "%s", err)
	case errors.Is(err, store.ErrUnavailable):
		h.log.ErrorContext(ctx, "request failed", "error", err, "request_id", hubapi.RequestID(ctx))
		return hubapi.NewProblem(hubapi.CodeUnreachable, "the hub's database does not answer").WithHint("Try again.")
	case errors.Is(err, store.ErrClosed):
		return hubapi.NewProblem(hubapi.CodeUnreachable, "the hub is shutting down").WithHint("Try again.")
	case ctx.Err() != nil:
		return hubapi.NewProblem(hubapi.CodeUnreachable, "the request was given up before it was answered")
	}
	h.log.ErrorContext(ctx, "request failed", "error", err, "request_id", hubapi.RequestID(ctx))
	return hubapi.AsProblem(err)
}
