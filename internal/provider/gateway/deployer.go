package gateway

import "context"

// Deployer makes the VMs that a gateway runs on. The provider is given one where it is put together; it knows no vCenter.
type Deployer interface {
	// Apply makes the VMs what is asked, and returns them. It may be called again after it failed at any point.
	Apply(ctx context.Context, a Deployment, replicas DeployedReplicas) ([]DeployedMachine, error)
	// Destroy destroys the VMs of the gateway.
	Destroy(ctx context.Context, a Deployment, say func(ctx context.Context, message string)) error
}

// NothingMadeError is what a deployer returns that could not even begin, such as one that was not let in.
type NothingMadeError struct{ Err error }

// Error implements error.
func (e *NothingMadeError) Error() string { return e.Err.Error() }

// Unwrap returns the reason.
func (e *NothingMadeError) Unwrap() error { return e.Err }

// Deployment says which VMs there are to be, and how the vCenter is reached.
type Deployment struct {
	GatewayID, Name string

	VCenter, Username, Password string
	CACertificate               string
	Thumbprints                 []string
	Insecure                    bool

	Datacenter, Folder, ComputeCluster, ResourcePool, Datastore, Network, Template string

	CPU, MemoryMiB, DiskGiB, Replicas int

	// Addresses have prefix lengths; none is DHCP.
	Addresses                  []string
	Gateway                    string
	NameServers, SearchDomains []string
	// Boot names what else the VMs boot with.
	Boot string
}

// DeployedMachine is one of the VMs.
type DeployedMachine struct {
	Name, Moid, InstanceUUID, Host string
	Addresses                      []string
}

// DeployedReplicas is what the hub knows of the VMs, each of which is a replica under its own name.
type DeployedReplicas interface {
	// UserData returns the cloud-init document of a VM that is about to be made.
	UserData(ctx context.Context, name string) (string, error)
	// Joined tells whether the VM has become a replica.
	Joined(name string) bool
	// AwaitOnline waits until the replica is connected; where its VM was restarted, until it is connected again.
	AwaitOnline(ctx context.Context, name string, restarted bool) error
	// Forget shuts the replica out whose VM is gone.
	Forget(ctx context.Context, name string) error
	// Say tells people what is being done.
	Say(ctx context.Context, message string)
}
