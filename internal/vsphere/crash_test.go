package vsphere

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/terraform-provider-palette/terraform-provider-palette/internal/cluster"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/testkit"
)

// errKilled is what a killed process would see, could it see.
var errKilled = errors.New("killed")

// dieAt lets a session make n calls and loses the answer of the last; no further call gets through.
func dieAt(s *Session, n int) (died func() bool) {
	counted := countCalls(s)
	made := 0
	counted.failBy(func(name string) error {
		counted.mutex.Lock()
		defer counted.mutex.Unlock()
		if name == "WaitForUpdatesEx" || name == "CancelWaitForUpdates" {
			return nil // how many of these there are is a matter of time
		}
		if made >= n {
			s.refused.Store(true)
			return errKilled
		}
		made++
		return nil
	})
	counted.loseBy(func(string) error {
		counted.mutex.Lock()
		defer counted.mutex.Unlock()
		if made >= n {
			s.refused.Store(true)
			return errKilled
		}
		return nil
	})
	return func() bool {
		counted.mutex.Lock()
		defer counted.mutex.Unlock()
		return made >= n
	}
}

// life is the whole life of one machine up to a given point.
func life(ctx context.Context, s *Session, r CloneRequest, destroy bool) error {
	if _, err := s.CreateFolder(ctx, r.Datacenter, r.Folder); err != nil {
		return err
	}
	moid, err := s.Clone(ctx, r)
	if err != nil {
		return err
	}
	joined := map[string]string{cluster.JoinedKey: r.Owner.InstanceUUID(), "guestinfo.userdata": ""}
	if err := s.SetExtraConfig(ctx, moid, joined); err != nil {
		return err
	}
	if err := s.Reconfigure(ctx, moid, r.Owner.Identity, Change{CPU: 2, DiskGiB: 50}); err != nil {
		return err
	}
	if !destroy {
		return nil
	}
	if err := s.Destroy(ctx, moid, r.Owner.Identity); err != nil {
		return err
	}
	return s.DeleteFolder(ctx, "/dc-north/vm/"+r.Folder)
}

// TestCrashAtEveryCall kills the session at each call of a machine's life and lets another go on.
func TestCrashAtEveryCall(t *testing.T) {
	vc := testkit.Start(t, testkit.Options{})
	before := len(vc.VMs())
	for k := 1; ; k++ {
		r := request(0)
		r.Folder = fmt.Sprintf("k8s/crash-%d", k)
		r.Owner.Cluster = fmt.Sprintf("c-%d", k)
		r.GuestInfo = map[string]string{"guestinfo.userdata": "secret"}
		first := openSession(t, vc)
		died := dieAt(first, k)
		if err := life(t.Context(), first, r, true); err == nil && !died() {
			break // the whole life took fewer calls
		} else if err != nil && !died() {
			t.Fatalf("before call %d: %v", k, err)
		}
		second := openSession(t, vc)
		if err := life(t.Context(), second, r, false); err != nil {
			t.Fatalf("after a crash at call %d: %v", k, err)
		}
		at := Target{GatewayID: testGateway, ClusterID: r.Owner.Cluster, Datacenter: r.Datacenter, Folder: r.Folder}
		_, machines, err := second.Machines(t.Context(), at)
		if err != nil {
			t.Fatal(err)
		}
		if len(machines) != 1 || !machines[0].Joined || machines[0].DiskGiB != 50 || machines[0].PowerState != "poweredOn" {
			t.Errorf("after a crash at call %d: %+v, want one joined machine", k, machines)
		}
		if err := life(t.Context(), second, r, true); err != nil {
			t.Fatalf("cleaning up after a crash at call %d: %v", k, err)
		}
		if left := vc.VMs(); len(left) != before {
			t.Fatalf("after a crash at call %d: %v is left", k, left)
		}
	}
}
