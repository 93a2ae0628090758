package cluster

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

// validSpec is a spec without fault, to change one thing in.
func validSpec() Spec {
	pool := func(count int) Pool {
		return Pool{
			Count: count, CPU: 4, MemoryMiB: 8192, DiskGiB: 20,
			Placements:     []Placement{{ComputeCluster: "cl-a", Datastore: "ds-a", Networks: []string{"net"}}},
			UpdateStrategy: UpdateStrategy{MaxSurge: 1},
		}
	}
	return Spec{
		Name: "prod", CloudAccountID: "acc", KubernetesVersion: "v1.34.1", Datacenter: "dc", Folder: "k8s/prod",
		Template: "ubuntu-2404-kube-1.34.1", CloneMode: CloneAuto,
		Endpoint:          Endpoint{Host: "10.0.0.100", Port: 6443},
		Network:           Network{PodCIDR: "10.244.0.0/16", ServiceCIDR: "10.96.0.0/16", DNSDomain: "cluster.local"},
		SSHAuthorizedKeys: []string{"ssh-ed25519 AAAA ops"},
		ControlPlane:      pool(3),
		WorkerPools:       map[string]Pool{"general": pool(3)},
	}
}

func TestPools(t *testing.T) {
	spec := validSpec()
	spec.WorkerPools["batch"] = spec.WorkerPools["general"]
	var got []string
	for _, pool := range spec.Pools() {
		got = append(got, pool.Name)
	}
	if diff := cmp.Diff([]string{ControlPlanePool, "batch", "general"}, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}
