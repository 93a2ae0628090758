package sessions_test

import (
	"fmt"
	"net/http"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/terraform-provider-palette/terraform-provider-palette/internal/gatewayapi"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/hub/authority"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/hub/roster"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/hub/store"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/hubapi"
)

// TestManyComeAtOnce: gateways that all come back at the same time are all taken, with their leases.
func TestManyComeAtOnce(t *testing.T) {
	many := 60
	if testing.Short() {
		many = 10
	}
	b := newBench(t)
	var replicas []*replica
	for range many {
		replicas = append(replicas, b.known())
	}
	i := b.instance("a")
	before := heap()
	began := time.Now()
	var group sync.WaitGroup
	for _, r := range replicas {
		group.Go(func() {
			// Who is told to come back later does.
			for _, err := r.connect(i); err != nil; _, err = r.connect(i) {
				if time.Since(began) > 20*time.Second {
					t.Error(err)
					return
				}
				timer := time.NewTimer(200 * time.Millisecond)
				<-timer.C
			}
		})
	}
	group.Wait()
	for _, r := range replicas {
		r.await("holder", 30*time.Second, r.holds)
	}
	t.Logf("%d gateways in %s, both ends take %d KiB each", many, time.Since(began).Round(time.Millisecond),
		(heap()-before)/uint64(many)/1024)
}

func heap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapInuse + m.StackInuse
}

// known makes a gateway with a replica that was paired some time ago.
func (b *bench) known() *replica {
	b.t.Helper()
	r := newReplica(b.t)
	gateway, id := uuid.NewString(), uuid.NewString()
	der, until, err := b.authority.SignReplica(r.csr(r.tls), authority.ReplicaID{Project: "default", Gateway: gateway, Replica: id})
	if err != nil {
		b.t.Fatal(err)
	}
	r.log = b.log
	r.grant = gatewayapi.Grant{Gateway: gateway, Project: "default", Replica: id, Certificate: der}
	g := &roster.Gateway{Record: &store.Record{
		Kind: store.KindGateway, ID: gateway, Project: "default", Name: gateway, Generation: 1, CreatedAt: time.Now(),
	}}
	paired := time.Now()
	g.Status = roster.GatewayStatus{PublicKey: r.sealing.PublicKey(), Replicas: []roster.Replica{
		{ID: id, Name: "host", PairedAt: &paired, CertifiedUntil: until},
	}}
	record, err := g.Encode()
	if err != nil {
		b.t.Fatal(err)
	}
	if err := b.records.Commit(b.t.Context(), store.Batch{Put: []*store.Record{record}}); err != nil {
		b.t.Fatal(err)
	}
	return r
}

// TestBrokeredReads counts what a read asks of the gateway: one request, whatever it reads; and has 64 of them under way at
// once, each of which ends only when all have begun.
func TestBrokeredReads(t *testing.T) {
	const readers = 64
	b := newBench(t)
	i := b.instance("a")
	g := i.gateway("site")
	r := newReplica(t).mustPair(i, g.ID)
	begun, all := make(chan struct{}, readers), make(chan struct{})
	r.extra["POST "+gatewayapi.PathInventory] = func(w http.ResponseWriter, req *http.Request) {
		begun <- struct{}{}
		select {
		case <-all:
		case <-req.Context().Done():
		}
		hubapi.WriteJSON(w, http.StatusOK, map[string]any{"items": []any{}})
	}
	r.mustConnect(i)
	r.await("holder", 5*time.Second, r.holds)
	account := i.account(g.ID)
	r.await("listened to", 5*time.Second, func() bool { return r.listened })
	asked := r.count()
	var group sync.WaitGroup
	for n := range readers {
		group.Go(func() {
			query := hubapi.InventoryQuery{Kind: hubapi.InventoryKind("networks"), Datacenter: fmt.Sprint(n)}
			if _, err := i.client.Inventory(t.Context(), account.ID, query); err != nil {
				t.Error(err)
			}
		})
	}
	limit := time.NewTimer(20 * time.Second)
	defer limit.Stop()
	for n := range readers {
		select {
		case <-begun:
			continue
		case <-limit.C:
			t.Errorf("%d reads have begun, the others wait for them", n)
		}
		break
	}
	close(all)
	group.Wait()
	if got := r.count() - asked; got != readers {
		t.Errorf("%d requests for %d reads", got, readers)
	}
}

// count is how much the hub has asked of the replica.
func (r *replica) count() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.asked
}
