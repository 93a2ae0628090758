package sessions

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/terraform-provider-palette/terraform-provider-palette/internal/gatewayapi"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/hub/roster"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/hub/store"
)

const (
	// leaseTTL is how long a replica that has others beside it may go on without hearing of the hub.
	leaseTTL = 10 * time.Second
	// leaseEvery is how often such a lease is given again. With the time for an answer it leaves another replica enough of 15
	// seconds to take over, also from one that is stopped without a word.
	leaseEvery = 2 * time.Second
	// soleTTL is how long the only replica of a gateway may go on without hearing of the hub: there is nobody to take over.
	soleTTL = 5 * time.Minute
	// soleEvery is how often such a lease is given again.
	soleEvery = time.Minute
	// leaseAnswer is how long a replica may take to take a lease.
	leaseAnswer = 2 * time.Second
	// leaseMargin is what is waited beyond the end of a lease, for clocks that do not run at the same speed.
	leaseMargin = 500 * time.Millisecond
	// leaseRetry is how soon is looked again when something did not work.
	leaseRetry = time.Second
)

// keeper sees to the lease of one gateway, as long as any of its replicas is connected here.
type keeper struct {
	s       *Sessions
	gateway string
	log     *slog.Logger

	// lease is as it was last read or written, under the term; nil has to be read.
	lease *roster.Lease
	term  uint64
	// until is when a lease that was given has run out for sure, by this process's clock.
	until time.Time
	// sole tells that there is one replica only, by what is kept of the gateway.
	sole bool
	// told has the serial numbers of the connections whose replicas know the epoch.
	told map[uint64]int64
	// silent is the connection that has not answered, which gets no lease until it does.
	silent uint64
}

// keep sees to a gateway's lease until nobody is connected as it.
func (s *Sessions) keep(ctx context.Context, gateway string) {
	k := &keeper{
		s: s, gateway: gateway, log: s.log.With("gateway_id", gateway, "instance", s.cfg.Instance), told: map[uint64]int64{},
	}
	fresh := true
	for {
		members, changed := s.registry.members(gateway)
		if len(members) == 0 {
			k.release(ctx)
			if s.registry.forget(gateway) {
				return
			}
			continue
		}
		pause, err := k.turn(ctx, members, fresh)
		if err != nil && ctx.Err() == nil {
			k.log.WarnContext(ctx, "lease not given", "error", err)
		}
		timer := time.NewTimer(pause)
		select {
		case <-changed:
			fresh = true
		case <-timer.C:
			fresh = err != nil
		case <-ctx.Done():
		}
		timer.Stop()
		if ctx.Err() != nil {
			return
		}
	}
}

// turn does what is due, and tells when to look again. Fresh is set when something may have changed.
func (k *keeper) turn(ctx context.Context, members []*live, fresh bool) (time.Duration, error) {
	if fresh {
		k.lease = nil
	}
	mine, err := k.own(ctx, members[0].id.Project)
	if err != nil {
		k.s.registry.drop(k.gateway)
		return leaseRetry, err
	}
	if !mine {
		k.s.registry.drop(k.gateway)
		return leaseEvery, nil
	}
	if err := k.heed(ctx); err != nil {
		return leaseRetry, err
	}
	members = k.s.registry.staying(members)
	if len(members) == 0 {
		k.s.registry.drop(k.gateway)
		return leaseRetry, nil
	}
	if fresh {
		if err := k.refresh(ctx, members[0].id.Replica); err != nil {
			return leaseRetry, err
		}
	}
	holder, err := k.holder(ctx, members)
	if err != nil {
		return leaseRetry, err
	}
	if holder == nil {
		k.tell(ctx, members)
		running := k.runsOut() > 0
		err := k.probe(ctx, members)
		if running && k.runsOut() == 0 {
			return 0, err
		}
		return k.retry(), err
	}
	if err := k.give(ctx, holder); err != nil {
		return k.retry(), err
	}
	k.tell(ctx, members)
	if k.sole {
		return soleEvery, nil
	}
	return leaseEvery, nil
}

// refresh reads what is kept of the gateway. A holder that was shut out is not waited for as long as one that was cut off.
func (k *keeper) refresh(ctx context.Context, member string) error {
	gateway, err := roster.LoadGateway(ctx, k.s.store, k.gateway)
	if err != nil {
		return err
	}
	k.sole = gateway.Status.Sole(member)
	holder := gateway.Status.Replica(k.lease.Status.Holder)
	if soon := time.Now().Add(leaseTTL); (holder == nil || holder.RevokedAt != nil) && k.until.After(soon) {
		k.until = soon
	}
	return nil
}

// own sees to it that this instance is the one that gives the lease, unless another one that lives does.
func (k *keeper) own(ctx context.Context, project string) (bool, error) {
	term, sure := k.s.instances.sureTerm()
	if !sure {
		k.lease = nil
		return false, nil
	}
	if k.lease != nil && k.term == term {
		return true, nil
	}
	lease, err := roster.LoadLease(ctx, k.s.store, k.gateway)
	if errors.Is(err, store.ErrNoRecord) {
		lease, err = roster.NewLease(project, k.gateway, k.s.now()), nil
	}
	if err != nil {
		return false, err
	}
	owner := lease.Status.Instance
	elsewhere := owner != "" && owner != k.s.cfg.Instance
	if elsewhere {
		if elsewhere, err = k.s.instances.alive(ctx, owner); err != nil {
			return false, err
		}
	}
	k.s.registry.setHolder(k.gateway, lease.Status.Holder, elsewhere)
	if elsewhere {
		return false, nil
	}
	if owner != k.s.cfg.Instance || lease.Revision == 0 {
		lease.Status.Instance = k.s.cfg.Instance
		if err := k.write(ctx, lease); err != nil {
			return false, err
		}
		k.log.InfoContext(ctx, "lease is given by this instance", "epoch", lease.Status.Epoch, "instance_before", owner)
	}
	if owner != k.s.cfg.Instance || k.term != term {
		// Whoever gave it before may have given it just now.
		k.until = time.Now().Add(lease.Status.TTL)
	}
	k.lease, k.term = lease, term
	return true, nil
}

// write writes the lease, unless somebody else has written it since it was read.
func (k *keeper) write(ctx context.Context, lease *roster.Lease) error {
	r, err := lease.Encode()
	if err != nil {
		return err
	}
	return k.s.store.Commit(ctx, store.Batch{Put: []*store.Record{r}})
}

// update changes the lease as this instance knows it. Reports that are kept write the record too, and change nothing.
func (k *keeper) update(ctx context.Context, change func(*roster.LeaseStatus)) error {
	known := k.lease.Status
	next, err := roster.ChangeLease(ctx, k.s.store, k.gateway, func(l *roster.Lease) error {
		if l.Status != known {
			return errTaken
		}
		change(&l.Status)
		return nil
	})
	k.lease = next // nil after an error: what is written now is not known
	return err
}

// errTaken tells that another instance gives the lease now.
var errTaken = errors.New("the lease has been changed by another instance of the hub")

// retry is when to look again at a lease that could not be given: when it has run out, and before that whether it can.
func (k *keeper) retry() time.Duration {
	if left := k.runsOut(); left > 0 {
		return min(leaseRetry, left)
	}
	return leaseRetry
}

// runsOut is how long it takes until a lease that was given has run out for sure.
func (k *keeper) runsOut() time.Duration { return max(0, time.Until(k.until.Add(leaseMargin))) }

// holder returns the connection of the replica that has the lease. When its lease has run out another one gets it; nil is
// returned until then, and when there is none.
func (k *keeper) holder(ctx context.Context, members []*live) (*live, error) {
	for _, m := range members {
		if m.id.Replica == k.lease.Status.Holder && m.serial != k.silent {
			return m, nil
		}
	}
	before := k.lease.Status.Holder
	if before != "" && k.runsOut() > 0 {
		return nil, nil
	}
	for _, m := range members {
		if m.serial == k.silent {
			continue
		}
		k.s.registry.drop(k.gateway)
		err := k.update(ctx, func(l *roster.LeaseStatus) {
			l.Holder, l.TTL = m.id.Replica, k.ttl()
			l.Epoch++
		})
		if err != nil {
			return nil, err
		}
		k.log.InfoContext(ctx, "lease has a new holder",
			"replica_id", m.id.Replica, "replica_id_before", before, "epoch", k.lease.Status.Epoch)
		k.s.registry.setHolder(k.gateway, m.id.Replica, false)
		k.cutSilent(members)
		return m, nil
	}
	return nil, nil
}

// cutSilent ends the tunnel of a replica that does not answer: when it can again, it comes again.
func (k *keeper) cutSilent(members []*live) {
	for _, m := range members {
		if m.serial == k.silent {
			_ = m.tunnel.Close() // Its end is seen where it is kept.
		}
	}
	k.silent = 0
}

// probe asks a replica that has not answered whether it does now, no longer than its lease may last. It is given no lease by
// that, so that its lease can run out.
func (k *keeper) probe(ctx context.Context, members []*live) error {
	for _, m := range members {
		if m.serial != k.silent {
			continue
		}
		limit := leaseAnswer
		if left := k.runsOut(); left > 0 {
			limit = min(limit, left)
		}
		ctx, cancel := context.WithTimeout(ctx, limit)
		defer cancel()
		if _, err := m.client.Info(ctx); err != nil {
			return err
		}
		k.silent = 0
	}
	return nil
}

// ttl is how long a lease is given for.
func (k *keeper) ttl() time.Duration {
	if k.sole {
		return soleTTL
	}
	return leaseTTL
}

// give gives the lease to its holder. A longer one than before is on record before it is given, a shorter one after it was
// taken.
func (k *keeper) give(ctx context.Context, holder *live) error {
	ttl := k.ttl()
	if ttl > k.lease.Status.TTL {
		if err := k.update(ctx, func(l *roster.LeaseStatus) { l.TTL = ttl }); err != nil {
			return err
		}
	}
	began := time.Now()
	err := k.send(ctx, holder, true, ttl)
	if err != nil {
		// It may have arrived all the same.
		if end := began.Add(ttl); end.After(k.until) {
			k.until = end
		}
		k.silent = holder.serial
		return err
	}
	k.until = time.Now().Add(ttl)
	k.told[holder.serial] = k.lease.Status.Epoch
	k.s.registry.link(holder, k.s.cfg.Instance, k.lease.Status.Epoch)
	if ttl < k.lease.Status.TTL {
		return k.update(ctx, func(l *roster.LeaseStatus) { l.TTL = ttl })
	}
	return nil
}

func (k *keeper) send(ctx context.Context, to *live, holder bool, ttl time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, leaseAnswer)
	defer cancel()
	return to.client.GiveLease(ctx, gatewayapi.Lease{
		Epoch: k.lease.Status.Epoch, Holder: holder, TTLMillis: ttl.Milliseconds(),
	})
}

// tell lets those that do not have the lease know under which epoch another one has it.
func (k *keeper) tell(ctx context.Context, members []*live) {
	for _, m := range members {
		if m.id.Replica == k.lease.Status.Holder || m.serial == k.silent || k.told[m.serial] == k.lease.Status.Epoch {
			continue
		}
		if err := k.send(ctx, m, false, leaseTTL); err != nil {
			k.log.InfoContext(ctx, "replica not told of the lease", "replica_id", m.id.Replica, "error", err)
			continue
		}
		k.told[m.serial] = k.lease.Status.Epoch
	}
}

// heed frees a lease that its holder has given up: nobody has to wait for its end.
func (k *keeper) heed(ctx context.Context) error {
	if !k.givenUp() {
		return nil
	}
	before := k.lease.Status
	if err := k.update(ctx, free); err != nil {
		return err
	}
	k.until = time.Time{}
	k.s.registry.setHolder(k.gateway, "", false)
	k.log.InfoContext(ctx, "lease was given up", "replica_id", before.Holder, "epoch", before.Epoch)
	return nil
}

// givenUp tells whether the lease as it is known has been given up by its holder.
func (k *keeper) givenUp() bool {
	r := k.s.registry.resigned(k.gateway)
	return r.replica != "" && k.lease.Status.Holder == r.replica && k.lease.Status.Epoch == r.epoch
}

// free leaves a lease without a holder.
func free(l *roster.LeaseStatus) { l.Holder, l.TTL = "", 0 }

// release lets another instance give the lease: nobody is connected here.
func (k *keeper) release(ctx context.Context) {
	k.s.registry.drop(k.gateway)
	if k.lease == nil {
		return
	}
	freed := k.givenUp()
	err := k.update(ctx, func(l *roster.LeaseStatus) {
		if l.Instance = ""; freed {
			free(l)
		}
	})
	if err != nil && ctx.Err() == nil && !errors.Is(err, errTaken) && !errors.Is(err, store.ErrNoRecord) {
		k.log.WarnContext(ctx, "lease not left to other instances", "error", err)
	}
	k.lease = nil
}
