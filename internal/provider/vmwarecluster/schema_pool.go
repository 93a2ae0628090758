package vmwarecluster

import (
	"context"
	"fmt"
	"net/netip"

	"github.com/hashicorp/terraform-plugin-framework-validators/int64validator"
	"github.com/hashicorp/terraform-plugin-framework-validators/listvalidator"
	"github.com/hashicorp/terraform-plugin-framework-validators/stringvalidator"
	"github.com/hashicorp/terraform-plugin-framework/attr"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/int64default"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/objectdefault"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/planmodifier"
	"github.com/hashicorp/terraform-plugin-framework/schema/validator"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/terraform-provider-palette/terraform-provider-palette/internal/tfkit"
)

// poolAttributes are the attributes of the control plane and of a worker pool alike.
func poolAttributes(countText string, count, cpu validator.Int64) map[string]schema.Attribute {
	return map[string]schema.Attribute{
		"count": schema.Int64Attribute{
			Required: true, MarkdownDescription: countText, Validators: []validator.Int64{count},
		},
		"cpu": schema.Int64Attribute{
			Required: true, Validators: []validator.Int64{cpu},
			MarkdownDescription: "Virtual CPUs of a machine; kubeadm asks for 2 on the control plane. In place, with a power cycle of one " +
				"machine at a time.",
		},
		"memory_mib": schema.Int64Attribute{
			Required: true, Validators: []validator.Int64{int64validator.AtLeast(1), memoryStep{}},
			MarkdownDescription: "Memory of a machine in MiB, a multiple of 4. In place, with a power cycle of one machine at a time.",
		},
		"disk_gib": schema.Int64Attribute{
			Required: true, Validators: []validator.Int64{int64validator.AtLeast(1)},
			MarkdownDescription: "Size of a machine's first disk in GiB, at least that of the template. Growing is done in place where vSphere " +
				"allows it and by rolling replacement elsewhere, shrinking always by rolling replacement.",
		},
		"labels": schema.MapAttribute{
			Optional: true, ElementType: types.StringType,
			MarkdownDescription: "Kubernetes labels of the nodes. In place, without a restart.",
			Validators:          []validator.Map{tfkit.NoNulls{}},
		},
		"annotations": schema.MapAttribute{
			Optional: true, ElementType: types.StringType,
			MarkdownDescription: "Kubernetes annotations of the nodes. In place, without a restart.",
			Validators:          []validator.Map{tfkit.NoNulls{}},
		},
		"taints":          taintsAttribute(),
		"placements":      placementsAttribute(),
		"update_strategy": strategyAttribute(),
	}
}

func taintsAttribute() schema.ListNestedAttribute {
	return schema.ListNestedAttribute{
		Optional: true, MarkdownDescription: "Kubernetes taints of the nodes. In place, without a restart.",
		NestedObject: schema.NestedAttributeObject{Attributes: map[string]schema.Attribute{
			"key": schema.StringAttribute{
				Required: true, MarkdownDescription: "Key of the taint.",
				Validators: []validator.String{stringvalidator.LengthAtLeast(1)},
			},
			"value": schema.StringAttribute{
				Optional: true, MarkdownDescription: "Value of the taint; none by default.",
				Validators: []validator.String{stringvalidator.LengthAtLeast(1)},
			},
			"effect": schema.StringAttribute{
				Required: true, MarkdownDescription: "`NoSchedule`, `PreferNoSchedule` or `NoExecute`.",
				Validators: []validator.String{stringvalidator.OneOf("NoSchedule", "PreferNoSchedule", "NoExecute")},
			},
		}},
	}
}

func placementsAttribute() schema.ListNestedAttribute {
	name := func(text string) schema.StringAttribute {
		return schema.StringAttribute{
			Required: true, MarkdownDescription: text, Validators: []validator.String{stringvalidator.LengthAtLeast(1)},
		}
	}
	return schema.ListNestedAttribute{
		Required: true,
		MarkdownDescription: "Where machines may be; they spread evenly over the entries. Machines move in place where vMotion can do it, " +
			"and by rolling replacement elsewhere.",
		Validators: []validator.List{listvalidator.SizeAtLeast(1)},
		NestedObject: schema.NestedAttributeObject{Attributes: map[string]schema.Attribute{
			"compute_cluster": name("Name or full inventory path of the compute cluster."),
			"resource_pool": schema.StringAttribute{
				Optional: true, Validators: []validator.String{stringvalidator.LengthAtLeast(1)},
				MarkdownDescription: "Name or path of a resource pool below the compute cluster. Defaults to its root resource pool.",
			},
			"datastore": name("Name or full inventory path of the datastore."),
			"networks": schema.ListAttribute{
				Required: true, ElementType: types.StringType,
				MarkdownDescription: "Names or full inventory paths of networks, one for each network card; the node's own address is on the first.",
				Validators: []validator.List{
					tfkit.NoNulls{}, listvalidator.SizeAtLeast(1), listvalidator.ValueStringsAre(stringvalidator.LengthAtLeast(1)),
				},
			},
			"ip_pool_id": schema.StringAttribute{
				Optional: true, Validators: []validator.String{stringvalidator.LengthAtLeast(1)},
				MarkdownDescription: "Id of the `palette_ip_pool` that addresses of the first card come from. Without it the card uses DHCP.",
			},
		}},
	}
}

func strategyAttribute() schema.SingleNestedAttribute {
	return schema.SingleNestedAttribute{
		Optional: true, Computed: true,
		Default: objectdefault.StaticValue(types.ObjectValueMust(strategyTypes, map[string]attr.Value{
			"max_surge": types.Int64Value(1), "max_unavailable": types.Int64Value(0),
		})),
		MarkdownDescription: "Bounds of a rolling replacement; at least one of the two is above 0. In place, without touching a machine.",
		Attributes: map[string]schema.Attribute{
			"max_surge": schema.Int64Attribute{
				Optional: true, Computed: true, Default: int64default.StaticInt64(1),
				MarkdownDescription: "How many machines may exist above `count`. Defaults to `1`.",
				Validators:          []validator.Int64{int64validator.AtLeast(0)},
			},
			"max_unavailable": schema.Int64Attribute{
				Optional: true, Computed: true, Default: int64default.StaticInt64(0),
				MarkdownDescription: "How many machines of `count` may be missing. Defaults to `0`.",
				Validators:          []validator.Int64{int64validator.AtLeast(0)},
			},
		},
	}
}

// controlPlaneCount accepts the counts with which etcd gains by each member.
type controlPlaneCount struct{}

// Description implements validator.Int64.
func (controlPlaneCount) Description(context.Context) string { return "must be 1, 3 or 5" }

// MarkdownDescription implements validator.Int64.
func (c controlPlaneCount) MarkdownDescription(ctx context.Context) string { return c.Description(ctx) }

// ValidateInt64 implements validator.Int64. Null and unknown values pass.
func (controlPlaneCount) ValidateInt64(_ context.Context, req validator.Int64Request, resp *validator.Int64Response) {
	if req.ConfigValue.IsNull() || req.ConfigValue.IsUnknown() {
		return
	}
	switch count := req.ConfigValue.ValueInt64(); count {
	case 1, 3, 5:
	default:
		resp.Diagnostics.AddAttributeError(req.Path, "Invalid Control Plane Count", fmt.Sprintf(
			"The control plane must have 1, 3 or 5 machines, not %d: etcd needs a majority, and an even number of members "+
				"survives no more losses than one member fewer.", count))
	}
}

// memoryStep accepts what vSphere accepts as a VM's memory.
type memoryStep struct{}

// Description implements validator.Int64.
func (memoryStep) Description(context.Context) string { return "must be a multiple of 4" }

// MarkdownDescription implements validator.Int64.
func (m memoryStep) MarkdownDescription(ctx context.Context) string { return m.Description(ctx) }

// ValidateInt64 implements validator.Int64. Null and unknown values pass.
func (memoryStep) ValidateInt64(_ context.Context, req validator.Int64Request, resp *validator.Int64Response) {
	if req.ConfigValue.IsNull() || req.ConfigValue.IsUnknown() || req.ConfigValue.ValueInt64()%4 == 0 {
		return
	}
	resp.Diagnostics.AddAttributeError(req.Path, "Invalid Memory Size",
		fmt.Sprintf("vSphere takes a multiple of 4 MiB, and %s is %d MiB.", req.Path, req.ConfigValue.ValueInt64()))
}

// defaultToName makes the cluster's name the default of an attribute.
type defaultToName struct{}

// Description implements planmodifier.String.
func (defaultToName) Description(context.Context) string { return "Defaults to the cluster's name." }

// MarkdownDescription implements planmodifier.String.
func (d defaultToName) MarkdownDescription(ctx context.Context) string { return d.Description(ctx) }

// PlanModifyString implements planmodifier.String.
func (defaultToName) PlanModifyString(ctx context.Context, req planmodifier.StringRequest, resp *planmodifier.StringResponse) {
	if !req.ConfigValue.IsNull() {
		return
	}
	resp.Diagnostics.Append(req.Config.GetAttribute(ctx, path.Root("name"), &resp.PlanValue)...)
}

// samePrefix tells whether two spellings mean one prefix.
func samePrefix(a, b string) bool {
	one, err1 := netip.ParsePrefix(a)
	other, err2 := netip.ParsePrefix(b)
	return err1 == nil && err2 == nil && one == other
}
