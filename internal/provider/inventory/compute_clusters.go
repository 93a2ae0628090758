package inventory

import (
	"github.com/hashicorp/terraform-plugin-framework/datasource"
	"github.com/hashicorp/terraform-plugin-framework/datasource/schema"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/terraform-provider-palette/terraform-provider-palette/internal/hubapi"
)

// NewComputeClusters returns the data source palette_compute_clusters.
func NewComputeClusters() datasource.DataSource {
	return &DataSource{kind: kind{
		kind: hubapi.KindComputeClusters,
		list: "compute_clusters",
		description: "The compute clusters of a vCenter, read in one call through the cloud account's gateway. A " +
			"standalone host is a compute cluster of one.",
		listDescription: "Compute clusters that fit.",
		item: withObject(map[string]schema.Attribute{
			"hosts":        texts("Names of the ESXi hosts, sorted."),
			"hosts_usable": number("Number of hosts that are connected and not in maintenance mode."),
			"cpu_cores":    number("Number of CPU cores of all hosts."),
			"cpu_mhz":      number("CPU of all hosts together, in MHz."),
			"memory_mib":   number("Memory of all hosts together, in MiB."),
			"drs_enabled":  flag("Whether DRS is on."),
			"ha_enabled":   flag("Whether vSphere HA is on."),
			"zone":         text("Name of the attached tag of category `k8s-zone`, or null."),
			"region":       text("Name of the attached tag of category `k8s-region`, or null."),
		}),
		new: func() data { return &computeClustersModel{} },
	}}
}

type computeClustersModel struct {
	scope
	ComputeClusters []computeCluster `tfsdk:"compute_clusters"`
}

type computeCluster struct {
	object
	Hosts       []string     `tfsdk:"hosts"`
	HostsUsable int          `tfsdk:"hosts_usable"`
	CPUCores    int          `tfsdk:"cpu_cores"`
	CPUMHz      int          `tfsdk:"cpu_mhz"`
	MemoryMiB   int          `tfsdk:"memory_mib"`
	DRSEnabled  bool         `tfsdk:"drs_enabled"`
	HAEnabled   bool         `tfsdk:"ha_enabled"`
	Zone        types.String `tfsdk:"zone"`
	Region      types.String `tfsdk:"region"`
}

func (m *computeClustersModel) fill(objects *hubapi.Inventory) {
	names := m.names()
	of := func(c hubapi.ComputeCluster) hubapi.InventoryObject { return c.Object }
	m.ComputeClusters = choose(objects.ComputeClusters, of,
		func(c hubapi.ComputeCluster) bool { return names.passes(c.Name) },
		func(c hubapi.ComputeCluster) computeCluster {
			return computeCluster{
				object: newObject(c.Object), Hosts: list(c.Hosts), HostsUsable: c.HostsUsable, CPUCores: c.CPUCores,
				CPUMHz: c.CPUMHz, MemoryMiB: c.MemoryMiB, DRSEnabled: c.DRSEnabled, HAEnabled: c.HAEnabled,
				Zone: orNull(c.Zone), Region: orNull(c.Region),
			}
		})
}
