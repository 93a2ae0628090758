package bench

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"testing"

	"github.com/google/uuid"
	"github.com/vmware/govmomi"
	"github.com/vmware/govmomi/find"
	"github.com/vmware/govmomi/object"
	"github.com/vmware/govmomi/vim25/types"

	"github.com/terraform-provider-palette/terraform-provider-palette/internal/hubapi"
)

const template = "ubuntu-2404-kube-v1.34.1"

// BenchmarkMachines creates clusters of 1, 10 and 100 machines, from the request to ready. The yardstick only clones and
// powers on as many VMs, one after the other, with govmomi's own helpers: it checks nothing and waits for no guest.
func BenchmarkMachines(b *testing.B) {
	for _, machines := range []int{1, 10, 100} {
		b.Run(fmt.Sprint(machines), func(b *testing.B) {
			for b.Loop() {
				w := newWorld(b, 0)
				r := row{name: fmt.Sprintf("create %d machines", machines)}
				r.ours, r.ourCalls = w.measure(b, func() error { return w.create(b.Context(), machines) })
				client := plainClient(b, w)
				r.raw, r.calls = w.measure(b, func() error { return cloneLoop(b.Context(), client, machines) })
				report(b, r)
			}
		})
	}
}

func (w *world) create(ctx context.Context, machines int) error {
	pool := hubapi.Pool{
		Count: 1, CPU: 2, MemoryMiB: 4096, DiskGiB: 20,
		Placements: []hubapi.Placement{{
			ComputeCluster: "prod-a", Datastore: "vsan-prod", Networks: []string{"pg-k8s-120"},
		}},
		UpdateStrategy: hubapi.UpdateStrategy{MaxSurge: 1},
	}
	spec := hubapi.ClusterSpec{
		Name: "bench", CloudAccountID: w.account, KubernetesVersion: "v1.34.1", Datacenter: "dc-north", Folder: "bench",
		Template: template, CloneMode: "auto", Endpoint: hubapi.Endpoint{Host: "10.20.3.200", Port: 6443},
		Network:      hubapi.ClusterNetwork{PodCIDR: "192.168.0.0/16", ServiceCIDR: "10.96.0.0/12", DNSDomain: "cluster.local"},
		ControlPlane: pool,
	}
	if machines > 1 {
		workers := pool
		workers.Count = machines - 1
		spec.WorkerPools = map[string]hubapi.Pool{"general": workers}
	}
	written, err := w.client.PutCluster(ctx, uuid.NewString(), hubapi.ClusterWrite{Spec: spec}, hubapi.WriteOptions{Create: true})
	if err != nil {
		return err
	}
	var failed error
	err = w.client.WatchCluster(ctx, written.ID, 0, func(e hubapi.Event) error {
		if e.ObservedGeneration < written.Generation {
			return nil
		}
		if e.Phase == hubapi.PhaseFailed {
			failed = errors.New(e.Message)
		}
		return hubapi.ErrStop
	})
	return errors.Join(err, failed)
}

// plainClient logs in over the same counted way as everybody else.
func plainClient(b *testing.B, w *world) *govmomi.Client {
	b.Helper()
	address, err := url.Parse(w.vcenter.URL() + "/sdk")
	if err != nil {
		b.Fatal(err)
	}
	address.User = url.UserPassword(w.vcenter.Username(), w.vcenter.Password())
	client, err := govmomi.NewClient(b.Context(), address, true)
	if err != nil {
		b.Fatal(err)
	}
	return client
}

func cloneLoop(ctx context.Context, client *govmomi.Client, machines int) error {
	finder := find.NewFinder(client.Client, false)
	vm, err := finder.VirtualMachine(ctx, "/dc-north/vm/templates/"+template)
	if err != nil {
		return err
	}
	pool, err := finder.ResourcePool(ctx, "/dc-north/host/prod-a/Resources")
	if err != nil {
		return err
	}
	datastore, err := finder.Datastore(ctx, "/dc-north/datastore/vsan-prod")
	if err != nil {
		return err
	}
	folder, err := finder.Folder(ctx, "/dc-north/vm/legacy")
	if err != nil {
		return err
	}
	for i := range machines {
		if err := cloneOne(ctx, vm, folder, pool.Reference(), datastore.Reference(), fmt.Sprintf("plain-%d", i)); err != nil {
			return err
		}
	}
	return nil
}

func cloneOne(
	ctx context.Context, vm *object.VirtualMachine, folder *object.Folder, pool, datastore types.ManagedObjectReference,
	name string,
) error {
	task, err := vm.Clone(ctx, folder, name, types.VirtualMachineCloneSpec{
		Location: types.VirtualMachineRelocateSpec{Pool: &pool, Datastore: &datastore},
	})
	if err != nil {
		return err
	}
	info, err := task.WaitForResult(ctx)
	if err != nil {
		return err
	}
	clone := object.NewVirtualMachine(vm.Client(), info.Result.(types.ManagedObjectReference))
	if task, err = clone.PowerOn(ctx); err != nil {
		return err
	}
	return task.Wait(ctx)
}
