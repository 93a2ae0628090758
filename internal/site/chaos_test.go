package site_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/terraform-provider-palette/terraform-provider-palette/internal/site"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/testkit/postgres"
)

// chaosVariable holds the seed of a run that is to be seen again, as far as chance is all there is to it.
const chaosVariable = "PALETTE_TEST_SEED"

// chaos has things happen to a site again and again, each for a while, and one after the other.
type chaos struct {
	t    *testing.T
	s    *site.Site
	db   *postgres.Server
	rand *rand.Rand
	log  func(format string, args ...any)
}

// hit is something that happens and is over again.
type hit struct {
	name       string
	begin, end func()
}

func (c *chaos) hits() []hit {
	hits := []hit{{"database crashes", func() { c.db.Kill(c.t) }, func() { c.db.Resume(c.t) }}}
	for _, hub := range c.s.Hubs {
		hits = append(hits,
			hit{hub.Name() + " is killed", hub.Kill, hub.Start},
			hit{hub.Name() + " stands still", hub.Freeze, hub.Thaw})
	}
	for _, r := range c.s.Replicas {
		hits = append(hits,
			hit{r.Name + " is killed", r.Kill, r.Start},
			hit{r.Name + " stands still", r.Freeze, r.Thaw},
			hit{r.Name + " is cut off", r.Uplink.Cut, r.Uplink.Restore},
			hit{r.Name + "'s path is frozen", r.Uplink.Freeze, r.Uplink.Restore})
	}
	return hits
}

// run lets it happen until stop is closed.
func (c *chaos) run(stop <-chan struct{}) {
	hits := c.hits()
	pause := func(most time.Duration) bool {
		select {
		case <-stop:
			return false
		case <-time.After(time.Duration(c.rand.Int64N(int64(most)))):
			return true
		}
	}
	for pause(3 * time.Second) {
		h := hits[c.rand.IntN(len(hits))]
		c.log("%s %s", time.Now().Format(time.StampMilli), h.name)
		h.begin()
		pause(12 * time.Second)
		h.end()
	}
}

// TestSiteLongChaos has a cluster made, changed and deleted while hubs, replicas, database and paths fail by chance.
func TestSiteLongChaos(t *testing.T) {
	t.Parallel() // Most of it is waiting for processes.
	const rounds = 2
	seed := time.Now().UnixNano()
	if text := os.Getenv(chaosVariable); text != "" {
		var err error
		if seed, err = strconv.ParseInt(text, 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("%s=%d", chaosVariable, seed)
	db := postgres.Start(t)
	s := site.New(t, site.Options{VCenter: unhurried, Database: db.DSN(t), Hubs: 2, Replicas: 2})
	c := &chaos{t: t, s: s, db: db, rand: rand.New(rand.NewPCG(uint64(seed), 1)), log: t.Logf}
	stop := make(chan struct{})
	var running sync.WaitGroup
	running.Go(func() { c.run(stop) })
	t.Cleanup(running.Wait)
	t.Cleanup(sync.OnceFunc(func() { close(stop) }))
	for round := range rounds {
		for _, workers := range []int{1, 4, 2} {
			s.Write(s.Spec(workers)).Wait()
			s.Verify(fmt.Sprintf("round %d: %d workers", round, workers), site.Slots(workers)...)
		}
		replaced := s.Spec(2)
		replaced.NTPServers = []string{fmt.Sprintf("10.0.0.%d", round+1)}
		s.Write(replaced).Wait()
		s.Verify(fmt.Sprintf("round %d: replaced", round), site.Slots(2)...)
		s.Delete().Wait()
		s.Verify(fmt.Sprintf("round %d: deleted", round))
	}
}
