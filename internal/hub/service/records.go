package service

import (
	"context"
	"errors"

	"github.com/terraform-provider-palette/terraform-provider-palette/internal/hub/store"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/hubapi"
)

// counted is a database whose failures are counted. What a caller decides by, such as that there is no record, is none.
type counted struct {
	store.Database
	metrics *metrics
}

func (c counted) count(operation string, err error) {
	for _, expected := range []error{
		nil, context.Canceled, context.DeadlineExceeded, store.ErrNoRecord, store.ErrStale, store.ErrNameTaken, store.ErrClosed,
	} {
		if errors.Is(err, expected) {
			return
		}
	}
	c.metrics.storeErrors.WithLabelValues(operation).Inc()
}

// Get implements store.Records.
func (c counted) Get(ctx context.Context, kind store.Kind, id string) (*store.Record, error) {
	r, err := c.Database.Get(ctx, kind, id)
	c.count("get", err)
	return r, err
}

// List implements store.Records.
func (c counted) List(ctx context.Context, kind store.Kind, f store.Filter) ([]*store.Record, error) {
	records, err := c.Database.List(ctx, kind, f)
	c.count("list", err)
	return records, err
}

// Commit implements store.Records.
func (c counted) Commit(ctx context.Context, b store.Batch) error {
	err := c.Database.Commit(ctx, b)
	c.count("commit", err)
	return err
}

// Events implements store.Events.
func (c counted) Events(ctx context.Context, project, cluster string, after int64, limit int) ([]hubapi.Event, error) {
	events, err := c.Database.Events(ctx, project, cluster, after, limit)
	c.count("events", err)
	return events, err
}

// AppendAudit implements store.Audits.
func (c counted) AppendAudit(ctx context.Context, e store.AuditEntry) error {
	err := c.Database.AppendAudit(ctx, e)
	c.count("audit", err)
	if err != nil {
		c.metrics.auditFailures.Inc()
	}
	return err
}

// Lock implements store.Peers.
func (c counted) Lock(ctx context.Context, name string) (func(), error) {
	unlock, err := c.Database.Lock(ctx, name)
	c.count("lock", err)
	return unlock, err
}

// Ping implements store.Database.
func (c counted) Ping(ctx context.Context) error {
	err := c.Database.Ping(ctx)
	c.count("ping", err)
	return err
}
