package testkit

import (
	"context"
	"path"
	"slices"
	"sync"
	"time"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/types"

	"github.com/terraform-provider-palette/terraform-provider-palette/internal/cluster"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/testkit/payload"
)

// GuestOptions says how guests behave where no rule says otherwise.
type GuestOptions struct {
	// PhaseDelay is how long each phase of a boot takes.
	PhaseDelay time.Duration
	// JoinTimeout is how long a guest waits for the API server of the cluster it joins; the default is a minute.
	JoinTimeout time.Duration
	// OnReport is told every report of a guest, in order for each VM. It must not call the VCenter.
	OnReport func(Report)
	// Gateway runs guests that become gateways. It must not call the VCenter.
	Gateway Gateways
}

// Report is what a guest says of its boot.
type Report struct {
	// VM is the VM's name.
	VM     string
	Phase  string
	Status cluster.ProgressStatus
	Text   string
}

// Behaviour changes how guests boot.
type Behaviour struct {
	// HangAt is a phase in which the guest stops for ever, or until another rule frees it.
	HangAt string
	// FailAt is a phase that fails, with LogTail as the end of its log.
	FailAt  string
	LogTail string
	// Delay is how long each phase takes; 0 means the usual.
	Delay time.Duration
}

type rule struct {
	match     string
	behaviour Behaviour
}

// guests are the guests of a vCenter and what outlives their being switched off.
type guests struct {
	mu    sync.Mutex
	rules []rule
	// changed is closed and replaced whenever guests that wait may go on.
	changed chan struct{}
	running map[types.ManagedObjectReference]context.CancelFunc
	// disks remember what a guest has read and whether it has joined, by instance UUID.
	disks map[string]*disk
	// images are the Kubernetes versions on the disks of VMs and templates.
	images     map[types.ManagedObjectReference]string
	kubernetes kubernetes
	network    addressing
	violations []string
}

// disk is what a guest finds of an earlier boot.
type disk struct {
	payload *payload.Payload
	gateway *payload.Gateway
	joined  bool
}

func newGuests() *guests {
	return &guests{
		changed:    make(chan struct{}),
		running:    map[types.ManagedObjectReference]context.CancelFunc{},
		disks:      map[string]*disk{},
		images:     map[types.ManagedObjectReference]string{},
		kubernetes: kubernetes{clusters: map[string]*record{}},
		network:    addressing{holders: map[string]string{}, leases: map[string]string{}, next: map[string]int{}},
	}
}

// wake lets guests that wait look again. The lock is the caller's.
func (g *guests) wake() {
	close(g.changed)
	g.changed = make(chan struct{})
}

// Guest sets how the guests of VMs behave whose names match a pattern of path.Match. Of several rules that match the
// last one counts. A guest that hangs looks at the rules again.
func (vc *VCenter) Guest(match string, behaviour Behaviour) {
	vc.guests.mu.Lock()
	defer vc.guests.mu.Unlock()
	vc.guests.rules = append(vc.guests.rules, rule{match, behaviour})
	vc.guests.wake()
}

func (g *guests) behaviour(name string) (Behaviour, <-chan struct{}) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, r := range slices.Backward(g.rules) {
		if ok, err := path.Match(r.match, name); ok && err == nil {
			return r.behaviour, g.changed
		}
	}
	return Behaviour{}, g.changed
}

// bootGuest starts the guest of a VM that was powered on, if it has anything to boot with. The world is the caller's.
func (vc *VCenter) bootGuest(vm *simulator.VirtualMachine) {
	g := &guest{vc: vc, vm: vm, name: vm.Name, instanceUUID: vm.Config.InstanceUuid}
	vc.guests.mu.Lock()
	defer vc.guests.mu.Unlock()
	if _, known := vc.guests.disks[g.instanceUUID]; !known {
		if !given(optionsOf(vm)["guestinfo.userdata"]) {
			return
		}
		vc.guests.disks[g.instanceUUID] = &disk{}
	}
	var cancel context.CancelFunc
	g.ctx, cancel = context.WithCancel(vc.ctx)
	vc.guests.running[vm.Self] = cancel
	vc.work.Go(func() {
		defer cancel()
		g.run()
	})
}

// given tells whether cloud-init would take a value for one.
func given(value string) bool { return value != "" && value != redacted }

// haltGuest stops the guest of a VM that was powered off. The world is the caller's.
func (vc *VCenter) haltGuest(vm *simulator.VirtualMachine) {
	vc.guests.mu.Lock()
	defer vc.guests.mu.Unlock()
	if cancel := vc.guests.running[vm.Self]; cancel != nil {
		cancel()
		delete(vc.guests.running, vm.Self)
	}
	vc.guests.kubernetes.stop(vm.Config.InstanceUuid)
	vc.guests.network.release(vm.Config.InstanceUuid)
	vc.guests.wake()
}

// forgetGuest drops what is remembered of a VM that was destroyed. The world is the caller's.
func (vc *VCenter) forgetGuest(vm *simulator.VirtualMachine) {
	vc.haltGuest(vm)
	vc.guests.mu.Lock()
	defer vc.guests.mu.Unlock()
	delete(vc.guests.disks, vm.Config.InstanceUuid)
	delete(vc.guests.images, vm.Self)
	vc.guests.kubernetes.remove(vm.Config.InstanceUuid)
}

// setImage remembers which Kubernetes version is on a VM's disk.
func (g *guests) setImage(vm types.ManagedObjectReference, version string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if version != "" {
		g.images[vm] = version
	}
}

func (g *guests) image(vm types.ManagedObjectReference) string {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.images[vm]
}

// Violations returns what guests did that must never happen, such as a second kubeadm init for a living cluster, or the
// same address on two machines of one network.
func (vc *VCenter) Violations() []string {
	vc.guests.mu.Lock()
	defer vc.guests.mu.Unlock()
	return slices.Clone(vc.guests.violations)
}
