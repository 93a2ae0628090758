package testkit

import (
	"context"
	"fmt"

	"github.com/vmware/govmomi/simulator"

	"github.com/terraform-provider-palette/terraform-provider-palette/internal/testkit/payload"
)

// GatewayBoot is what a guest has been given that becomes a gateway.
type GatewayBoot struct {
	// VM is the VM's name, Disk names what is kept on its disk from boot to boot.
	VM, Disk string
	Boot     payload.Gateway
}

// becomeGateway reads what makes a guest a gateway, and is one until the guest is switched off. It tells whether the guest
// is meant to be one.
func (g *guest) becomeGateway() (bool, error) {
	boot, err := g.readGateway()
	if boot == nil || err != nil {
		return err != nil, err
	}
	if err := g.takeAddresses(&boot.Payload); err != nil {
		return true, err
	}
	run := g.vc.options.Guests.Gateway
	if run == nil {
		return true, fmt.Errorf("guest %s is a gateway, and nobody runs it", g.name)
	}
	return true, run(g.ctx, GatewayBoot{VM: g.name, Disk: g.vm.Self.Value, Boot: *boot})
}

func (g *guest) readGateway() (boot *payload.Gateway, err error) {
	g.vc.guests.mu.Lock()
	d := g.vc.guests.disks[g.instanceUUID]
	if d != nil && d.gateway != nil {
		boot = d.gateway
	}
	g.vc.guests.mu.Unlock()
	if boot != nil {
		return boot, nil
	}
	machine := payload.Machine{Name: g.name, InstanceUUID: g.instanceUUID}
	var refusal error
	err = g.onVM(func(ctx *simulator.Context) {
		for _, card := range cardsOf(g.vm) {
			machine.MACs = append(machine.MACs, card.MacAddress)
		}
		if boot, refusal = payload.ReadGateway(optionsOf(g.vm), machine); boot == nil || refusal != nil {
			return
		}
		for _, key := range boot.Redact {
			setOption(ctx, g.vm, "guestinfo."+key, redacted)
			setOption(ctx, g.vm, "guestinfo."+key+".encoding", "")
		}
	})
	if err != nil || refusal != nil || boot == nil {
		return nil, orError(err, refusal)
	}
	g.vc.guests.mu.Lock()
	defer g.vc.guests.mu.Unlock()
	if d := g.vc.guests.disks[g.instanceUUID]; d != nil {
		d.gateway = boot
	}
	return boot, nil
}

func orError(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// Gateways runs a guest that becomes a gateway, until the context ends.
type Gateways func(ctx context.Context, boot GatewayBoot) error
