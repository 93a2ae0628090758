package store_test

import (
	"context"
	"database/sql"
	"errors"
	"net/url"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/stdlib"
	"golang.org/x/sync/errgroup"

	"github.com/terraform-provider-palette/terraform-provider-palette/internal/hub/store"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/hubapi"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/testkit/postgres"
)

// TestPostgresServer is about what only a server has. Its parts share one, and leave it running.
func TestPostgresServer(t *testing.T) {
	server := postgres.Start(t)
	for name, test := range map[string]func(*testing.T, *postgres.Server){
		"AnswerLost":      testAnswerLost,
		"Frozen":          testFrozen,
		"AuditTampering":  testPostgresAuditTampering,
		"LockedOnce":      testLockedOnce,
		"LocksCut":        testLocksCut,
		"NewerVersion":    testPostgresNewerVersion,
		"OtherConnection": testOtherConnection,
		"Restarted":       testRestarted,
		"RoundTrips":      testRoundTrips,
		"WokenAfterAll":   testWokenAfterAll,
		"WokenAtOnce":     testWokenAtOnce,
	} {
		t.Run(name, func(t *testing.T) { test(t, server) })
	}
}

// behind opens a database behind the store's back.
func behind(t *testing.T, dsn string) *sql.DB {
	t.Helper()
	driver := "sqlite"
	if store.IsPostgres(dsn) {
		driver = "pgx"
		_ = stdlib.GetDefaultDriver() // registers it
	}
	db, err := sql.Open(driver, dsn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return db
}

func exec(t *testing.T, db *sql.DB, statements ...string) {
	t.Helper()
	for _, statement := range statements {
		if _, err := db.ExecContext(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
}

// proxied returns a proxy, and the URL of an empty database behind it.
func proxied(t *testing.T, server *postgres.Server) (proxy *pgProxy, dsn string) {
	t.Helper()
	proxy, dir := newPGProxy(t, server.Dir())
	u, err := url.Parse(server.DSN(t))
	if err != nil {
		t.Fatal(err)
	}
	query := u.Query()
	query.Set("host", dir)
	u.RawQuery = query.Encode()
	return proxy, u.String()
}

// testAnswerLost cuts the connection around a commit. What the store answers is what has happened, and it happened once.
func testAnswerLost(t *testing.T, server *postgres.Server) {
	for name, tc := range map[string]struct {
		reason string
		when   cutting
	}{
		"before": {"the server has not heard of it: it is written again", cutBefore},
		"after":  {"the server has done it: that is found out", cutAfter},
	} {
		t.Run(name, func(t *testing.T) {
			proxy, dsn := proxied(t, server)
			s := open(t, dsn)
			r := record("a", "one")
			commit(t, s, store.Batch{Put: []*store.Record{r}})
			var once sync.Once
			proxy.cutWhen(func(_ byte, body string) (when cutting) {
				if body == "commit" {
					once.Do(func() { when = tc.when })
				}
				return when
			})
			commit(t, s, store.Batch{Put: []*store.Record{r}, Events: []store.ClusterEvent{
				{ClusterID: "a", Project: "default", Event: hubapi.Event{Message: "hello"}},
			}})
			proxy.cutWhen(nil)
			got, err := s.Get(t.Context(), store.KindCluster, "a")
			if err != nil || got.Revision != 2 || r.Revision != 2 {
				t.Errorf("%s: revision %d, %d in the store: %v", tc.reason, r.Revision, got.Revision, err)
			}
			if events, err := s.Events(t.Context(), "default", "a", 0, 10); err != nil || len(events) != 1 {
				t.Errorf("%s: %d events, want 1: %v", tc.reason, len(events), err)
			}
		})
	}
}

// testFrozen lets nothing through for a while, without an end to any connection. Nobody hangs, and all goes on afterwards.
func testFrozen(t *testing.T, server *postgres.Server) {
	proxy, dsn := proxied(t, server)
	s, err := store.OpenPostgres(t.Context(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	s.SetTimeouts(200*time.Millisecond, 200*time.Millisecond)
	r := record("a", "one")
	commit(t, s, store.Batch{Put: []*store.Record{r}})

	proxy.mu.Lock()
	_, errGet := s.Get(t.Context(), r.Kind, r.ID)
	errCommit := s.Commit(t.Context(), store.Batch{Put: []*store.Record{r}})
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_, errImpatient := s.Get(ctx, r.Kind, r.ID)
	proxy.mu.Unlock()
	for name, err := range map[string]error{"reading": errGet, "writing": errCommit} {
		if !errors.Is(err, store.ErrUnavailable) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if !errors.Is(errImpatient, context.DeadlineExceeded) {
		t.Errorf("who waits less long: %v", errImpatient)
	}
	s.SetTimeouts(10*time.Second, 10*time.Second)
	commit(t, s, store.Batch{Put: []*store.Record{r}})
}

func testPostgresAuditTampering(t *testing.T, server *postgres.Server) {
	t.Run("refused", func(t *testing.T) {
		dsn := server.DSN(t)
		s, db := open(t, dsn), behind(t, dsn)
		fillAudit(t, s)
		checkRefusals(t, db, s)
		if _, err := db.ExecContext(t.Context(), "TRUNCATE audit"); err == nil {
			t.Error("the database let somebody truncate the log")
		}
	})
	for name, tc := range tamperings {
		t.Run(name, func(t *testing.T) {
			dsn := server.DSN(t)
			s, db := open(t, dsn), behind(t, dsn)
			fillAudit(t, s)
			exec(t, db, "ALTER TABLE audit DISABLE TRIGGER ALL", tc.sql)
			checkTampering(t, s, tc.want)
		})
	}
}

func testPostgresNewerVersion(t *testing.T, server *postgres.Server) {
	dsn := server.DSN(t)
	s, db := open(t, dsn), behind(t, dsn)
	commit(t, s, store.Batch{Put: []*store.Record{record("a", "one")}})
	exec(t, db, "UPDATE records SET v = 99")
	if _, err := s.Get(t.Context(), store.KindCluster, "a"); !errors.Is(err, store.ErrNewerDocument) {
		t.Errorf("reading a newer document: %v", err)
	}
	exec(t, db, "UPDATE palette_schema SET version = 99")
	if _, err := store.Open(t.Context(), dsn); !errors.Is(err, store.ErrNewerSchema) {
		t.Errorf("opening a newer database: %v", err)
	}
}

// testLockedOnce has two instances take the same locks: no two hold one at the same time.
func testLockedOnce(t *testing.T, server *postgres.Server) {
	dsn := server.DSN(t)
	var holders [2]atomic.Int32
	var group errgroup.Group
	for range 2 {
		s := open(t, dsn)
		for w := range 4 {
			group.Go(func() error {
				for range 10 {
					unlock, err := s.Lock(t.Context(), []string{"a", "b"}[w%2])
					if err != nil {
						return err
					}
					if holders[w%2].Add(1) != 1 {
						t.Error("two hold one lock")
					}
					holders[w%2].Add(-1)
					unlock()
				}
				return nil
			})
		}
	}
	if err := group.Wait(); err != nil {
		t.Fatal(err)
	}
}

// testLocksCut cuts the connection that the locks are on: who comes next takes them back for who holds them.
func testLocksCut(t *testing.T, server *postgres.Server) {
	proxy, dsn := proxied(t, server)
	s, other := open(t, dsn), open(t, dsn)
	unlock, err := s.Lock(t.Context(), "a")
	if err != nil {
		t.Fatal(err)
	}
	proxy.cutAll()
	second, err := s.Lock(t.Context(), "b")
	if err != nil {
		t.Fatal(err)
	}
	defer second()
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if _, err := other.Lock(ctx, "a"); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a lock that was taken back: %v", err)
	}
	unlock()
	again, err := other.Lock(t.Context(), "a")
	if err != nil {
		t.Fatal(err)
	}
	again()
}

// testOtherConnection has a request that ends leave the connections usable.
func testOtherConnection(t *testing.T, server *postgres.Server) {
	s := open(t, server.DSN(t))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.Get(ctx, store.KindCluster, "a"); !errors.Is(err, context.Canceled) {
		t.Errorf("reading for a request that has ended: %v", err)
	}
	if err := s.Commit(ctx, store.Batch{}); !errors.Is(err, context.Canceled) {
		t.Errorf("writing for a request that has ended: %v", err)
	}
	if err := s.Ping(t.Context()); err != nil {
		t.Error(err)
	}
}

// testRestarted stops and crashes the server while two instances count up. Every count that was confirmed is there, no
// other one is, and what failed said that the database was away.
func testRestarted(t *testing.T, server *postgres.Server) {
	for name, end := range map[string]func(testing.TB){"stopped": server.Stop, "crashed": server.Kill} {
		t.Run(name, func(t *testing.T) {
			dsn := server.DSN(t)
			instances := []store.Database{open(t, dsn), open(t, dsn)}
			commit(t, instances[0], store.Batch{Put: []*store.Record{record("a", "one")}})
			topics, err := instances[0].Wakes(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			var confirmed, away atomic.Int64
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			var group errgroup.Group
			for w := range 4 {
				group.Go(func() error {
					for ctx.Err() == nil {
						switch err := raise(t.Context(), instances[w%2], func() {}); {
						case err == nil:
							confirmed.Add(1)
						case errors.Is(err, store.ErrUnavailable):
							away.Add(1)
						default:
							return err
						}
					}
					return nil
				})
			}
			awaitCount(t, &confirmed, 20)
			end(t)
			awaitCount(t, &away, 4)
			if err := instances[0].Ping(t.Context()); !errors.Is(err, store.ErrUnavailable) {
				t.Errorf("pinging a database that is away: %v", err)
			}
			if _, err := instances[0].Lock(t.Context(), "a"); !errors.Is(err, store.ErrUnavailable) {
				t.Errorf("locking in a database that is away: %v", err)
			}
			server.Resume(t)
			before := confirmed.Load()
			awaitCount(t, &confirmed, before+20)
			cancel()
			if err := group.Wait(); err != nil {
				t.Fatal(err)
			}
			r, err := instances[1].Get(t.Context(), store.KindCluster, "a")
			if err != nil || r.Generation != 1+confirmed.Load() {
				t.Errorf("the count is %d after %d raises: %v", r.Generation-1, confirmed.Load(), err)
			}
			awaitWake(t, topics, "")
			instances[1].Wake(t.Context(), "afterwards")
			awaitWake(t, topics, "afterwards")
			unlock, err := instances[0].Lock(t.Context(), "a")
			if err != nil {
				t.Fatal(err)
			}
			unlock()
		})
	}
}

// awaitCount waits until a count has been reached.
func awaitCount(t *testing.T, count *atomic.Int64, want int64) {
	t.Helper()
	ticker := time.NewTicker(5 * time.Millisecond)
	defer ticker.Stop()
	for began := time.Now(); count.Load() < want; <-ticker.C {
		if time.Since(began) > 30*time.Second {
			t.Fatalf("%d, want %d", count.Load(), want)
		}
	}
}

// testRoundTrips counts what an instance waits for.
func testRoundTrips(t *testing.T, server *postgres.Server) {
	proxy, dsn := proxied(t, server)
	s := open(t, dsn)
	everything := func(revision int64) store.Batch {
		var b store.Batch
		for _, id := range []string{"a", "b", "c"} {
			r := record(id, id)
			r.Revision = revision
			b.Put = append(b.Put, r)
			b.Events = append(b.Events, store.ClusterEvent{ClusterID: id, Project: "default"})
		}
		b.Cursor = &store.Cursor{Gateway: "g"}
		b.Wakes = []string{"a", "b", "c"}
		return b
	}
	one := func(revision int64) store.Batch {
		r := record("d", "d")
		r.Revision = revision
		return store.Batch{Put: []*store.Record{r}}
	}
	ctx := t.Context()
	unlocks := make(chan func(), 1)
	for _, tc := range []struct {
		name string
		want int
		do   func(i int64) error
	}{
		{"a record written", 2, func(i int64) error { return s.Commit(ctx, one(i)) }},
		{"many records, events, a cursor and wake-ups", 2, func(i int64) error { return s.Commit(ctx, everything(i)) }},
		{"a record read", 1, func(int64) error { _, err := s.Get(ctx, store.KindCluster, "a"); return err }},
		{"a list", 1, func(int64) error { _, err := s.List(ctx, store.KindCluster, store.Filter{}); return err }},
		{"events", 1, func(int64) error { _, err := s.Events(ctx, "default", "a", 0, 10); return err }},
		{"a lock", 1, func(int64) error { u, err := s.Lock(ctx, "a"); unlocks <- u; return err }},
		{"a lock given back", 1, func(int64) error { (<-unlocks)(); return nil }},
		{"an audit entry", 3, func(int64) error { return s.AppendAudit(ctx, entry("a", "one")) }},
		{"a wake-up", 1, func(int64) error { s.Wake(ctx, "a"); return nil }},
		{"attendance said", 1, func(int64) error { return s.Attend(ctx, "i", []string{"a", "b"}, time.Hour) }},
		{"attendance asked", 1, func(int64) error { _, err := s.Attended(ctx, "a", "i"); return err }},
	} {
		// The first two make connections and prepare statements.
		for i := range int64(3) {
			if tc.name == "a lock given back" && i < 2 {
				continue
			}
			proxy.roundTrips()
			if err := tc.do(i); err != nil {
				t.Fatalf("%s: %v", tc.name, err)
			}
			if tc.name == "a lock" && i < 2 {
				(<-unlocks)()
			}
		}
		if got := proxy.roundTrips(); got != tc.want {
			t.Errorf("%s takes %d round trips, want %d", tc.name, got, tc.want)
		}
	}
}

// testWokenAtOnce measures how soon another instance hears of a wake-up.
func testWokenAtOnce(t *testing.T, server *postgres.Server) {
	dsn := server.DSN(t)
	a, b := open(t, dsn), open(t, dsn)
	topics, err := b.Wakes(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	const times = 20
	began := time.Now()
	for range times {
		a.Wake(t.Context(), "topic")
		awaitWake(t, topics, "topic")
	}
	mean := time.Since(began) / times
	t.Logf("woken after %s", mean)
	if mean > 200*time.Millisecond {
		t.Errorf("woken after %s", mean)
	}
}

// testWokenAfterAll loses every notification, as with a pooler in between: the poll finds the wake-up.
func testWokenAfterAll(t *testing.T, server *postgres.Server) {
	dsn := server.DSN(t)
	s, db := open(t, dsn), behind(t, dsn)
	topics, err := s.Wakes(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	exec(t, db, "INSERT INTO wakes (origin, topic) VALUES ('another', 'silent')") // and no notification
	awaitWake(t, topics, "silent")
}
