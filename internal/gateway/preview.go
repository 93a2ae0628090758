package gateway

import (
	"context"
	"errors"
	"fmt"
	"net/netip"

	"github.com/terraform-provider-palette/terraform-provider-palette/internal/bootstrap"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/cluster"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/gatewayapi"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/hubapi"
)

// preview says what an apply of the assignment would do. It changes nothing.
func (g *Gateway) preview(ctx context.Context, a gatewayapi.Assignment) (hubapi.Preview, error) {
	session, err := g.accounts.session(ctx, a.Account)
	if err != nil {
		return hubapi.Preview{}, err
	}
	if a.Status.Origin, err = g.originOf(a, session.Login()); err != nil {
		return hubapi.Preview{}, err
	}
	if err := g.pools.learn(a.Pools); err != nil {
		return hubapi.Preview{}, err
	}
	folder, machines, err := session.Machines(ctx, g.target(a))
	if err != nil {
		return hubapi.Preview{}, err
	}
	facts, err := session.Facts(ctx, a.Spec, []string{a.Spec.Endpoint.Host})
	if err != nil {
		return hubapi.Preview{}, err
	}
	obs := g.observed(a, folder, machines, facts)
	obs.RetryFailed = true // the apply that is previewed is a new one
	problems := cluster.Check(a.Spec, obs)
	plan := cluster.MakePlan(a.Spec, obs)
	problems = append(problems, plan.Problems...)
	tooLarge, err := g.payloadProblems(a.Spec, plan)
	if err != nil {
		return hubapi.Preview{}, err
	}
	return hubapi.Preview{
		Operations: plan.Operations, Summary: cluster.Summarize(plan.Operations), Problems: append(problems, tooLarge...),
	}, nil
}

// payloadProblems builds the payload of a machine of each pool with throw-away secrets: they are as large as the real
// ones, and what does not fit is known before any machine is made.
func (g *Gateway) payloadProblems(spec cluster.Spec, plan cluster.Plan) ([]cluster.Problem, error) {
	if len(plan.Operations) == 0 {
		return nil, nil
	}
	secrets, err := bootstrap.NewSecrets(g.now())
	if err != nil {
		return nil, err
	}
	var problems []cluster.Problem
	for _, pool := range spec.Pools() {
		join, field := cluster.JoinWorker, "/worker_pools/"+pool.Name
		if pool.ControlPlane {
			join, field = cluster.JoinInit, "/control_plane"
		}
		id := cluster.Identity{Gateway: g.cfg.Identity.ID, Pool: pool.Name, Generation: 1}
		machine := bootstrap.Machine{
			ClusterName: spec.Name, Name: cluster.MachineName(spec.Name, id), InstanceUUID: id.InstanceUUID(), Join: join,
			KubernetesVersion: spec.KubernetesVersion, Endpoint: spec.Endpoint, Network: spec.Network,
			SSHAuthorizedKeys: spec.SSHAuthorizedKeys, NTPServers: spec.NTPServers,
			Node:       cluster.NodeMetadata{Labels: pool.Labels, Taints: pool.Taints, Annotations: pool.Annotations},
			Interfaces: g.largestInterfaces(id, pool.Placements),
		}
		var tooLarge *bootstrap.TooLargeError
		switch _, err := bootstrap.Payload(machine, secrets); {
		case errors.As(err, &tooLarge):
			problems = append(problems, cluster.Problem{
				Severity: cluster.SeverityError, Field: field,
				Message: fmt.Sprintf("what a machine of this pool boots with does not fit the vCenter's limit: %s. "+
					"Shorten ssh_authorized_keys, labels or taints.", tooLarge.Error()),
			})
		case err != nil:
			problems = append(problems, cluster.Problem{Severity: cluster.SeverityError, Field: field, Message: err.Error()})
		}
	}
	return problems, nil
}

// largestInterfaces are the cards of the placement with the most of them, as wordy as their configuration gets.
func (g *Gateway) largestInterfaces(id cluster.Identity, placements []cluster.Placement) []bootstrap.Interface {
	var largest []bootstrap.Interface
	for _, placement := range placements {
		cards := make([]bootstrap.Interface, len(placement.Networks))
		for card := range cards {
			cards[card].MAC = id.MAC(card)
		}
		if spec, pool, ok := g.pools.network(placement.IPPoolID); ok && len(cards) > 0 {
			if addr, free := pool.Next(func(netip.Addr) bool { return false }); free {
				_ = g.static(&cards[0], placement.IPPoolID, []string{addr.String()}) // the hub has checked the pool
			}
			cards[0].SearchDomains = spec.SearchDomains
		}
		if len(cards) > len(largest) || len(cards) == len(largest) && placement.IPPoolID != "" {
			largest = cards
		}
	}
	return largest
}

// observe says how a cluster stands, from one look at its machines.
func (g *Gateway) observe(ctx context.Context, a gatewayapi.Assignment) (hubapi.ClusterStatus, error) {
	session, err := g.accounts.session(ctx, a.Account)
	if err != nil {
		return hubapi.ClusterStatus{}, err
	}
	kept := a.Status
	if a.Status.Origin, err = g.originOf(a, session.Login()); err != nil {
		return hubapi.ClusterStatus{}, err
	}
	folder, machines, err := session.Machines(ctx, g.target(a))
	if err != nil {
		return hubapi.ClusterStatus{}, err
	}
	status := statusOf(kept, a.Spec, g.observed(a, folder, machines, nil))
	if status.Phase == hubapi.PhaseFailed && status.Ready {
		// What the last apply could not do has come about without it.
		status.Phase, status.Message, status.Problems, status.EverReady = hubapi.PhaseReady, "", nil, true
	}
	return status, nil
}
