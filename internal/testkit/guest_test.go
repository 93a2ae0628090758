package testkit

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"github.com/vmware/govmomi/vim25/types"

	"github.com/terraform-provider-palette/terraform-provider-palette/internal/bootstrap"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/cluster"
)

const endpoint = "10.120.0.10:6443"

// farm makes machines of one cluster.
type farm struct {
	*bench
	secrets bootstrap.Secrets
}

func newFarm(t *testing.T, options Options) *farm {
	t.Helper()
	secrets, err := bootstrap.NewSecrets(time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return &farm{bench: newBench(t, options), secrets: secrets}
}

// boot clones a machine with a payload and powers it on. The address "" is DHCP.
func (f *farm) boot(name string, join cluster.JoinMode, address string, change ...func(map[string]string)) {
	f.t.Helper()
	id := uuid.NewString()
	card := bootstrap.Interface{}
	if address != "" {
		card.Addresses = []netip.Prefix{netip.MustParsePrefix(address)}
	}
	values, err := bootstrap.Payload(bootstrap.Machine{
		ClusterName: "prod", Name: name, InstanceUUID: id, Join: join, KubernetesVersion: "v1.34.1",
		Endpoint:   cluster.Endpoint{Host: "10.120.0.10", Port: 6443},
		Network:    cluster.Network{PodCIDR: "192.168.0.0/16", ServiceCIDR: "10.96.0.0/12", DNSDomain: "cluster.local"},
		Node:       cluster.NodeMetadata{Labels: map[string]string{"tier": "a"}},
		Interfaces: []bootstrap.Interface{card},
	}, f.secrets)
	if err != nil {
		f.t.Fatal(err)
	}
	for _, c := range change {
		c(values)
	}
	spec := f.spec()
	spec.PowerOn = true
	spec.Config.InstanceUuid = id
	for key, value := range values {
		spec.Config.ExtraConfig = append(spec.Config.ExtraConfig, &types.OptionValue{Key: key, Value: value})
	}
	if err := f.clone(Template134, name, spec); err != nil {
		f.t.Fatal(err)
	}
}

// until waits until a guest has come to a phase and status, and returns the text.
func (f *farm) until(name, phase string, status cluster.ProgressStatus) string {
	f.t.Helper()
	ctx, cancel := context.WithTimeout(f.t.Context(), 10*time.Second)
	defer cancel()
	ticker := time.NewTicker(5 * time.Millisecond)
	defer ticker.Stop()
	var last string
	for {
		last = f.vc.VM(name).ExtraConfig[cluster.ProgressKey]
		fields := strings.SplitN(last, "|", 4)
		if len(fields) == 4 && fields[1] == phase && fields[2] == string(status) {
			return fields[3]
		}
		select {
		case <-ctx.Done():
			f.t.Fatalf("%s: waiting for %s %s, got %q", name, phase, status, last)
		case <-ticker.C:
		}
	}
}

func (f *farm) joined(name string) {
	f.t.Helper()
	f.until(name, cluster.PhaseJoined, cluster.ProgressDone)
}

func TestGuestsFormACluster(t *testing.T) {
	var reports []Report
	f := newFarm(t, Options{Guests: GuestOptions{OnReport: func(r Report) { reports = append(reports, r) }}})
	// The worker waits for the control plane.
	f.boot("w0", cluster.JoinWorker, "10.120.0.31/24")
	f.boot("cp0", cluster.JoinInit, "10.120.0.21/24")
	f.joined("cp0")
	f.joined("w0")
	f.boot("cp1", cluster.JoinControlPlane, "")
	f.joined("cp1")
	control := []string{"node-role.kubernetes.io/control-plane=:NoSchedule"}
	want := []Node{
		{Name: "cp0", Role: "control-plane", Version: "v1.34.1", Labels: map[string]string{"tier": "a"}, Taints: control, Address: "10.120.0.21", Ready: true},
		{Name: "cp1", Role: "control-plane", Version: "v1.34.1", Labels: map[string]string{"tier": "a"}, Taints: control, Address: "10.120.128.10", Ready: true},
		{Name: "w0", Role: "worker", Version: "v1.34.1", Labels: map[string]string{"tier": "a"}, Address: "10.120.0.31", Ready: true},
	}
	for i := range want {
		if want[i].Role == "worker" {
			continue
		}
		// Labels in the name space of workers only are the writer's choice.
		want[i].Labels = f.vc.Nodes(endpoint)[i].Labels
	}
	if diff := cmp.Diff(want, f.vc.Nodes(endpoint)); diff != "" {
		t.Errorf("nodes (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string(nil), f.vc.Violations()); diff != "" {
		t.Errorf("violations (-want +got):\n%s", diff)
	}
	f.vc.Close()
	var phases []string
	for _, r := range reports {
		if r.VM == "cp0" {
			phases = append(phases, fmt.Sprintf("%s %s", r.Phase, r.Status))
		}
	}
	wantPhases := []string{
		"boot run", "cloud-init run", "net run", "containerd run", "preflight run", "certs run", "kubeconfig run", "etcd run",
		"control-plane run", "kubelet run", "addons run", "joined ok",
	}
	if diff := cmp.Diff(wantPhases, phases); diff != "" {
		t.Errorf("phases (-want +got):\n%s", diff)
	}
}

func TestGuestRedactsAndTellsItsAddress(t *testing.T) {
	f := newFarm(t, Options{})
	f.boot("cp0", cluster.JoinInit, "10.120.0.21/24")
	f.joined("cp0")
	got := f.vc.VM("cp0")
	keys := map[string]string{}
	for _, key := range []string{"guestinfo.userdata", "guestinfo.userdata.encoding", "guestinfo.vendordata", "guestinfo.metadata.encoding"} {
		keys[key] = got.ExtraConfig[key]
	}
	want := map[string]string{
		"guestinfo.userdata": "---", "guestinfo.userdata.encoding": "", "guestinfo.vendordata": "---",
		"guestinfo.metadata.encoding": "base64",
	}
	if diff := cmp.Diff(want, keys); diff != "" {
		t.Errorf("guestinfo (-want +got):\n%s", diff)
	}
	if len(got.ExtraConfig["guestinfo.metadata"]) < 10 {
		t.Error("metadata was overwritten")
	}
	if diff := cmp.Diff([]string{"10.120.0.21"}, got.Addresses); diff != "" {
		t.Errorf("addresses (-want +got):\n%s", diff)
	}
}

func TestGuestRefusesItsPayload(t *testing.T) {
	f := newFarm(t, Options{})
	f.boot("cp0", cluster.JoinInit, "", func(values map[string]string) { values["guestinfo.userdata.encoding"] = "base64" })
	if text := f.until("cp0", "cloud-init", cluster.ProgressFailed); text == "" {
		t.Error("no reason")
	}
	if nodes := f.vc.Nodes(endpoint); nodes != nil {
		t.Errorf("nodes: %v", nodes)
	}
}

func TestGuestNeedsItsKubeadm(t *testing.T) {
	f := newFarm(t, Options{})
	// The version is on the disk: it does not change with the name of the clone or its properties.
	spec := f.spec()
	spec.Config.VAppConfigRemoved = types.NewBool(true)
	if err := f.clone(Template133, "ubuntu-kube-v1.34.1", spec); err != nil {
		t.Fatal(err)
	}
	if got := f.vc.guests.image(*f.ref(FolderK8s + "/ubuntu-kube-v1.34.1")); got != "v1.33.5" {
		t.Errorf("the clone's image is %q", got)
	}
}

func TestGuestPowerCycle(t *testing.T) {
	f := newFarm(t, Options{})
	f.boot("cp0", cluster.JoinInit, "")
	f.joined("cp0")
	before := f.vc.VM("cp0")
	vm := f.vm(FolderK8s + "/cp0")
	off, err := vm.PowerOff(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := off.Wait(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := f.vc.VM("cp0"); len(got.Addresses) != 0 || f.vc.Nodes(endpoint)[0].Ready {
		t.Errorf("switched off: %v, %v", got.Addresses, f.vc.Nodes(endpoint))
	}
	on, err := vm.PowerOn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := on.Wait(t.Context()); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	ip, err := vm.WaitForIP(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(before.Addresses, []string{ip}); diff != "" {
		t.Errorf("address after a power cycle (-want +got):\n%s", diff)
	}
}

func TestGuestViolations(t *testing.T) {
	f := newFarm(t, Options{})
	f.boot("cp0", cluster.JoinInit, "10.120.0.21/24")
	f.joined("cp0")
	f.boot("cp1", cluster.JoinInit, "10.120.0.22/24")
	f.until("cp1", "addons", cluster.ProgressFailed)
	f.boot("w0", cluster.JoinWorker, "10.120.0.21/24")
	f.joined("w0")
	if got := f.vc.Violations(); len(got) != 2 {
		t.Errorf("violations: %q", got)
	}
}

func TestGuestsJoinOnlyTheirCluster(t *testing.T) {
	f := newFarm(t, Options{Guests: GuestOptions{JoinTimeout: 50 * time.Millisecond}})
	f.boot("early", cluster.JoinWorker, "")
	f.until("early", "net", cluster.ProgressFailed)
	f.boot("cp0", cluster.JoinInit, "")
	f.joined("cp0")
	own := f.secrets
	var err error
	if f.secrets, err = bootstrap.NewSecrets(time.Now()); err != nil {
		t.Fatal(err)
	}
	f.boot("foreign", cluster.JoinWorker, "")
	f.until("foreign", "join", cluster.ProgressFailed)
	f.secrets.CA, f.secrets.Token = own.CA, "abcdef.0123456789abcdef"
	f.boot("stale", cluster.JoinWorker, "")
	f.until("stale", "join", cluster.ProgressFailed)
	if nodes := f.vc.Nodes(endpoint); len(nodes) != 1 {
		t.Errorf("nodes: %v", nodes)
	}
}

func TestGuestsFollowRules(t *testing.T) {
	f := newFarm(t, Options{})
	f.vc.Guest("cp*", Behaviour{HangAt: "etcd"})
	f.vc.Guest("w*", Behaviour{FailAt: "join", LogTail: "kubelet|is\nnot well"})
	f.boot("cp0", cluster.JoinInit, "")
	f.until("cp0", "etcd", cluster.ProgressRunning)
	f.vc.Guest("cp0", Behaviour{})
	f.joined("cp0")
	f.boot("w0", cluster.JoinWorker, "")
	text := f.until("w0", "join", cluster.ProgressFailed)
	if diff := cmp.Diff("kubelet/is not well", text); diff != "" {
		t.Errorf("log tail (-want +got):\n%s", diff)
	}
}
