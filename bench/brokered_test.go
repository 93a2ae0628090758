package bench

import (
	"context"
	"fmt"
	"net/netip"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/terraform-provider-palette/terraform-provider-palette/internal/gateway/agent"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/gateway/policy"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/hubapi"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/testkit/hubtest"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/tunnel/tunneltest"
)

const (
	// brokeredTrip is the emulated round trip between hub and gateway.
	brokeredTrip = 40 * time.Millisecond
	// brokeredReaders read at the same time, from a vCenter that takes vcenterPause for each call. A gateway asks one vCenter
	// eight things at a time, through a tunnel or not: what is compared is whether the tunnel lets them through as they come.
	brokeredReaders = 64
	vcenterPause    = 100 * time.Millisecond
)

// BenchmarkTunnelInventory reads a vCenter's inventory through a hub and a gateway that dialled out to it, beside the same
// reads by a gateway in the own process: what is added is the way between hub and gateway, once. Then many read at once.
func BenchmarkTunnelInventory(b *testing.B) {
	for b.Loop() {
		own := newWorld(b, 100)
		client, gateway := dialledOut(b)
		brokered := &world{vcenter: own.vcenter, client: client, account: uuid.NewString()}
		brokered.createAccountAt(b, gateway)
		var ours, raw, added []time.Duration
		for range 20 {
			r, o := own.read(b), brokered.read(b)
			ours, raw, added = append(ours, o), append(raw, r), append(added, o-r)
		}
		trips := float64(quantile(added, 0.5)) / float64(brokeredTrip)
		b.ReportMetric(trips, "round-trips-added")
		tunnelTable = append(tunnelTable, tunnelRow{
			work: "inventory over 40 ms, p50", ours: micro(quantile(ours, 0.5)), raw: micro(quantile(raw, 0.5)),
			ratio: fmt.Sprintf("+%.2f round trips", trips), goal: "+1",
		})

		own.vcenter.OnCall(func(string, int) error {
			wait(vcenterPause)
			return nil
		})
		alone, all := own.readAtOnce(b, brokeredReaders), brokered.readAtOnce(b, brokeredReaders)
		own.vcenter.OnCall(nil)
		b.ReportMetric(float64(all)/float64(alone), "x-at-once")
		tunnelTable = append(tunnelTable, tunnelRow{
			work: fmt.Sprintf("%d inventories at once, of a slow vCenter", brokeredReaders), ours: micro(all), raw: micro(alone),
			ratio: fmt.Sprintf("%.2f", float64(all)/float64(alone)), goal: "about 1",
		})
	}
}

// dialledOut starts a hub and a gateway that has dialled out to it, over the delay, and returns a client of the hub
// and the gateway's id.
func dialledOut(b *testing.B) (client *hubapi.Client, id string) {
	b.Helper()
	hub := hubtest.Start(b, nil)
	client = hub.Client(hubapi.DefaultProject, hubapi.RoleAdmin)
	g, err := client.PutGateway(b.Context(), uuid.NewString(), hubapi.GatewayWrite{Name: "north"}, hubapi.WriteOptions{Create: true})
	if err != nil {
		b.Fatal(err)
	}
	token, _, err := client.Pair(b.Context(), g.ID, hubapi.PairOptions{})
	if err != nil {
		b.Fatal(err)
	}
	dir := filepath.Join(b.TempDir(), "gateway")
	_, err = agent.Pair(b.Context(), agent.PairConfig{
		Hub:   "https://" + tunneltest.NewRelay(b, hub.Addresses.Hub, brokeredTrip/2).Addr(),
		Token: token.String(), Name: "north", DataDir: dir, OuterCA: hub.CA, Version: "bench",
	})
	if err != nil {
		b.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.WithoutCancel(b.Context()))
	done := make(chan error, 1)
	loopback := &policy.Policy{AllowCIDRs: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}}
	go func() { done <- agent.Run(ctx, agent.Config{DataDir: dir, Version: "bench", Policy: loopback}) }()
	b.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			b.Errorf("the gateway ended with: %v", err)
		}
	})
	for deadline := time.Now().Add(time.Minute); ; wait(50 * time.Millisecond) {
		g, err := client.Gateway(b.Context(), g.ID)
		if err != nil || time.Now().After(deadline) {
			b.Fatalf("the gateway is not online: %v", err)
		}
		if g.Status.State == hubapi.GatewayOnline {
			return client, g.ID
		}
	}
}

// read reads the inventory once.
func (w *world) read(b *testing.B) time.Duration {
	b.Helper()
	took, _ := w.measure(b, w.readOnce(b.Context()))
	return took
}

func (w *world) readOnce(ctx context.Context) func() error {
	return func() error {
		_, err := w.client.Inventory(ctx, w.account, hubapi.InventoryQuery{Kind: hubapi.KindDatastores})
		return err
	}
}

// readAtOnce has many read, and says when the last of them is done.
func (w *world) readAtOnce(b *testing.B, readers int) time.Duration {
	b.Helper()
	begun := time.Now()
	var reading sync.WaitGroup
	for range readers {
		reading.Go(func() {
			if err := w.readOnce(b.Context())(); err != nil {
				b.Error(err)
			}
		})
	}
	reading.Wait()
	return time.Since(begun)
}
