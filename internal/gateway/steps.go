package gateway

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"

	"github.com/terraform-provider-palette/terraform-provider-palette/internal/bootstrap"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/cluster"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/gatewayapi"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/vsphere"
)

// do carries out one step. Each may be repeated: what is already done is found and left.
func (r *reconcile) do(ctx context.Context, s cluster.Step) error {
	if err := r.worker.mayWork(); err != nil {
		return err
	}
	spec := r.assignment.Spec
	switch s.Action {
	case cluster.ActCreateFolder:
		return r.createFolder(ctx)
	case cluster.ActClone:
		return r.clone(ctx, s)
	case cluster.ActFinish:
		return r.finish(ctx, s)
	case cluster.ActReconfigure:
		return r.session.Reconfigure(ctx, s.Moid, s.Identity,
			vsphere.Change{CPU: s.CPU, MemoryMiB: s.MemoryMiB, DiskGiB: s.DiskGiB})
	case cluster.ActRelocate:
		return r.session.Relocate(ctx, s.Moid, s.Identity, s.Placement, spec.Datacenter, spec.Folder)
	case cluster.ActPowerOn:
		return r.session.PowerOn(ctx, s.Moid, s.Identity)
	case cluster.ActLabel:
		node, err := encodeNode(s.Node)
		if err != nil {
			return err
		}
		return r.session.SetExtraConfig(ctx, s.Moid, map[string]string{cluster.NodeKey: node})
	case cluster.ActDestroy:
		return r.destroy(ctx, s)
	case cluster.ActDeleteFolder:
		return r.deleteFolder(ctx, s.Name)
	default:
		return fmt.Errorf("step %s is not known to this gateway", s.Action)
	}
}

func encodeNode(node cluster.NodeMetadata) (string, error) {
	text, err := json.Marshal(node)
	if err != nil {
		return "", fmt.Errorf("encoding node metadata: %w", err)
	}
	return string(text), nil
}

// createFolder has it kept which folders are going to be ours before it makes them: a crash in between leaves at most an
// empty folder that the next delete removes.
func (r *reconcile) createFolder(ctx context.Context) error {
	missing, err := r.session.MissingFolders(ctx, r.assignment.Spec.Datacenter, r.assignment.Spec.Folder)
	if err != nil {
		return err
	}
	if err := r.reporter.folders(ctx, missing); err != nil {
		return err
	}
	created := r.reporter.foldersCreated()
	r.worker.keep(func(a *gatewayapi.Assignment) { a.Status.FoldersCreated = created })
	if _, err := r.session.CreateFolder(ctx, r.assignment.Spec.Datacenter, r.assignment.Spec.Folder); err != nil {
		return err
	}
	return r.watch.Refresh(ctx)
}

// deleteFolder leaves a folder in which others have put something: it is not ours alone any more.
func (r *reconcile) deleteFolder(ctx context.Context, path string) error {
	err := r.session.DeleteFolder(ctx, path)
	if _, ok := errors.AsType[*vsphere.NotEmptyError](err); ok {
		r.reporter.say(path, "folder is kept: "+err.Error())
		err = nil
	}
	if err == nil {
		r.reporter.folderGone(path)
	}
	return err
}

// clone leases the machine's address and has that kept before vCenter hears of the machine.
func (r *reconcile) clone(ctx context.Context, s cluster.Step) error {
	owner, err := cluster.OwnerFor(r.assignment.Spec, r.facts, s, r.operation())
	if err != nil {
		return err
	}
	if s.Placement.IPPoolID != "" {
		addr, seq, err := r.gateway.pools.lease(s.Placement.IPPoolID, r.assignment.ID, s.Identity.InstanceUUID(), s.Name)
		if err != nil {
			return err
		}
		owner.Addresses = []string{addr.String()}
		if err := r.gateway.reports.kept(ctx, seq); err != nil {
			return err
		}
	}
	machine, err := r.gateway.bootMachine(r.assignment.Spec, s, owner)
	if err != nil {
		return err
	}
	payload, err := bootstrap.Payload(machine, r.secrets)
	if err != nil {
		return err
	}
	_, err = r.session.Clone(ctx, vsphere.CloneRequest{
		Name: s.Name, Datacenter: r.assignment.Spec.Datacenter, Folder: r.assignment.Spec.Folder,
		Owner: owner, Linked: s.Linked, CPU: s.CPU, MemoryMiB: s.MemoryMiB, DiskGiB: s.DiskGiB,
		Node: s.Node, GuestInfo: payload, MACs: macs(s),
		Annotation: fmt.Sprintf("Machine of Kubernetes cluster %s, pool %s. Managed by Terraform through gateway %s; do not edit.",
			r.assignment.Spec.Name, s.Identity.Pool, s.Identity.Gateway),
	})
	return err
}

// macs are chosen by us, so that a machine's network configuration can name its cards before they exist.
func macs(s cluster.Step) []string {
	macs := make([]string, len(s.Placement.Networks))
	for card := range macs {
		macs[card] = s.Identity.MAC(card)
	}
	return macs
}

// bootMachine says what a machine boots with.
func (g *Gateway) bootMachine(spec cluster.Spec, s cluster.Step, owner cluster.Owner) (bootstrap.Machine, error) {
	machine := bootstrap.Machine{
		ClusterName: spec.Name, Name: s.Name, InstanceUUID: s.Identity.InstanceUUID(), Join: s.Join,
		KubernetesVersion: spec.KubernetesVersion, Endpoint: spec.Endpoint, Network: spec.Network,
		SSHAuthorizedKeys: spec.SSHAuthorizedKeys, NTPServers: spec.NTPServers, Node: s.Node,
	}
	for card, mac := range macs(s) {
		nic := bootstrap.Interface{MAC: mac}
		if card == 0 && s.Placement.IPPoolID != "" {
			if err := g.static(&nic, s.Placement.IPPoolID, owner.Addresses); err != nil {
				return bootstrap.Machine{}, err
			}
		}
		machine.Interfaces = append(machine.Interfaces, nic)
	}
	return machine, nil
}

// static fills a card with leased addresses and the pool's network.
func (g *Gateway) static(nic *bootstrap.Interface, poolID string, addresses []string) error {
	spec, pool, ok := g.pools.network(poolID)
	if !ok {
		return fmt.Errorf("address pool %s is not known to the gateway", poolID)
	}
	for _, text := range addresses {
		addr, err := netip.ParseAddr(text)
		if err != nil {
			return fmt.Errorf("reading leased address: %w", err)
		}
		nic.Addresses = append(nic.Addresses, netip.PrefixFrom(addr, pool.Network().Bits()))
	}
	nic.Gateway = pool.Gateway()
	nic.SearchDomains = spec.SearchDomains
	for _, text := range spec.NameServers {
		server, err := netip.ParseAddr(text)
		if err != nil {
			return fmt.Errorf("reading name server of address pool: %w", err)
		}
		nic.NameServers = append(nic.NameServers, server)
	}
	return nil
}

// finish clears the secrets of a machine that has joined, and marks it joined in the same call.
func (r *reconcile) finish(ctx context.Context, s cluster.Step) error {
	changes := bootstrap.Clear()
	changes[cluster.JoinedKey] = s.Identity.InstanceUUID()
	return r.session.SetExtraConfig(ctx, s.Moid, changes)
}

// destroy removes a machine, and only when vCenter has confirmed that gives its address back.
func (r *reconcile) destroy(ctx context.Context, s cluster.Step) error {
	if err := r.session.Destroy(ctx, s.Moid, s.Identity); err != nil {
		return err
	}
	gone := s.Identity.InstanceUUID()
	r.gateway.pools.release(r.assignment.ID, func(uuid string) bool { return uuid != gone })
	return nil
}
