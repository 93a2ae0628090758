package testkit

import (
	"context"
	"time"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/soap"
	"github.com/vmware/govmomi/vim25/types"
)

const (
	// accumulate is how long changes are collected before a client is told.
	accumulate = 20 * time.Millisecond
	// mostUpdates is how many objects one answer has at most, vCenter's default.
	mostUpdates = 100
)

// collectorCalls answers for a property collector as vCenter would. The simulator's own waiting costs more with each
// change than the change itself, and does not end when the client, its session or the server goes away.
type collectorCalls struct {
	receiver
	vc        *VCenter
	collector *simulator.PropertyCollector
}

// WaitForUpdatesEx waits until there is something to tell or the wait is over.
func (c *collectorCalls) WaitForUpdatesEx(ctx *simulator.Context, req *types.WaitForUpdatesEx) soap.HasFault {
	set, fault := c.wait(ctx, req)
	if fault != nil {
		return refused(fault)
	}
	return &methods.WaitForUpdatesExBody{Res: &types.WaitForUpdatesExResponse{Returnval: set}}
}

// WaitForUpdates is WaitForUpdatesEx without limits.
func (c *collectorCalls) WaitForUpdates(ctx *simulator.Context, req *types.WaitForUpdates) soap.HasFault {
	set, fault := c.wait(ctx, &types.WaitForUpdatesEx{This: req.This, Version: req.Version})
	if fault != nil {
		return refused(fault)
	}
	return &methods.WaitForUpdatesBody{Res: &types.WaitForUpdatesResponse{Returnval: *set}}
}

// CancelWaitForUpdates ends the wait on the collector, if there is one.
func (c *collectorCalls) CancelWaitForUpdates(ctx *simulator.Context, _ *types.CancelWaitForUpdates) soap.HasFault {
	c.vc.waits.cancel(c.key(ctx))
	return &methods.CancelWaitForUpdatesBody{Res: &types.CancelWaitForUpdatesResponse{}}
}

// DestroyPropertyCollector ends the wait on the collector, if there is one, and the collector.
func (c *collectorCalls) DestroyPropertyCollector(
	ctx *simulator.Context, req *types.DestroyPropertyCollector,
) soap.HasFault {
	c.vc.waits.cancel(c.key(ctx))
	ctx.Session.Remove(ctx, mirrorRef(c.collector.Self))
	return c.collector.DestroyPropertyCollector(ctx, req)
}

func (c *collectorCalls) key(ctx *simulator.Context) waitKey {
	return waitKey{session: ctx.Session.Key, collector: c.collector.Self.Value}
}

// mirror returns what the collector's client has been told so far.
func (c *collectorCalls) mirror(ctx *simulator.Context) *mirror {
	c.vc.waits.mu.Lock()
	defer c.vc.waits.mu.Unlock()
	ref := mirrorRef(c.collector.Self)
	if known, ok := ctx.Session.Registry.Get(ref).(*mirror); ok {
		return known
	}
	made := &mirror{receiver: receiver{ref: ref}}
	made.restart()
	ctx.Session.Registry.Put(made)
	return made
}

func (c *collectorCalls) wait(
	ctx *simulator.Context, req *types.WaitForUpdatesEx,
) (*types.UpdateSet, types.BaseMethodFault) {
	done := c.vc.waits.contextOf(c.key(ctx))
	over, cancel := context.WithCancel(done)
	defer cancel()
	defer context.AfterFunc(c.vc.ctx, cancel)()
	once, most := false, mostUpdates
	if options := req.Options; options != nil {
		if seconds := options.MaxWaitSeconds; seconds != nil {
			once = *seconds <= 0
			var expire context.CancelFunc
			over, expire = context.WithTimeout(over, time.Duration(max(*seconds, 1))*time.Second)
			defer expire()
		}
		if n := int(options.MaxObjectUpdates); n > 0 {
			most = min(most, n)
		}
	}
	mirror := c.mirror(ctx)
	if lost, fault := mirror.begin(req.Version); lost != nil || fault != nil {
		return lost, fault
	}
	gather := req.Version != "" && !once && !mirror.isPaging()
	for {
		if gather && !pauseFor(over, accumulate) {
			return nil, c.ended(done, ctx)
		}
		c.vc.world.RLock()
		set, fault := mirror.next(ctx, c.collector, c.vc.changes, most)
		c.vc.world.RUnlock()
		switch ended := c.ended(done, ctx); {
		case ended != nil:
			return nil, ended
		case set != nil || fault != nil || once:
			return set, fault
		}
		gather = true
		select {
		case <-mirror.changedAfter(c.vc.changes):
		case <-over.Done():
			return nil, c.ended(done, ctx)
		}
	}
}

// ended is the fault of a wait that was ended; nil when it goes on or only its time is up.
func (c *collectorCalls) ended(done context.Context, ctx *simulator.Context) types.BaseMethodFault {
	switch {
	case c.vc.sessions.isKilled(ctx.Session.Key):
		return &types.NotAuthenticated{
			NoPermission: types.NoPermission{Object: &c.collector.Self, PrivilegeId: "System.View"},
		}
	case c.vc.ctx.Err() != nil || done.Err() != nil:
		return &types.RequestCanceled{}
	}
	return nil
}

// pauseFor tells whether the time has passed before the context was over.
func pauseFor(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
