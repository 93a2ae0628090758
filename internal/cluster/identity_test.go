package cluster

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestIdentity(t *testing.T) {
	id := Identity{Gateway: "gw", Cluster: "c1", Pool: "general", Ordinal: 3, Generation: 1}
	// Machines are found again by these: they may never change.
	if got, want := id.InstanceUUID(), "d30f42c1-1604-5985-baaf-595787f10b27"; got != want {
		t.Errorf("InstanceUUID = %s, want %s", got, want)
	}
	for _, tt := range []struct {
		reason string
		id     Identity
		want   string
	}{
		{"The first generation goes without one.", id, "prod-general-3"},
		{"Later ones stand beside what they replace.", Identity{Pool: "general", Ordinal: 3, Generation: 2}, "prod-general-3-r2"},
		{"The control plane is short.", Identity{Pool: ControlPlanePool, Generation: 1}, "prod-cp-0"},
	} {
		if got := MachineName("prod", tt.id); got != tt.want {
			t.Errorf("%s: MachineName = %s, want %s", tt.reason, got, tt.want)
		}
	}
	if id.MAC(0) == id.MAC(1) || len(id.MAC(0)) != len("00:50:56:00:00:00") {
		t.Errorf("MACs %s and %s", id.MAC(0), id.MAC(1))
	}
}

func TestOwnerFor(t *testing.T) {
	spec := validSpec()
	obs := built(spec)
	obs.remove("prod-general-1")
	step := *MakePlan(spec, obs).Operations[0].Step
	owner, err := OwnerFor(spec, obs.Facts, step, "op-1")
	if err != nil {
		t.Fatal(err)
	}
	want := Owner{
		Identity: Identity{Gateway: "gw", Cluster: "c1", Pool: "general", Ordinal: 1, Generation: 1},
		Version:  OwnerVersion, Operation: "op-1", Template: "/dc/vm/templates/ubuntu-2404-kube-1.34.1",
		KubernetesVersion: "v1.34.1", Placement: spec.WorkerPools["general"].Placements[0], Disks: []int32{2000},
		Bootstrap: spec.BootstrapDigest(), Join: JoinWorker, Linked: true, DiskGiB: 20,
	}
	if diff := cmp.Diff(want, owner); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	again, err := DecodeOwner(owner.Encode())
	if diff := cmp.Diff(owner, again); diff != "" || err != nil {
		t.Errorf("%v, -want +got:\n%s", err, diff)
	}
	if _, err := OwnerFor(spec, nil, step, "op-1"); !errors.Is(err, ErrNoTemplate) {
		t.Errorf("without facts: %v", err)
	}
	if _, err := OwnerFor(spec, obs.Facts, Step{Action: ActDestroy}, "op-1"); err == nil {
		t.Error("a destroy has an owner record")
	}
	owner.Version++
	if _, err := DecodeOwner(owner.Encode()); err == nil {
		t.Error("a newer record was believed")
	}
}

func TestBootstrapDigest(t *testing.T) {
	digest := func(keys, servers []string) string {
		return Spec{SSHAuthorizedKeys: keys, NTPServers: servers}.BootstrapDigest()
	}
	tests := []struct {
		reason string
		a, b   string
		same   bool
	}{
		{"Order has no meaning.", digest([]string{"a", "b"}, nil), digest([]string{"b", "a"}, nil), true},
		{"Null and empty are the same.", digest(nil, nil), digest([]string{}, []string{}), true},
		{"A key more.", digest([]string{"a"}, nil), digest([]string{"a", "b"}, nil), false},
		{"A key is no server.", digest([]string{"a"}, nil), digest(nil, []string{"a"}), false},
		{"Entries do not run together.", digest([]string{"a", "b"}, nil), digest([]string{"ab"}, nil), false},
	}
	for _, tt := range tests {
		if (tt.a == tt.b) != tt.same {
			t.Errorf("%s: %s and %s", tt.reason, tt.a, tt.b)
		}
	}
}

func TestSummarize(t *testing.T) {
	op := func(kind Kind, pool, machine, detail, reason string) Operation {
		return Operation{Kind: kind, Pool: pool, Machine: machine, Detail: detail, Reason: reason}
	}
	ops := []Operation{
		op(KindCreateFolder, "", "/dc-north/vm/k8s/prod", "", ""),
		op(KindClone, "general", "prod-general-3", "from ubuntu-2404-kube-1.34.1 (linked: snapshot present, same disk size)", "machine is missing"),
		op(KindReplace, "general", "prod-general-0", "one at a time", "template changes"),
		op(KindReplace, "general", "prod-general-1", "one at a time", "template changes"),
		op(KindReplace, "general", "prod-general-2", "one at a time", "template changes"),
		op(KindPowerOn, "general", "prod-general-1", "", "it is powered off"),
		op(KindDestroy, "batch", "prod-batch-0", "", "pool batch is removed"),
		op(KindDestroy, "batch", "prod-batch-1", "", "pool batch is removed"),
		op(KindDestroy, "general", "prod-general-10", "", "x"),
		op(KindDestroy, "general", "prod-general-11-r2", "", "x"),
	}
	want := []string{
		"create folder /dc-north/vm/k8s/prod",
		"clone prod-general-3 from ubuntu-2404-kube-1.34.1 (linked: snapshot present, same disk size)",
		"replace prod-general-{0,1,2}, one at a time: template changes",
		"power on prod-general-1: it is powered off",
		"destroy prod-batch-{0,1}: pool batch is removed",
		"destroy prod-general-{10,11-r2}: x",
	}
	if diff := cmp.Diff(want, Summarize(ops)); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if lines := Summarize(nil); len(lines) > 0 {
		t.Errorf("nothing to do is said as %q", lines)
	}
}
