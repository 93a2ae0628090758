package bench

import (
	"context"
	"fmt"
	"testing"

	"github.com/vmware/govmomi"
	"github.com/vmware/govmomi/find"
	"github.com/vmware/govmomi/object"
	"github.com/vmware/govmomi/vim25/mo"

	"github.com/terraform-provider-palette/terraform-provider-palette/internal/hubapi"
)

// BenchmarkInventory reads datastores, networks and templates of vCenters with 1,000 and 10,000 VMs through the gateway.
// The yardstick lists the same kind of object with govmomi's finder and reads the properties of each.
func BenchmarkInventory(b *testing.B) {
	for _, vms := range []int{1_000, 10_000} {
		b.Run(fmt.Sprint(vms), func(b *testing.B) {
			for b.Loop() {
				w := newWorld(b, vms)
				client := plainClient(b, w)
				for _, kind := range []string{"datastores", "networks", "templates"} {
					r := row{name: fmt.Sprintf("%s at %d VMs", kind, vms)}
					r.ours, r.ourCalls = w.measure(b, func() error {
						_, err := w.client.Inventory(b.Context(), w.account, hubapi.InventoryQuery{Kind: hubapi.InventoryKind(kind)})
						return err
					})
					r.raw, r.calls = w.measure(b, func() error { return readLoop(b.Context(), client, kind) })
					report(b, r)
				}
			}
		})
	}
}

func readLoop(ctx context.Context, client *govmomi.Client, kind string) error {
	finder := find.NewFinder(client.Client, false)
	datacenters, err := finder.DatacenterList(ctx, "*")
	if err != nil {
		return err
	}
	for _, datacenter := range datacenters {
		finder.SetDatacenter(datacenter)
		if err := readKind(ctx, finder, client, kind); err != nil {
			return err
		}
	}
	return nil
}

func readKind(ctx context.Context, finder *find.Finder, client *govmomi.Client, kind string) error {
	switch kind {
	case "datastores":
		list, err := finder.DatastoreList(ctx, "*")
		if err != nil {
			return err
		}
		for _, datastore := range list {
			var properties mo.Datastore
			if err := datastore.Properties(ctx, datastore.Reference(), []string{"summary", "host"}, &properties); err != nil {
				return err
			}
		}
	case "networks":
		list, err := finder.NetworkList(ctx, "*")
		if err != nil {
			return err
		}
		for _, network := range list {
			// A switch is among the networks, and is none.
			if _, ok := network.(*object.DistributedVirtualSwitch); ok {
				continue
			}
			var properties mo.Network
			if err := client.RetrieveOne(ctx, network.Reference(), []string{"name", "host"}, &properties); err != nil {
				return err
			}
		}
	default:
		list, err := finder.VirtualMachineList(ctx, "templates/*")
		if err != nil {
			return err
		}
		for _, vm := range list {
			var properties mo.VirtualMachine
			if err := vm.Properties(ctx, vm.Reference(), []string{"config", "snapshot"}, &properties); err != nil {
				return err
			}
		}
	}
	return nil
}
