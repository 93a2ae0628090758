package vmwarecluster

import (
	"context"
	"maps"

	"github.com/hashicorp/terraform-plugin-framework-nettypes/cidrtypes"
	"github.com/hashicorp/terraform-plugin-framework-timeouts/resource/timeouts"
	"github.com/hashicorp/terraform-plugin-framework-validators/int64validator"
	"github.com/hashicorp/terraform-plugin-framework-validators/listvalidator"
	"github.com/hashicorp/terraform-plugin-framework-validators/mapvalidator"
	"github.com/hashicorp/terraform-plugin-framework-validators/stringvalidator"
	"github.com/hashicorp/terraform-plugin-framework/attr"
	"github.com/hashicorp/terraform-plugin-framework/resource"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/booldefault"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/boolplanmodifier"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/int64default"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/int64planmodifier"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/listplanmodifier"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/objectdefault"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/planmodifier"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/stringdefault"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/stringplanmodifier"
	"github.com/hashicorp/terraform-plugin-framework/schema/validator"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/terraform-provider-palette/terraform-provider-palette/internal/hubapi"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/tfkit"
)

// Defaults of what a configuration may leave out.
const (
	defaultPodCIDR     = "192.168.0.0/16"
	defaultServiceCIDR = "10.96.0.0/12"
	defaultDNSDomain   = "cluster.local"
	defaultPort        = 6443

	maxPort = 65535
	// longestName leaves room in the 63 characters of a host name for a pool's name, an ordinal and a generation.
	longestName = 40
)

// What on_create_timeout may say.
const (
	onTimeoutResume = "resume"
	onTimeoutFail   = "fail"
	onTimeoutDelete = "delete"
)

const description = `A Kubernetes cluster on VMware vSphere virtual machines: one control plane and any number of worker pools.

The plan asks the gateway what an apply would do and shows it in ` + "`planned_operations`" + `; what cannot work is an
error of the plan, on the attribute that causes it. Machines that were destroyed, powered off, resized or moved outside
Terraform appear in the next plan as the operation that repairs them.

A create that fails leaves its machines as they are, for a look, and the resource *tainted*: the next apply would destroy
and create it anew. ` + "`terraform untaint`" + ` before the next apply makes it go on with what exists instead.`

// Schema implements resource.Resource.
func (r *Resource) Schema(ctx context.Context, _ resource.SchemaRequest, resp *resource.SchemaResponse) {
	resp.Schema = schema.Schema{MarkdownDescription: description, Attributes: attributes(ctx)}
}

func attributes(ctx context.Context) map[string]schema.Attribute {
	attrs := map[string]schema.Attribute{
		"name": schema.StringAttribute{
			Required: true,
			MarkdownDescription: "Name of the cluster, unique in the project: a DNS label of at most 40 characters. Machines are " +
				"named `<name>-<pool>-<ordinal>`. Forces replacement.",
			Validators:    []validator.String{tfkit.DNSLabel(), stringvalidator.LengthAtMost(longestName)},
			PlanModifiers: []planmodifier.String{stringplanmodifier.RequiresReplace()},
		},
		"cloud_account_id": schema.StringAttribute{
			Required:            true,
			MarkdownDescription: "Id of the `palette_cloud_account` whose vCenter the machines live in. Forces replacement.",
			Validators:          []validator.String{stringvalidator.LengthAtLeast(1)},
			PlanModifiers:       []planmodifier.String{stringplanmodifier.RequiresReplace()},
		},
		"kubernetes_version": schema.StringAttribute{
			Required: true,
			MarkdownDescription: "Kubernetes version, such as `v1.34.1`. The template must carry exactly this " +
				"version. It may move up by one minor version at a time and never down. Rolling replacement of all machines, the control " +
				"plane first.",
			Validators: []validator.String{tfkit.KubernetesVersion()},
		},
		"template": schema.StringAttribute{
			Required: true,
			MarkdownDescription: "Name or full inventory path of the VM template that machines are cloned from. Rolling replacement of " +
				"all machines.",
			Validators: []validator.String{stringvalidator.LengthAtLeast(1)},
		},
		"clone_mode": schema.StringAttribute{
			Optional: true, Computed: true,
			Default: stringdefault.StaticString(string(hubapi.CloneAuto)),
			MarkdownDescription: "How machines are copied from the template: `auto` (default: linked where the template has a snapshot and " +
				"the same disk size on a reachable datastore, full elsewhere), `linked` or `full`. In place: only machines cloned later are " +
				"affected.",
			Validators: []validator.String{stringvalidator.OneOf(
				string(hubapi.CloneAuto), string(hubapi.CloneLinked), string(hubapi.CloneFull))},
		},
		"ssh_authorized_keys": schema.ListAttribute{
			Optional: true, ElementType: types.StringType,
			MarkdownDescription: "SSH public keys that may log in to the machines, in the form of `authorized_keys` lines. Rolling " +
				"replacement of all machines.",
			Validators: []validator.List{tfkit.NoNulls{}, listvalidator.ValueStringsAre(stringvalidator.LengthAtLeast(1))},
		},
		"ntp_servers": schema.ListAttribute{
			Optional: true, ElementType: types.StringType,
			MarkdownDescription: "NTP servers of the machines, names or addresses. Without any, machines take the time from the template's " +
				"own configuration. Rolling replacement of all machines.",
			Validators: []validator.List{tfkit.NoNulls{}, listvalidator.ValueStringsAre(stringvalidator.LengthAtLeast(1))},
		},
		"control_plane": controlPlaneAttribute(),
		"worker_pools":  workerPoolsAttribute(),
	}
	for _, group := range []map[string]schema.Attribute{
		whereAttributes(), networkAttributes(), handlingAttributes(ctx), computedAttributes(),
	} {
		maps.Copy(attrs, group)
	}
	return attrs
}

func whereAttributes() map[string]schema.Attribute {
	return map[string]schema.Attribute{
		"datacenter": schema.StringAttribute{
			Required:            true,
			MarkdownDescription: "Name or full inventory path of the datacenter. Forces replacement.",
			Validators:          []validator.String{stringvalidator.LengthAtLeast(1)},
			PlanModifiers:       []planmodifier.String{stringplanmodifier.RequiresReplace()},
		},
		"folder": schema.StringAttribute{
			Optional: true, Computed: true,
			MarkdownDescription: "Path of the VM folder below the datacenter's `vm` folder, such as `k8s/prod`. Missing folders are created, " +
				"and removed again with the cluster. Defaults to the cluster's name. Forces replacement.",
			Validators:    []validator.String{stringvalidator.LengthAtLeast(1)},
			PlanModifiers: []planmodifier.String{defaultToName{}, stringplanmodifier.RequiresReplace()},
		},
	}
}

func networkAttributes() map[string]schema.Attribute {
	cidr := func(what, def string) schema.StringAttribute {
		return schema.StringAttribute{
			CustomType: cidrtypes.IPPrefixType{},
			Optional:   true, Computed: true,
			Default:             stringdefault.StaticString(def),
			MarkdownDescription: "Addresses of " + what + " as a prefix. Defaults to `" + def + "`. Forces replacement.",
			Validators:          []validator.String{tfkit.CIDR()},
			PlanModifiers: []planmodifier.String{
				tfkit.KeepEquivalent("prefix", samePrefix), stringplanmodifier.RequiresReplace(),
			},
		}
	}
	return map[string]schema.Attribute{
		"control_plane_endpoint": schema.SingleNestedAttribute{
			Required: true,
			MarkdownDescription: "Where the Kubernetes API server answers. The address is announced by kube-vip on the control plane " +
				"machines and must be free, outside DHCP ranges and address pools.",
			Attributes: map[string]schema.Attribute{
				"host": schema.StringAttribute{
					Required: true, MarkdownDescription: "IPv4 or IPv6 address. Forces replacement.",
					Validators:    []validator.String{tfkit.IPAddress()},
					PlanModifiers: []planmodifier.String{stringplanmodifier.RequiresReplace()},
				},
				"port": schema.Int64Attribute{
					Optional: true, Computed: true, Default: int64default.StaticInt64(defaultPort),
					MarkdownDescription: "TCP port. Defaults to `6443`. Forces replacement.",
					Validators:          []validator.Int64{int64validator.Between(1, maxPort)},
					PlanModifiers:       []planmodifier.Int64{int64planmodifier.RequiresReplace()},
				},
			},
		},
		"cluster_network": schema.SingleNestedAttribute{
			Optional: true, Computed: true,
			Default: objectdefault.StaticValue(types.ObjectValueMust(networkTypes, map[string]attr.Value{
				"pod_cidr":     cidrtypes.NewIPPrefixValue(defaultPodCIDR),
				"service_cidr": cidrtypes.NewIPPrefixValue(defaultServiceCIDR),
				"dns_domain":   types.StringValue(defaultDNSDomain),
			})),
			MarkdownDescription: "The cluster's own addressing.",
			Attributes: map[string]schema.Attribute{
				"pod_cidr":     cidr("pods", defaultPodCIDR),
				"service_cidr": cidr("services", defaultServiceCIDR),
				"dns_domain": schema.StringAttribute{
					Optional: true, Computed: true, Default: stringdefault.StaticString(defaultDNSDomain),
					MarkdownDescription: "DNS domain of services. Defaults to `cluster.local`. Forces replacement.",
					Validators:          []validator.String{stringvalidator.LengthAtLeast(1)},
					PlanModifiers:       []planmodifier.String{stringplanmodifier.RequiresReplace()},
				},
			},
		},
	}
}

func handlingAttributes(ctx context.Context) map[string]schema.Attribute {
	return map[string]schema.Attribute{
		"deletion_protection": schema.BoolAttribute{
			Optional: true, Computed: true, Default: booldefault.StaticBool(true),
			MarkdownDescription: "Refuse to destroy or replace the cluster. Defaults to `true`. To destroy a cluster, first apply " +
				"`deletion_protection = false`. A cluster that has never been ready is not protected. In place, without touching a machine.",
		},
		"on_create_timeout": schema.StringAttribute{
			Optional: true, Computed: true, Default: stringdefault.StaticString(onTimeoutResume),
			MarkdownDescription: "What a create does that has run into its timeout, or was interrupted, while work goes on: `resume` " +
				"(default: a warning; `ready` is `false`, and the next apply goes on waiting), `fail` (an error; the resource is tainted) or " +
				"`delete` (what was made is removed, and an error is shown).",
			Validators: []validator.String{stringvalidator.OneOf(onTimeoutResume, onTimeoutFail, onTimeoutDelete)},
		},
		"timeouts": timeouts.Attributes(ctx, timeouts.Opts{
			Create: true, Update: true, Delete: true,
			CreateDescription: "How long a create waits for the cluster to be ready, such as `90m`. Defaults to `60m`.",
			UpdateDescription: "How long an update waits for its last operation, such as `3h`. A rolling replacement takes one machine's " +
				"time for each step. Defaults to `120m`.",
			DeleteDescription: "How long a delete waits until nothing of the cluster is left, such as `30m`. Defaults to `60m`.",
		}),
	}
}

func computedAttributes() map[string]schema.Attribute {
	keepString := []planmodifier.String{stringplanmodifier.UseStateForUnknown()}
	keepList := []planmodifier.List{listplanmodifier.UseStateForUnknown()}
	return map[string]schema.Attribute{
		"id": schema.StringAttribute{
			Computed: true, MarkdownDescription: "Id of the cluster at the hub.", PlanModifiers: keepString,
		},
		"phase": schema.StringAttribute{
			Computed: true, PlanModifiers: keepString,
			MarkdownDescription: "`Pending`, `Provisioning`, `Updating`, `Ready`, `Failed` or `Deleting`.",
		},
		"ready": schema.BoolAttribute{
			Computed: true, PlanModifiers: []planmodifier.Bool{boolplanmodifier.UseStateForUnknown()},
			MarkdownDescription: "Whether all machines are nodes of the cluster and as configured.",
		},
		"conditions": schema.ListNestedAttribute{
			Computed: true, PlanModifiers: keepList,
			MarkdownDescription: "Aspects of the cluster's state.",
			NestedObject: schema.NestedAttributeObject{Attributes: map[string]schema.Attribute{
				"type":    schema.StringAttribute{Computed: true, MarkdownDescription: "What the condition is about."},
				"status":  schema.BoolAttribute{Computed: true, MarkdownDescription: "Whether it holds."},
				"reason":  schema.StringAttribute{Computed: true, MarkdownDescription: "Why, in one word."},
				"message": schema.StringAttribute{Computed: true, MarkdownDescription: "Why, for people."},
			}},
		},
		"machines": machinesAttribute(keepList),
		"planned_operations": schema.ListAttribute{
			Computed: true, ElementType: types.StringType, PlanModifiers: keepList,
			MarkdownDescription: "What the plan does to the world, a line for each group of machines, in order. It is unknown while a value " +
				"of the configuration is, and while earlier work on the cluster still goes on. After an apply it holds what was last planned.",
		},
	}
}

func machinesAttribute(keep []planmodifier.List) schema.ListNestedAttribute {
	computed := func(text string) schema.StringAttribute {
		return schema.StringAttribute{Computed: true, MarkdownDescription: text}
	}
	return schema.ListNestedAttribute{
		Computed: true, PlanModifiers: keep,
		MarkdownDescription: "The cluster's machines, the control plane first, then by name. Where a machine runs may change at any " +
			"time (vMotion, DRS); that is no difference to the configuration.",
		NestedObject: schema.NestedAttributeObject{Attributes: map[string]schema.Attribute{
			"name": computed("Name of the VM and of the node."),
			"pool": computed("Worker pool, or `control-plane`."),
			"instance_uuid": computed("vSphere instance UUID. It follows from gateway, cluster, pool, number and generation of the machine, " +
				"and never changes."),
			"moid": computed("Managed object id in the vCenter, such as `vm-1001`."),
			"addresses": schema.ListAttribute{
				Computed: true, ElementType: types.StringType, MarkdownDescription: "IP addresses of the first network card.",
			},
			"host":      computed("ESXi host the VM runs on."),
			"datastore": computed("Datastore of the VM."),
			"version":   computed("Kubernetes version of the machine."),
			"state":     computed("`booting`, `ready`, `failed`, `powered-off`, `unreachable` or `copy`."),
		}},
	}
}

func workerPoolsAttribute() schema.MapNestedAttribute {
	return schema.MapNestedAttribute{
		Optional: true,
		MarkdownDescription: "Worker pools by name. A name is a DNS label other than `control-plane` and `cp`. Adding or removing a pool " +
			"adds or removes its machines.",
		Validators: []validator.Map{mapvalidator.KeysAre(
			tfkit.DNSLabel(), stringvalidator.LengthAtMost(longestName), stringvalidator.NoneOf("control-plane", "cp"))},
		NestedObject: schema.NestedAttributeObject{Attributes: poolAttributes(
			"Number of machines. In place: machines are added, or drained and removed, the highest ordinals first.",
			int64validator.AtLeast(0), int64validator.AtLeast(1))},
	}
}

func controlPlaneAttribute() schema.SingleNestedAttribute {
	return schema.SingleNestedAttribute{
		Required:            true,
		MarkdownDescription: "The control plane's machines. Each also holds a member of etcd.",
		Attributes: poolAttributes(
			"Number of machines: `1`, `3` or `5`, so that etcd keeps a majority. In place: machines are added or removed one at a time.",
			controlPlaneCount{}, int64validator.AtLeast(2)),
	}
}
