package cluster

import "slices"

// Plan is the way from what is to what should be.
type Plan struct {
	// Operations are in the order in which they will be done. None means nothing differs.
	Operations []Operation
	// Problems come from the machines themselves: errors stop an apply, warnings inform. What the specification asks of
	// vCenter is judged by Check.
	Problems []Problem
	// Failures are machines that cannot go on by themselves and are not to be replaced by this apply.
	Failures []Failure
	// NeedsFacts tells that machines are to be made and that Observed had no Facts; clone steps are then held back.
	NeedsFacts bool
}

// Refused tells whether a problem stops an apply.
func (p Plan) Refused() bool {
	return slices.ContainsFunc(p.Problems, func(problem Problem) bool { return problem.Severity == SeverityError })
}

// Failure is a machine whose guest has given up.
type Failure struct {
	Machine string
	Phase   string
	Text    string
}

// Kind names an operation as a person sees it.
type Kind string

// The kinds of operation.
const (
	KindCreateFolder Kind = "create_folder"
	KindClone        Kind = "clone"
	// KindAwait is a machine that exists and has not joined yet.
	KindAwait        Kind = "await"
	KindReplace      Kind = "replace"
	KindReconfigure  Kind = "reconfigure"
	KindRelocate     Kind = "relocate"
	KindPowerOn      Kind = "power_on"
	KindLabel        Kind = "label"
	KindDestroy      Kind = "destroy"
	KindDeleteFolder Kind = "delete_folder"
)

// Operation is one change to the world with its reason.
type Operation struct {
	Kind Kind   `json:"kind"`
	Pool string `json:"pool,omitempty"`
	// Machine is the VM's name, or the folder's path.
	Machine string `json:"machine"`
	// Detail says how: "from ubuntu-2404-kube-v1.34.1 (linked: snapshot present, same disk size)", "4 -> 8 CPU, after a power cycle".
	Detail string `json:"detail,omitempty"`
	// Reason says why: "template changes", "powered off outside Terraform".
	Reason string `json:"reason,omitempty"`
	// Step is what may be done now for this operation; nil while it has to wait for others or for a guest.
	Step *Step `json:"-"`
}

// Action is one call, or a few, that the gateway makes.
type Action string

// The actions.
const (
	ActCreateFolder Action = "create_folder"
	ActClone        Action = "clone"
	ActReconfigure  Action = "reconfigure"
	ActRelocate     Action = "relocate"
	ActPowerOn      Action = "power_on"
	ActLabel        Action = "label"
	// ActFinish clears the bootstrap secrets of a machine that says it has joined and marks it joined.
	ActFinish       Action = "finish"
	ActDestroy      Action = "destroy"
	ActDeleteFolder Action = "delete_folder"
)

// Step is an action on one machine, with all it needs.
type Step struct {
	Action   Action
	Identity Identity
	// Name is the VM's name, or the folder's path.
	Name string
	// Moid is set for every action on an existing VM.
	Moid string
	// Placement is set for clone and relocate.
	Placement Placement
	// Linked is set for clone.
	Linked bool
	// Join says how a clone enters the cluster: init, join-control-plane or join-worker.
	Join JoinMode
	// CPU, MemoryMiB and DiskGiB are set for clone and reconfigure. A reconfigure includes a power cycle where the machine
	// is on; it never shrinks the disk.
	CPU, MemoryMiB, DiskGiB int
	// Node is set for clone and label.
	Node NodeMetadata
}

// JoinMode says how a machine enters the cluster.
type JoinMode string

// The join modes.
const (
	JoinInit         JoinMode = "init"
	JoinControlPlane JoinMode = "join-control-plane"
	JoinWorker       JoinMode = "join-worker"
)

// Severity tells whether a Problem stops the apply.
type Severity string

// The severities.
const (
	SeverityError   Severity = "error"
	SeverityWarning Severity = "warning"
)

// Problem is something a person has to know before an apply, on the attribute that causes it.
type Problem struct {
	Severity Severity `json:"severity"`
	// Field is a JSON pointer into the spec, such as "/worker_pools/general/placements/0/datastore"; "" is the whole.
	Field   string `json:"field,omitempty"`
	Message string `json:"message"`
}
