package vmwarecluster

import (
	"github.com/hashicorp/terraform-plugin-framework-nettypes/cidrtypes"
	"github.com/hashicorp/terraform-plugin-framework-timeouts/resource/timeouts"
	"github.com/hashicorp/terraform-plugin-framework/attr"
	"github.com/hashicorp/terraform-plugin-framework/types"
	"github.com/hashicorp/terraform-plugin-framework/types/basetypes"
)

// model is the resource as Terraform has it. Nested values stay framework values, because each may be unknown in a plan.
type model struct {
	ID                types.String   `tfsdk:"id"`
	Name              types.String   `tfsdk:"name"`
	CloudAccountID    types.String   `tfsdk:"cloud_account_id"`
	KubernetesVersion types.String   `tfsdk:"kubernetes_version"`
	Datacenter        types.String   `tfsdk:"datacenter"`
	Folder            types.String   `tfsdk:"folder"`
	Template          types.String   `tfsdk:"template"`
	CloneMode         types.String   `tfsdk:"clone_mode"`
	Endpoint          types.Object   `tfsdk:"control_plane_endpoint"`
	Network           types.Object   `tfsdk:"cluster_network"`
	SSHAuthorizedKeys types.List     `tfsdk:"ssh_authorized_keys"`
	NTPServers        types.List     `tfsdk:"ntp_servers"`
	ControlPlane      types.Object   `tfsdk:"control_plane"`
	WorkerPools       types.Map      `tfsdk:"worker_pools"`
	Protection        types.Bool     `tfsdk:"deletion_protection"`
	OnCreateTimeout   types.String   `tfsdk:"on_create_timeout"`
	Timeouts          timeouts.Value `tfsdk:"timeouts"`
	Phase             types.String   `tfsdk:"phase"`
	Ready             types.Bool     `tfsdk:"ready"`
	Conditions        types.List     `tfsdk:"conditions"`
	Machines          types.List     `tfsdk:"machines"`
	PlannedOperations types.List     `tfsdk:"planned_operations"`
}

// specAttributes are the attributes that make the spec; the others concern the provider or tell what is.
var specAttributes = []string{
	"name", "cloud_account_id", "kubernetes_version", "datacenter", "folder", "template", "clone_mode",
	"control_plane_endpoint", "cluster_network", "ssh_authorized_keys", "ntp_servers", "control_plane", "worker_pools",
}

type endpointModel struct {
	Host types.String `tfsdk:"host"`
	Port types.Int64  `tfsdk:"port"`
}

type networkModel struct {
	PodCIDR     cidrtypes.IPPrefix `tfsdk:"pod_cidr"`
	ServiceCIDR cidrtypes.IPPrefix `tfsdk:"service_cidr"`
	DNSDomain   types.String       `tfsdk:"dns_domain"`
}

type poolModel struct {
	Count       types.Int64  `tfsdk:"count"`
	CPU         types.Int64  `tfsdk:"cpu"`
	MemoryMiB   types.Int64  `tfsdk:"memory_mib"`
	DiskGiB     types.Int64  `tfsdk:"disk_gib"`
	Labels      types.Map    `tfsdk:"labels"`
	Taints      types.List   `tfsdk:"taints"`
	Annotations types.Map    `tfsdk:"annotations"`
	Placements  types.List   `tfsdk:"placements"`
	Strategy    types.Object `tfsdk:"update_strategy"`
}

type taintModel struct {
	Key    types.String `tfsdk:"key"`
	Value  types.String `tfsdk:"value"`
	Effect types.String `tfsdk:"effect"`
}

type placementModel struct {
	ComputeCluster types.String `tfsdk:"compute_cluster"`
	ResourcePool   types.String `tfsdk:"resource_pool"`
	Datastore      types.String `tfsdk:"datastore"`
	Networks       types.List   `tfsdk:"networks"`
	IPPoolID       types.String `tfsdk:"ip_pool_id"`
}

type strategyModel struct {
	MaxSurge       types.Int64 `tfsdk:"max_surge"`
	MaxUnavailable types.Int64 `tfsdk:"max_unavailable"`
}

type conditionModel struct {
	Type    types.String `tfsdk:"type"`
	Status  types.Bool   `tfsdk:"status"`
	Reason  types.String `tfsdk:"reason"`
	Message types.String `tfsdk:"message"`
}

type machineModel struct {
	Name         types.String `tfsdk:"name"`
	Pool         types.String `tfsdk:"pool"`
	InstanceUUID types.String `tfsdk:"instance_uuid"`
	Moid         types.String `tfsdk:"moid"`
	Addresses    types.List   `tfsdk:"addresses"`
	Host         types.String `tfsdk:"host"`
	Datastore    types.String `tfsdk:"datastore"`
	Version      types.String `tfsdk:"version"`
	State        types.String `tfsdk:"state"`
}

// The types of nested values, as the schema has them.
var (
	endpointTypes = map[string]attr.Type{"host": types.StringType, "port": types.Int64Type}
	networkTypes  = map[string]attr.Type{
		"pod_cidr": cidrtypes.IPPrefixType{}, "service_cidr": cidrtypes.IPPrefixType{}, "dns_domain": types.StringType,
	}
	taintTypes     = stringTypes("key", "value", "effect")
	strategyTypes  = map[string]attr.Type{"max_surge": types.Int64Type, "max_unavailable": types.Int64Type}
	placementTypes = withType(stringTypes("compute_cluster", "resource_pool", "datastore", "ip_pool_id"), "networks", stringsType)
	poolTypes      = map[string]attr.Type{
		"count": types.Int64Type, "cpu": types.Int64Type, "memory_mib": types.Int64Type, "disk_gib": types.Int64Type,
		"labels": types.MapType{ElemType: types.StringType}, "annotations": types.MapType{ElemType: types.StringType},
		"taints":          types.ListType{ElemType: types.ObjectType{AttrTypes: taintTypes}},
		"placements":      types.ListType{ElemType: types.ObjectType{AttrTypes: placementTypes}},
		"update_strategy": types.ObjectType{AttrTypes: strategyTypes},
	}
	conditionTypes = withType(stringTypes("type", "reason", "message"), "status", types.BoolType)
	machineTypes   = withType(
		stringTypes("name", "pool", "instance_uuid", "moid", "host", "datastore", "version", "state"), "addresses", stringsType)

	stringsType attr.Type = types.ListType{ElemType: types.StringType}
)

// tolerant lets nested values be null or unknown where they are read one by one.
var tolerant = basetypes.ObjectAsOptions{UnhandledNullAsEmpty: true, UnhandledUnknownAsEmpty: true}

func stringTypes(names ...string) map[string]attr.Type {
	attrs := map[string]attr.Type{}
	for _, name := range names {
		attrs[name] = types.StringType
	}
	return attrs
}

func withType(attrs map[string]attr.Type, name string, t attr.Type) map[string]attr.Type {
	attrs[name] = t
	return attrs
}
