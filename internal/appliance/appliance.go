package appliance

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/terraform-provider-palette/terraform-provider-palette/internal/bootstrap"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/cluster"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/vsphere"
)

// Replicas is what the hub knows of the VMs, each of which is a replica of the gateway under its own name.
type Replicas interface {
	// UserData returns the cloud-init document of a VM that is about to be made, with a pairing token of its own.
	UserData(ctx context.Context, name string) (string, error)
	// Joined tells whether the VM has become a replica.
	Joined(name string) bool
	// AwaitOnline waits until the replica is connected; where its VM was restarted, until it is connected again.
	AwaitOnline(ctx context.Context, name string, restarted bool) error
	// Forget shuts the replica out, whose VM is gone.
	Forget(ctx context.Context, name string) error
	// Say tells people what is being done.
	Say(ctx context.Context, message string)
}

// Appliance works on the VMs of one gateway, with one session.
type Appliance struct {
	spec    Spec
	session *vsphere.Session

	mu sync.Mutex
	// taken are addresses of VMs that are being made.
	taken []string
}

// Open logs in to the vCenter. Close it when done.
func Open(ctx context.Context, vc VCenter, spec Spec, version string) (*Appliance, error) {
	session, err := vsphere.Open(ctx, vsphere.Config{
		Host: vc.Host, Username: vc.Username, Password: vc.Password,
		Trust:     vsphere.Trust{CACertificate: vc.CACertificate, Thumbprints: vc.Thumbprints, Insecure: vc.Insecure},
		UserAgent: "terraform-provider-palette/" + version,
	})
	if err != nil {
		return nil, err
	}
	return &Appliance{spec: spec, session: session}, nil
}

// Close logs out.
func (a *Appliance) Close(ctx context.Context) error { return a.session.Close(ctx) }

// Look returns the VMs there are, by name, and what an Apply would do, a line for each change.
func (a *Appliance) Look(ctx context.Context, joined func(name string) bool) ([]Machine, []string, error) {
	machines, err := a.machines(ctx)
	if err != nil {
		return nil, nil, err
	}
	var changes []string
	for _, round := range rounds(a.spec, machines, joined) {
		for _, s := range round {
			changes = append(changes, a.describe(s))
		}
	}
	return shown(machines), changes, nil
}

// Apply makes the VMs what the spec says, and returns them. It may be called again after it failed, or was cut off, at any
// point.
func (a *Appliance) Apply(ctx context.Context, replicas Replicas) ([]Machine, error) {
	if err := a.spec.check(); err != nil {
		return nil, err
	}
	// What an earlier apply has begun to clone is awaited, so that it is not made twice.
	if err := a.session.AwaitClones(ctx); err != nil {
		return nil, err
	}
	machines, err := a.machines(ctx)
	if err != nil {
		return nil, err
	}
	plan := rounds(a.spec, machines, replicas.Joined)
	var template *cluster.TemplateFacts
	if slices.ContainsFunc(plan, func(r round) bool {
		return slices.ContainsFunc(r, func(s step) bool { return s.action == clone })
	}) {
		if template, err = a.prepare(ctx); err != nil {
			return nil, err
		}
	}
	for _, round := range plan {
		group, ctx := errgroup.WithContext(ctx)
		for _, s := range round {
			group.Go(func() error { return a.do(ctx, s, template, replicas) })
		}
		if err := group.Wait(); err != nil {
			return nil, err
		}
	}
	if machines, err = a.machines(ctx); err != nil {
		return nil, err
	}
	return shown(machines), nil
}

// Destroy destroys the VMs, wherever they are in the vCenter.
func (a *Appliance) Destroy(ctx context.Context, say func(context.Context, string)) error {
	if err := a.session.AwaitClones(ctx); err != nil {
		return err
	}
	machines, err := a.session.Owned(ctx, func(o cluster.Owner) bool {
		return o.Gateway == a.spec.GatewayID && o.Cluster == owner
	})
	if err != nil {
		return err
	}
	var errs []error
	for _, m := range machines {
		if m.Copy() {
			continue // a copy carries the record, and is somebody else's
		}
		say(ctx, "destroy "+m.Name)
		errs = append(errs, a.session.Destroy(ctx, m.Moid, m.Identity))
	}
	return errors.Join(errs...)
}

func (a *Appliance) machines(ctx context.Context) ([]cluster.Machine, error) {
	_, machines, err := a.session.Machines(ctx, a.spec.target())
	if err != nil {
		return nil, err
	}
	if len(machines) >= a.spec.Replicas {
		return machines, nil
	}
	// Some may have been moved to another folder.
	return a.session.Owned(ctx, func(o cluster.Owner) bool { return o.Gateway == a.spec.GatewayID && o.Cluster == owner })
}

// prepare finds the template and makes the folder.
func (a *Appliance) prepare(ctx context.Context) (*cluster.TemplateFacts, error) {
	s := a.spec
	facts, err := a.session.Facts(ctx, cluster.Spec{
		Datacenter: s.Datacenter, Folder: s.Folder, Template: s.Template,
		ControlPlane: cluster.Pool{Placements: []cluster.Placement{s.placement()}},
	}, nil)
	switch {
	case err != nil:
		return nil, err
	case !facts.DatacenterExists:
		return nil, notFound("datacenter", s.Datacenter, facts.NearDatacenters)
	case len(facts.AmbiguousTemplates) > 0:
		return nil, fmt.Errorf("several templates fit %q: %s", s.Template, strings.Join(facts.AmbiguousTemplates, ", "))
	case facts.Template == nil:
		return nil, notFound("template", s.Template, facts.NearTemplates)
	case s.DiskGiB < facts.Template.DiskGiB:
		return nil, fmt.Errorf("disk_gib is %d, and the template's disk has %d GiB and cannot shrink", s.DiskGiB, facts.Template.DiskGiB)
	}
	if _, err := a.session.CreateFolder(ctx, s.Datacenter, s.Folder); err != nil {
		return nil, err
	}
	return facts.Template, nil
}

func notFound(kind, name string, near []string) error {
	text := fmt.Sprintf("there is no %s %q", kind, name)
	if len(near) > 0 {
		text += "; there is " + strings.Join(near, ", ")
	}
	return errors.New(text)
}

func (a *Appliance) do(ctx context.Context, s step, template *cluster.TemplateFacts, replicas Replicas) error {
	replicas.Say(ctx, a.describe(s))
	switch s.action {
	case clone:
		if err := a.clone(ctx, s, template, replicas); err != nil {
			return err
		}
		return replicas.AwaitOnline(ctx, a.name(s.identity), false)
	case reconfigure:
		err := a.session.Reconfigure(ctx, s.machine.Moid, s.machine.Identity, vsphere.Change{
			CPU: a.spec.CPU, MemoryMiB: a.spec.MemoryMiB, DiskGiB: max(a.spec.DiskGiB, s.machine.DiskGiB),
		})
		if err != nil {
			return err
		}
		return replicas.AwaitOnline(ctx, s.machine.Name, true)
	case powerOn:
		if err := a.session.PowerOn(ctx, s.machine.Moid, s.machine.Identity); err != nil {
			return err
		}
		return replicas.AwaitOnline(ctx, s.machine.Name, true)
	default:
		if err := a.session.Destroy(ctx, s.machine.Moid, s.machine.Identity); err != nil {
			return err
		}
		return replicas.Forget(ctx, s.machine.Name)
	}
}

func (a *Appliance) name(id cluster.Identity) string { return cluster.MachineName(a.spec.Name, id) }

func (a *Appliance) describe(s step) string {
	name := s.machine.Name
	if s.action == clone {
		name = a.name(s.identity)
	}
	return fmt.Sprintf("%s %s (%s)", s.action, name, s.reason)
}

func (a *Appliance) clone(ctx context.Context, s step, template *cluster.TemplateFacts, replicas Replicas) error {
	name := a.name(s.identity)
	user, err := replicas.UserData(ctx, name)
	if err != nil {
		return err
	}
	nic := bootstrap.Interface{
		MAC: s.identity.MAC(0), Gateway: a.spec.Gateway, NameServers: a.spec.NameServers, SearchDomains: a.spec.SearchDomains,
	}
	record := cluster.Owner{
		Identity: s.identity, Version: cluster.OwnerVersion, Operation: owner + "-" + a.spec.GatewayID, Template: template.Path,
		Placement: a.spec.placement(), Disks: template.DiskKeys, Bootstrap: a.spec.Digest(), DiskGiB: a.spec.DiskGiB,
	}
	if len(a.spec.Addresses) > 0 {
		address, err := a.takeAddress(ctx)
		if err != nil {
			return err
		}
		nic.Addresses, record.Addresses = append(nic.Addresses, address), []string{address.Addr().String()}
	}
	values, err := bootstrap.CloudInit(name, s.identity.InstanceUUID(), nic, []byte(user))
	if err != nil {
		return err
	}
	_, err = a.session.Clone(ctx, vsphere.CloneRequest{
		Name: name, Datacenter: a.spec.Datacenter, Folder: a.spec.Folder, Owner: record,
		CPU: a.spec.CPU, MemoryMiB: a.spec.MemoryMiB, DiskGiB: a.spec.DiskGiB, GuestInfo: values,
		Annotation: "Gateway " + a.spec.Name + " of the Terraform provider palette. Managed: changes are undone.",
		MACs:       []string{nic.MAC}, Spread: true,
	})
	return err
}

// takeAddress finds an address for a VM that is about to be made, and keeps it from the others that are made meanwhile.
func (a *Appliance) takeAddress(ctx context.Context) (netip.Prefix, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	machines, err := a.machines(ctx)
	if err != nil {
		return netip.Prefix{}, err
	}
	for _, taken := range a.taken {
		machines = append(machines, cluster.Machine{Owner: cluster.Owner{Addresses: []string{taken}}})
	}
	address, ok := a.spec.free(machines)
	if !ok {
		return netip.Prefix{}, errors.New("all addresses are taken: give one more, so that a VM can be replaced while it still stands")
	}
	a.taken = append(a.taken, address.Addr().String())
	return address, nil
}

func shown(machines []cluster.Machine) []Machine {
	list := make([]Machine, 0, len(machines))
	for _, m := range machines {
		if !m.Copy() {
			list = append(list, Machine{
				Name: m.Name, Moid: m.Moid, InstanceUUID: m.UUID, Host: m.Host, PoweredOn: m.PowerState == "poweredOn",
				Addresses: m.Addresses,
			})
		}
	}
	slices.SortFunc(list, func(a, b Machine) int { return strings.Compare(a.Name, b.Name) })
	return list
}

// BootDigest names what VMs boot with besides their network, for Spec.Boot.
func BootDigest(parts ...any) (string, error) {
	text, err := json.Marshal(parts)
	if err != nil {
		return "", fmt.Errorf("naming what a VM boots with: %w", err)
	}
	return string(text), nil
}
