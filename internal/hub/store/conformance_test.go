package store_test

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"go.uber.org/goleak"
	"golang.org/x/sync/errgroup"

	"github.com/terraform-provider-palette/terraform-provider-palette/internal/hub/store"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/hubapi"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/testkit/postgres"
)

// behaviours are what every store does, whatever database is below it.
var behaviours = map[string]func(t *testing.T, fresh func(testing.TB) string){
	"Attendance":         testAttendance,
	"Audit":              testAudit,
	"AuditByMany":        testAuditByMany,
	"Closed":             testClosed,
	"Concurrent":         testConcurrent,
	"ConsumedOnce":       testConsumedOnce,
	"EventsInOrder":      testEventsInOrder,
	"Lock":               testLock,
	"Model":              testModel,
	"OddText":            testOddText,
	"OpenedByManyAtOnce": testOpenedByManyAtOnce,
	"Prune":              testPrune,
	"Reopen":             testReopen,
	"Rules":              testRules,
	"Settings":           testSettings,
	"Wakes":              testWakes,
}

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestSQLite(t *testing.T) { testBehaviours(t, sqliteFile) }

func TestPostgres(t *testing.T) { testBehaviours(t, postgres.Start(t).DSN) }

// testBehaviours runs every behaviour; fresh makes an empty database and returns where it is.
func testBehaviours(t *testing.T, fresh func(testing.TB) string) {
	t.Helper()
	for name, behaviour := range behaviours {
		t.Run(name, func(t *testing.T) { behaviour(t, fresh) })
	}
}

func sqliteFile(tb testing.TB) string { tb.Helper(); return filepath.Join(tb.TempDir(), "hub.db") }

// open opens a store until the test ends.
func open(tb testing.TB, dsn string) store.Database {
	tb.Helper()
	s, err := store.Open(tb.Context(), dsn)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := s.Close(); err != nil {
			tb.Error(err)
		}
	})
	return s
}

func entry(project, object string) store.AuditEntry {
	return store.AuditEntry{
		Time: time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC), Project: project, Actor: "ci", Role: hubapi.RoleEditor,
		Remote: "192.0.2.7", Method: "PUT", Route: "/v1/projects/{project}/clusters/{id}", Kind: store.KindCluster,
		Object: object, Name: "prod", Outcome: 409, Code: hubapi.CodeBusy, RequestID: "r-1",
	}
}

func testAudit(t *testing.T, fresh func(testing.TB) string) {
	s := open(t, fresh(t))
	odd := entry("b", "bad \xff and \x00")
	want := []store.AuditEntry{entry("a", "one"), odd, entry("a", "two")}
	for _, e := range want {
		if err := s.AppendAudit(t.Context(), e); err != nil {
			t.Fatal(err)
		}
	}
	want[1].Object = "bad \uFFFD and \uFFFD"
	for i := range want {
		want[i].Seq = int64(i + 1)
	}
	for name, tc := range map[string]struct {
		project string
		after   int64
		limit   int
		want    []store.AuditEntry
	}{
		"all":              {"", 0, 10, want},
		"one project's":    {"a", 0, 10, []store.AuditEntry{want[0], want[2]}},
		"after a number":   {"a", 1, 10, want[2:]},
		"a page":           {"", 0, 2, want[:2]},
		"nobody's project": {"c", 0, 10, nil},
	} {
		got, err := s.Audit(t.Context(), tc.project, tc.after, tc.limit)
		if diff := cmp.Diff(tc.want, got, cmpopts.IgnoreFields(store.AuditEntry{}, "Hash")); err != nil || diff != "" {
			t.Errorf("%s: %v (-want +got):\n%s", name, err, diff)
		}
	}
	if err := store.VerifyAudit(t.Context(), s); err != nil {
		t.Errorf("the log as it was written: %v", err)
	}
}

// testAuditByMany appends from many goroutines through two instances.
func testAuditByMany(t *testing.T, fresh func(testing.TB) string) {
	dsn := fresh(t)
	instances := []store.Database{open(t, dsn), open(t, dsn)}
	group, ctx := errgroup.WithContext(t.Context())
	const writers, times = 8, 10
	for w := range writers {
		group.Go(func() error {
			for i := range times {
				if err := instances[w%2].AppendAudit(ctx, entry("a", fmt.Sprint(w, i))); err != nil {
					return err
				}
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		t.Fatal(err)
	}
	entries, err := instances[0].Audit(t.Context(), "", 0, 1000)
	if err != nil || len(entries) != writers*times {
		t.Errorf("%d entries, want %d: %v", len(entries), writers*times, err)
	}
	if err := store.VerifyAudit(t.Context(), instances[1]); err != nil {
		t.Error(err)
	}
}

func testSettings(t *testing.T, fresh func(testing.TB) string) {
	dsn := fresh(t)
	instances := []store.Database{open(t, dsn), open(t, dsn)}
	if _, err := instances[0].Setting(t.Context(), "ca"); !errors.Is(err, store.ErrNoRecord) {
		t.Errorf("a setting that nobody put: %v", err)
	}
	const many = 20
	stored := make([]string, many)
	var group errgroup.Group
	for i := range many {
		group.Go(func() error {
			value, err := instances[i%2].PutSettingIfAbsent(t.Context(), "ca", fmt.Append(nil, "\x00", i))
			stored[i] = string(value)
			return err
		})
	}
	if err := group.Wait(); err != nil {
		t.Fatal(err)
	}
	for i := range stored {
		if stored[i] != stored[0] {
			t.Fatalf("two values were kept: %q and %q", stored[0], stored[i])
		}
	}
	if value, err := instances[1].Setting(t.Context(), "ca"); err != nil || string(value) != stored[0] {
		t.Errorf("got %q, %v, want %q", value, err, stored[0])
	}
}

func testLock(t *testing.T, fresh func(testing.TB) string) {
	s := open(t, fresh(t))
	unlock, err := s.Lock(t.Context(), "a")
	if err != nil {
		t.Fatal(err)
	}
	other, err := s.Lock(t.Context(), "b")
	if err != nil {
		t.Fatalf("another lock: %v", err)
	}
	other()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := s.Lock(ctx, "a"); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a lock that is held: %v", err)
	}
	unlock()
	if unlock, err = s.Lock(t.Context(), "a"); err != nil {
		t.Fatalf("a lock that was given back: %v", err)
	}
	unlock()
}

// awaitWake reads topics until one is the wanted one or stands for all.
func awaitWake(t *testing.T, topics <-chan string, want string) {
	t.Helper()
	timeout := time.NewTimer(10 * time.Second)
	defer timeout.Stop()
	for {
		select {
		case topic, ok := <-topics:
			if !ok {
				t.Fatal("the wake-ups have ended")
			}
			if topic == want || topic == "" {
				return
			}
		case <-timeout.C:
			t.Fatalf("nobody was woken for %q", want)
		}
	}
}

func testWakes(t *testing.T, fresh func(testing.TB) string) {
	dsn := fresh(t)
	s, another := open(t, dsn), open(t, dsn)
	ctx, cancel := context.WithCancel(t.Context())
	var readers []<-chan string
	for range 2 {
		topics, err := s.Wakes(ctx)
		if err != nil {
			t.Fatal(err)
		}
		readers = append(readers, topics)
	}
	s.Wake(t.Context(), "one")
	commit(t, s, store.Batch{Put: []*store.Record{record("a", "a")}, Wakes: []string{"two"}})
	for _, topics := range readers {
		awaitWake(t, topics, "one")
		awaitWake(t, topics, "two")
	}
	// Another process on the database, such as a command.
	commit(t, another, store.Batch{Put: []*store.Record{record("b", "b")}, Wakes: []string{"three"}})
	for _, topics := range readers {
		awaitWake(t, topics, "three")
	}
	cancel()
	for _, topics := range readers {
		for range topics { // until it is closed
		}
	}
}

func testAttendance(t *testing.T, fresh func(testing.TB) string) {
	s := open(t, fresh(t))
	attend := func(who string, ttl time.Duration, topics ...string) {
		t.Helper()
		if err := s.Attend(t.Context(), who, topics, ttl); err != nil {
			t.Fatal(err)
		}
	}
	attend("a", time.Hour, "x", "y")
	attend("b", time.Hour, "y", "z")
	attend("a", time.Hour, "y")
	attend("late", -time.Second, "x")
	for _, tc := range []struct {
		reason, topic, except string
		want                  bool
	}{
		{"a has left it, and late's time is up", "x", "", false},
		{"both", "y", "a", true},
		{"b does", "z", "a", true},
		{"b itself does not count", "z", "b", false},
		{"nobody ever did", "w", "", false},
	} {
		if got, err := s.Attended(t.Context(), tc.topic, tc.except); err != nil || got != tc.want {
			t.Errorf("%s: got %v, %v, want %v", tc.reason, got, err, tc.want)
		}
	}
	attend("b", time.Hour)
	if got, err := s.Attended(t.Context(), "z", ""); err != nil || got {
		t.Errorf("after b has left: got %v, %v", got, err)
	}
}
