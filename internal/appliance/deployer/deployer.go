// Package deployer puts appliances under the provider, which knows no vCenter.
package deployer

import (
	"context"
	"errors"
	"fmt"
	"net/netip"

	"github.com/terraform-provider-palette/terraform-provider-palette/internal/appliance"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/hubapi"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/provider/gateway"
)

// Deployer makes the VMs of gateways' appliances.
type Deployer struct{ version string }

var _ gateway.Deployer = Deployer{}

// New returns a deployer of the given version.
func New(version string) Deployer { return Deployer{version: version} }

// Apply implements gateway.Deployer.
func (d Deployer) Apply(
	ctx context.Context, want gateway.Deployment, replicas gateway.DeployedReplicas,
) ([]gateway.DeployedMachine, error) {
	a, err := d.open(ctx, want)
	if err != nil {
		return nil, &gateway.NothingMadeError{Err: err}
	}
	made, err := a.Apply(ctx, replicas)
	err = errors.Join(err, a.Close(context.WithoutCancel(ctx)))
	machines := make([]gateway.DeployedMachine, 0, len(made))
	for _, m := range made {
		machines = append(machines, gateway.DeployedMachine{
			Name: m.Name, Moid: m.Moid, InstanceUUID: m.InstanceUUID, Host: m.Host, Addresses: m.Addresses,
		})
	}
	return machines, err
}

// Destroy implements gateway.Deployer.
func (d Deployer) Destroy(ctx context.Context, want gateway.Deployment, say func(context.Context, string)) error {
	a, err := d.open(ctx, want)
	if err != nil {
		return err
	}
	return errors.Join(a.Destroy(ctx, say), a.Close(context.WithoutCancel(ctx)))
}

func (d Deployer) open(ctx context.Context, want gateway.Deployment) (*appliance.Appliance, error) {
	spec, err := specOf(want)
	if err != nil {
		return nil, err
	}
	host, err := hubapi.CanonicalVCenter(want.VCenter)
	if err != nil {
		return nil, err
	}
	return appliance.Open(ctx, appliance.VCenter{
		Host: host, Username: want.Username, Password: want.Password,
		CACertificate: want.CACertificate, Thumbprints: want.Thumbprints, Insecure: want.Insecure,
	}, spec, d.version)
}

func specOf(want gateway.Deployment) (appliance.Spec, error) {
	spec := appliance.Spec{
		GatewayID: want.GatewayID, Name: want.Name,
		Datacenter: want.Datacenter, Folder: want.Folder, ComputeCluster: want.ComputeCluster, ResourcePool: want.ResourcePool,
		Datastore: want.Datastore, Network: want.Network, Template: want.Template,
		CPU: want.CPU, MemoryMiB: want.MemoryMiB, DiskGiB: want.DiskGiB, Replicas: want.Replicas,
		SearchDomains: want.SearchDomains, Boot: want.Boot,
	}
	for _, text := range want.Addresses {
		prefix, err := netip.ParsePrefix(text)
		if err != nil {
			return spec, fmt.Errorf("reading addresses: %w", err)
		}
		spec.Addresses = append(spec.Addresses, prefix)
	}
	for _, text := range want.NameServers {
		server, err := netip.ParseAddr(text)
		if err != nil {
			return spec, fmt.Errorf("reading name servers: %w", err)
		}
		spec.NameServers = append(spec.NameServers, server)
	}
	if want.Gateway != "" {
		router, err := netip.ParseAddr(want.Gateway)
		if err != nil {
			return spec, fmt.Errorf("reading the network's gateway: %w", err)
		}
		spec.Gateway = router
	}
	return spec, nil
}
