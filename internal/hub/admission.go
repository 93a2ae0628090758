package hub

import (
	"context"
	"net/http"
	"strings"
	"time"

	"github.com/terraform-provider-palette/terraform-provider-palette/internal/hubapi"
)

// Principal is who makes a request.
type Principal struct {
	// ID names the principal for good and for the audit log, such as "token:6f1c1d5e-...".
	ID string
	// Name is what people call it.
	Name string
	Role hubapi.Role
	// Project is the only project the principal may reach; "" is all.
	Project string
}

// String is how the audit log calls the principal.
func (p Principal) String() string {
	if strings.HasSuffix(p.ID, p.Name) {
		return p.ID
	}
	return strings.TrimSpace(p.ID + " " + p.Name)
}

// LaterError is a problem that passes with time.
type LaterError struct {
	Problem *hubapi.Problem
	// After is when to try again.
	After time.Duration
}

// Error implements error.
func (l *LaterError) Error() string { return l.Problem.Error() }

// Unwrap returns the problem.
func (l *LaterError) Unwrap() error { return l.Problem }

// admit lets a request through to its project only, and only those whose role is enough.
func (h *Hub) admit(r *http.Request, needed hubapi.Role) (Principal, error) {
	who, err := h.authenticate(r)
	if err != nil {
		return who, err
	}
	project := r.PathValue("project")
	if !hubapi.ValidProject(project) {
		return who, hubapi.NewProblem(hubapi.CodeInvalid, "%q is not the name of a project", truncate(project))
	}
	if who.Project != "" && who.Project != project {
		return who, hubapi.NewProblem(hubapi.CodeForbidden, "%s may not reach project %s", who.Name, project).
			WithHint("Use credentials of that project, or set project to %s.", who.Project)
	}
	if !who.Role.Allows(needed) {
		return who, hubapi.NewProblem(hubapi.CodeForbidden, "%s has the role %s in project %s; this needs the role %s",
			who.Name, who.Role, project, needed).
			WithHint("Use a token or a workload identity that has it: hub token create --project %s --role %s.", project, needed)
	}
	return who, nil
}

// goodEvery is how often it is looked whether somebody who follows a stream still may.
const goodEvery = 15 * time.Second

// whileGood returns a context that ends when the principal is no longer good. The caller calls leave when done.
func (h *Hub) whileGood(ctx context.Context, who Principal) (_ context.Context, leave func()) {
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		look := time.NewTicker(goodEvery)
		defer look.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-look.C:
				if !h.good(ctx, who) {
					cancel()
				}
			}
		}
	}()
	return ctx, func() {
		cancel()
		<-done
	}
}
