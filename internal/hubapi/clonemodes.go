package hubapi

import "github.com/terraform-provider-palette/terraform-provider-palette/internal/cluster"

// The ways of cloning.
const (
	CloneAuto   = cluster.CloneAuto
	CloneLinked = cluster.CloneLinked
	CloneFull   = cluster.CloneFull
)

// ControlPlanePool is the pool name of control plane machines.
const ControlPlanePool = cluster.ControlPlanePool
