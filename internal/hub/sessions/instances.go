package sessions

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"sync"
	"time"

	"github.com/terraform-provider-palette/terraform-provider-palette/internal/gatewayapi"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/hub/store"
)

const (
	// beatEvery is how often an instance writes that it lives.
	beatEvery = 3 * time.Second
	// deadAfter is how long another instance must not have written anything to count as dead, by the clock of the one who
	// looks.
	deadAfter = 10 * time.Second
	// sureFor is how long after it began to write that it lives an instance may be sure that no other takes it for dead.
	sureFor = 8 * time.Second
	// instanceKept is how long an instance that is dead stays on record.
	instanceKept = time.Minute
)

// instances knows which instances of the hub live. No clock is compared with another one: an instance lives while its
// record changes.
type instances struct {
	records  store.Records
	instance string
	about    instanceStatus
	log      *slog.Logger

	writing sync.Mutex    // held while the own record is written
	record  *store.Record // the own one

	mu   sync.Mutex
	seen map[string]sighting // the others, by name
	sure time.Time           // until when no other takes this one for dead
	term uint64              // grows when this instance may have been taken for dead
}

// instanceStatus is what an instance says of itself.
type instanceStatus struct {
	URL      string `json:"url"`
	Draining bool   `json:"draining,omitempty"`
}

type sighting struct {
	instanceStatus

	revision int64
	at       time.Time // when the record was seen to have changed
}

func newInstances(cfg Config, log *slog.Logger) *instances {
	return &instances{
		records: cfg.Store, instance: cfg.Instance, about: instanceStatus{URL: cfg.URL}, log: log,
		seen: map[string]sighting{},
	}
}

// run writes that this instance lives and looks at the others until the context ends. Changed is called when another one
// has come or gone, and when this one may give leases again.
func (i *instances) run(ctx context.Context, changed func()) error {
	ticker := time.NewTicker(beatEvery)
	defer ticker.Stop()
	for {
		beat, cancel := context.WithTimeout(ctx, sureFor)
		before, _ := i.sureTerm()
		err := i.beat(beat)
		news := false
		if err == nil {
			news, err = i.look(beat)
		}
		cancel()
		after, _ := i.sureTerm()
		news = news || before != after
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil {
			i.log.WarnContext(ctx, "instance of the hub could not write that it lives", "instance", i.instance, "error", err)
		}
		if news {
			changed()
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-ticker.C:
		}
	}
}

// beat writes that this instance lives.
func (i *instances) beat(ctx context.Context) error {
	i.writing.Lock()
	defer i.writing.Unlock()
	began := time.Now()
	status, err := json.Marshal(i.says())
	if err != nil {
		return fmt.Errorf("encoding what an instance says of itself: %w", err)
	}
	if i.record == nil {
		if i.record, err = i.find(ctx); err != nil {
			return err
		}
	}
	i.record.StatusJSON = status
	err = i.records.Commit(ctx, store.Batch{Put: []*store.Record{i.record}})
	if err != nil {
		i.record = nil // It is not known what was written: look, next time.
		return err
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	if began.After(i.sure) {
		i.term++
	}
	i.sure = began.Add(sureFor)
	return nil
}

func (i *instances) says() instanceStatus {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.about
}

// find returns the own record: that of an earlier life, or a new one.
func (i *instances) find(ctx context.Context) (*store.Record, error) {
	r, err := i.records.Get(ctx, store.KindInstance, i.instance)
	if errors.Is(err, store.ErrNoRecord) {
		return &store.Record{
			Kind: store.KindInstance, ID: i.instance, Name: i.instance, SpecJSON: []byte("{}"), CreatedAt: time.Now().UTC(),
		}, nil
	}
	return r, err
}

// look reads what the others have written, and tells whether one has come, gone or changed its mind.
func (i *instances) look(ctx context.Context) (news bool, err error) {
	records, err := i.records.List(ctx, store.KindInstance, store.Filter{})
	if err != nil {
		return false, err
	}
	news, gone, err := i.sight(records)
	if err != nil || len(gone) == 0 {
		return news, err
	}
	err = i.records.Commit(ctx, store.Batch{Remove: gone})
	if errors.Is(err, store.ErrStale) {
		err = nil // somebody else was faster, or it has come back
	}
	return news, err
}

// sight compares what is written with what was before. Gone are those that are dead for long.
func (i *instances) sight(records []*store.Record) (news bool, gone []*store.Record, err error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	before := i.others()
	now := time.Now()
	seen := map[string]sighting{}
	for _, r := range records {
		if r.ID == i.instance {
			continue
		}
		s := sighting{revision: r.Revision, at: now}
		if old, ok := i.seen[r.ID]; ok && old.revision == r.Revision {
			s.at = old.at
		}
		if err := json.Unmarshal(r.StatusJSON, &s.instanceStatus); err != nil {
			return false, nil, fmt.Errorf("decoding what instance %s says of itself: %w", r.ID, err)
		}
		seen[r.ID] = s
		if now.Sub(s.at) > instanceKept {
			gone = append(gone, r)
		}
	}
	i.seen = seen
	return !maps.Equal(before, i.others()), gone, nil
}

// others returns the URLs of the other instances that live and stay. The caller holds mu.
func (i *instances) others() map[string]string {
	urls := map[string]string{}
	for id, s := range i.seen {
		if time.Since(s.at) < deadAfter && !s.Draining {
			urls[id] = s.URL
		}
	}
	return urls
}

// alone tells that no other instance is known of.
func (i *instances) alone() bool {
	i.mu.Lock()
	defer i.mu.Unlock()
	return len(i.seen) == 0
}

// sureTerm tells whether this instance may give leases: no other can have taken it for dead. What was known under another
// term has to be read again.
func (i *instances) sureTerm() (term uint64, sure bool) {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.term, time.Now().Before(i.sure) && !i.about.Draining
}

// alive tells whether another instance may be giving leases. One that is seen for the first time may.
func (i *instances) alive(ctx context.Context, instance string) (bool, error) {
	if s, ok := i.sighting(instance); ok {
		return time.Since(s.at) < deadAfter && !s.Draining, nil
	}
	r, err := i.records.Get(ctx, store.KindInstance, instance)
	if errors.Is(err, store.ErrNoRecord) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	s := sighting{revision: r.Revision, at: time.Now()}
	if err := json.Unmarshal(r.StatusJSON, &s.instanceStatus); err != nil {
		return false, fmt.Errorf("decoding what instance %s says of itself: %w", r.ID, err)
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	if _, ok := i.seen[instance]; !ok {
		i.seen[instance] = s
	}
	return !s.Draining, nil
}

func (i *instances) sighting(instance string) (s sighting, ok bool) {
	i.mu.Lock()
	defer i.mu.Unlock()
	s, ok = i.seen[instance]
	return s, ok
}

// hubInfo is what gateways are told of the hub.
func (i *instances) hubInfo(version string) gatewayapi.HubInfo {
	i.mu.Lock()
	defer i.mu.Unlock()
	replicas := i.others()
	if !i.about.Draining {
		replicas[i.instance] = i.about.URL
	}
	return gatewayapi.HubInfo{
		Instance: i.instance, Version: version, Replicas: replicas, Draining: i.about.Draining,
	}
}

// drain tells the others that this instance gives no leases any more.
func (i *instances) drain(ctx context.Context) {
	i.mu.Lock()
	i.about.Draining = true
	i.mu.Unlock()
	if err := i.beat(ctx); err != nil {
		i.log.WarnContext(ctx, "instance of the hub could not write that it is about to go",
			"instance", i.instance, "error", err)
	}
}

const leaveLimit = 2 * time.Second

// leave takes the own record away, so that others need not wait.
func (i *instances) leave(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, leaveLimit)
	defer cancel()
	i.writing.Lock()
	defer i.writing.Unlock()
	if i.record == nil {
		return
	}
	if err := i.records.Commit(ctx, store.Batch{Remove: []*store.Record{i.record}}); err != nil {
		i.log.InfoContext(ctx, "record of the hub's instance not removed", "instance", i.instance, "error", err)
	}
}
