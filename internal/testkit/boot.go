package testkit

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/mo"
	"github.com/vmware/govmomi/vim25/types"

	"github.com/terraform-provider-palette/terraform-provider-palette/internal/cluster"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/testkit/payload"
)

// The phases of a boot, before and between those of kubeadm.
const (
	phaseBoot      = "boot"
	phaseCloudInit = "cloud-init"
	phaseNetwork   = "net"
	phaseRuntime   = "containerd"
	phasePreflight = "preflight"
	phaseJoin      = "join"
)

// initPhases are those of kubeadm init.
var initPhases = []string{"certs", "kubeconfig", "etcd", "control-plane", "kubelet", "addons"}

// redacted is what cloud-init writes over values it was told to redact.
const redacted = "---"

// defaultJoinTimeout is how long a guest waits for an API server.
const defaultJoinTimeout = time.Minute

// guest is one boot of one VM.
type guest struct {
	vc           *VCenter
	vm           *simulator.VirtualMachine
	name         string
	instanceUUID string
	// ctx ends when the VM is switched off.
	ctx   context.Context
	phase string
}

// errStopped says that the guest was switched off.
var errStopped = errors.New("the guest was switched off")

// run boots. It returns when the guest has joined, has failed, or was switched off.
func (g *guest) run() {
	err := g.boot()
	if err == nil || errors.Is(err, errStopped) {
		return
	}
	log := strings.Map(func(r rune) rune {
		switch r {
		case '|':
			return '/'
		case '\n', '\r', '\t':
			return ' '
		}
		return r
	}, err.Error())
	_ = g.report(cluster.ProgressFailed, log[max(0, len(log)-600):])
}

func (g *guest) boot() error {
	if p, joined := g.remembered(); joined {
		return g.comeBack(p)
	}
	for _, phase := range []string{phaseBoot, phaseCloudInit} {
		if err := g.pass(phase); err != nil {
			return err
		}
	}
	if is, err := g.becomeGateway(); is {
		return err
	}
	p, err := g.read()
	if err != nil {
		return err
	}
	if err := g.pass(phaseNetwork); err != nil {
		return err
	}
	if err := g.takeAddresses(p); err != nil {
		return err
	}
	if p.Mode != payload.Init {
		if err := g.awaitAPI(p); err != nil {
			return err
		}
	}
	phases := []string{phaseRuntime, phasePreflight, phaseJoin}
	if p.Mode == payload.Init {
		phases = append(phases[:2], initPhases...)
	}
	for _, phase := range phases {
		if err := g.pass(phase); err != nil {
			return err
		}
	}
	if err := g.enter(p); err != nil {
		return err
	}
	if err := g.pass(cluster.PhaseJoined); err != nil {
		return err
	}
	return g.report(cluster.ProgressDone, "node has joined")
}

// pass reports a phase and lets it take its time, fail or hang as the rules say.
func (g *guest) pass(phase string) error {
	g.phase = phase
	if phase != cluster.PhaseJoined {
		if err := g.report(cluster.ProgressRunning, phase); err != nil {
			return err
		}
	}
	for {
		behaviour, changed := g.vc.guests.behaviour(g.name)
		if behaviour.FailAt == phase {
			return errors.New(or(behaviour.LogTail, phase+" failed"))
		}
		if behaviour.HangAt != phase {
			return g.sleep(or(behaviour.Delay, g.vc.options.Guests.PhaseDelay))
		}
		select {
		case <-changed:
		case <-g.ctx.Done():
			return errStopped
		}
	}
}

func (g *guest) sleep(d time.Duration) error {
	if d > 0 {
		timer := time.NewTimer(d)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-g.ctx.Done():
		}
	}
	if g.ctx.Err() != nil {
		return errStopped
	}
	return nil
}

// onVM does something to the VM, unless the guest has been switched off meanwhile.
func (g *guest) onVM(do func(ctx *simulator.Context)) error {
	g.vc.world.Lock()
	defer g.vc.world.Unlock()
	if g.ctx.Err() != nil {
		return errStopped
	}
	ctx := g.vc.context()
	ctx.WithLock(g.vm, func() { do(ctx) })
	return nil
}

// report writes the progress key, as the guest's tools do.
func (g *guest) report(status cluster.ProgressStatus, text string) error {
	value := fmt.Sprintf("%s|%s|%s|%s", time.Now().UTC().Format(time.RFC3339), g.phase, status, text)
	return g.onVM(func(ctx *simulator.Context) {
		setOption(ctx, g.vm, cluster.ProgressKey, value)
		if told := g.vc.options.Guests.OnReport; told != nil {
			told(Report{VM: g.name, Phase: g.phase, Status: status, Text: text})
		}
	})
}

// remembered returns what an earlier boot has left on the disk.
func (g *guest) remembered() (p *payload.Payload, joined bool) {
	g.vc.guests.mu.Lock()
	defer g.vc.guests.mu.Unlock()
	d := g.vc.guests.disks[g.instanceUUID]
	if d == nil {
		return nil, false
	}
	return d.payload, d.joined
}

func (g *guest) remember(p *payload.Payload, joined bool) {
	g.vc.guests.mu.Lock()
	defer g.vc.guests.mu.Unlock()
	if d := g.vc.guests.disks[g.instanceUUID]; d != nil {
		d.payload, d.joined = p, joined
	}
}

// read reads the payload and redacts what it was told to, and nothing else.
func (g *guest) read() (*payload.Payload, error) {
	if p, _ := g.remembered(); p != nil {
		return p, nil
	}
	var p *payload.Payload
	var refusal error
	machine := payload.Machine{
		Name: g.name, InstanceUUID: g.instanceUUID, KubernetesVersion: g.vc.guests.image(g.vm.Self),
	}
	err := g.onVM(func(ctx *simulator.Context) {
		for _, card := range cardsOf(g.vm) {
			machine.MACs = append(machine.MACs, card.MacAddress)
		}
		p, refusal = payload.Read(optionsOf(g.vm), machine)
		if refusal != nil {
			return
		}
		for _, key := range p.Redact {
			setOption(ctx, g.vm, "guestinfo."+key, redacted)
			setOption(ctx, g.vm, "guestinfo."+key+".encoding", "")
		}
	})
	if err != nil {
		return nil, err
	}
	if refusal != nil {
		return nil, refusal
	}
	g.remember(p, false)
	return p, nil
}

// awaitAPI waits until the API server of the guest's cluster answers.
func (g *guest) awaitAPI(p *payload.Payload) error {
	limit := or(g.vc.options.Guests.JoinTimeout, defaultJoinTimeout)
	timer := time.NewTimer(limit)
	defer timer.Stop()
	for {
		g.vc.guests.mu.Lock()
		answers := g.vc.guests.kubernetes.answers(p.Endpoint)
		changed := g.vc.guests.changed
		g.vc.guests.mu.Unlock()
		if answers {
			return nil
		}
		select {
		case <-changed:
		case <-timer.C:
			return fmt.Errorf("the API server at %s has not answered in %s", p.Endpoint, limit)
		case <-g.ctx.Done():
			return errStopped
		}
	}
}

// enter makes the guest a node.
func (g *guest) enter(p *payload.Payload) error {
	address := ""
	err := g.onVM(func(*simulator.Context) { address = g.vm.Guest.IpAddress })
	if err != nil {
		return err
	}
	g.vc.guests.mu.Lock()
	defer g.vc.guests.mu.Unlock()
	if g.ctx.Err() != nil {
		return errStopped
	}
	if p.Mode == payload.Init {
		err = g.vc.guests.initialise(p, g.instanceUUID, address)
	} else {
		err = g.vc.guests.kubernetes.join(p, g.instanceUUID, address)
	}
	if err != nil {
		return err
	}
	if d := g.vc.guests.disks[g.instanceUUID]; d != nil {
		d.joined = true
	}
	g.vc.guests.wake()
	return nil
}

// comeBack is a boot after the node has joined: it takes its addresses and is ready again.
func (g *guest) comeBack(p *payload.Payload) error {
	if err := g.takeAddresses(p); err != nil {
		return err
	}
	g.vc.guests.mu.Lock()
	defer g.vc.guests.mu.Unlock()
	g.vc.guests.kubernetes.start(g.instanceUUID)
	g.vc.guests.wake()
	return nil
}

// optionsOf returns a VM's extraConfig. The VM's lock, or the world, is the caller's.
func optionsOf(vm *simulator.VirtualMachine) map[string]string {
	options := map[string]string{}
	for _, option := range vm.Config.ExtraConfig {
		value := option.GetOptionValue()
		options[value.Key], _ = value.Value.(string)
	}
	return options
}

// setOption changes one option of a VM's extraConfig and tells those who watch it; "" removes it. The VM's lock is the
// caller's.
func setOption(ctx *simulator.Context, vm *simulator.VirtualMachine, key, text string) {
	options := slices.Clone(vm.Config.ExtraConfig)
	at := slices.IndexFunc(options, func(option types.BaseOptionValue) bool { return option.GetOptionValue().Key == key })
	value := &types.OptionValue{Key: key, Value: text}
	field := mo.Field{Path: "config.extraConfig", Key: key}
	change := types.PropertyChange{Name: field.String(), Op: types.PropertyChangeOpAssign, Val: value}
	switch {
	case at < 0 && text == "":
		return
	case at < 0:
		change.Op = types.PropertyChangeOpAdd
		options = append(options, value)
	case text == "":
		change.Op, change.Val = types.PropertyChangeOpRemove, nil
		options = slices.Delete(options, at, at+1)
	default:
		options[at] = value
	}
	ctx.Update(vm, []types.PropertyChange{change, {Name: field.Path, Val: options}})
}

func cardsOf(vm *simulator.VirtualMachine) []*types.VirtualEthernetCard {
	var cards []*types.VirtualEthernetCard
	for _, device := range vm.Config.Hardware.Device {
		if card, ok := device.(types.BaseVirtualEthernetCard); ok {
			cards = append(cards, card.GetVirtualEthernetCard())
		}
	}
	slices.SortFunc(cards, func(a, b *types.VirtualEthernetCard) int { return int(a.Key - b.Key) })
	return cards
}
