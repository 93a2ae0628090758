package gateway

import (
	"github.com/hashicorp/terraform-plugin-framework-validators/int64validator"
	"github.com/hashicorp/terraform-plugin-framework-validators/listvalidator"
	"github.com/hashicorp/terraform-plugin-framework-validators/stringvalidator"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/booldefault"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/int64default"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/stringdefault"
	"github.com/hashicorp/terraform-plugin-framework/schema/validator"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/terraform-provider-palette/terraform-provider-palette/internal/tfkit"
)

const (
	defaultCPU       = 2
	defaultMemoryMiB = 2048
	defaultDiskGiB   = 20
	largestCPU       = 64
	largestMiB       = 1 << 20
	largestGiB       = 1 << 14
)

const replacesNote = " A change replaces the VMs, one after the other."

func applianceSchema() schema.SingleNestedAttribute {
	object := func(required bool, description string) schema.StringAttribute {
		return schema.StringAttribute{
			Required: required, Optional: !required, MarkdownDescription: description,
			Validators: []validator.String{stringvalidator.LengthAtLeast(1)},
		}
	}
	number := func(otherwise, least, most int64, description string) schema.Int64Attribute {
		return schema.Int64Attribute{
			Optional: true, Computed: true, Default: int64default.StaticInt64(otherwise), MarkdownDescription: description,
			Validators: []validator.Int64{int64validator.Between(least, most)},
		}
	}
	return schema.SingleNestedAttribute{
		Optional: true,
		MarkdownDescription: "VMs that the provider makes for the gateway, where Terraform reaches the vCenter itself when they are made, " +
			"changed or destroyed. Each is cloned from a cloud-init template, fetches its program from the hub, checks it, and pairs. " +
			"Create and update wait until all are online. The vCenter is not needed for a plan or a refresh. A VM whose " +
			"replica is not connected is looked after by the next apply. Removing the block destroys the VMs.",
		Attributes: map[string]schema.Attribute{
			"vcenter": schema.StringAttribute{
				Required:            true,
				MarkdownDescription: "Host name or address of the vCenter, with a port where that is not 443. It cannot change.",
				Validators:          []validator.String{tfkit.VCenterAddress()},
			},
			"username": object(true, "User to log in as."),
			"password_wo": schema.StringAttribute{
				Optional: true, Sensitive: true, WriteOnly: true,
				MarkdownDescription: "Password of the user. It is write-only. To destroy the VMs later, the provider keeps it encrypted in " +
					"`appliance_access`, with a key that only the hub has; neither is worth anything without the other. Needed at create and " +
					"whenever `password_wo_version` changes.",
				Validators: []validator.String{stringvalidator.LengthAtLeast(1)},
			},
			"password_wo_version": schema.Int64Attribute{
				Optional:            true,
				MarkdownDescription: "Any number that changes when `password_wo` does.",
				Validators:          []validator.Int64{int64validator.AtLeast(0)},
			},
			"ca_certificate": schema.StringAttribute{
				Optional: true,
				MarkdownDescription: "Certificates in PEM form that the vCenter's certificate is checked against. Default: the system's. " +
					"A change needs the password again.",
				Validators: []validator.String{tfkit.CACertificate()},
			},
			"thumbprints": schema.ListAttribute{
				Optional: true, ElementType: types.StringType,
				MarkdownDescription: "SHA-1 or SHA-256 thumbprints of the vCenter's certificate. A change needs the password again.",
				Validators: []validator.List{
					tfkit.NoNulls{}, listvalidator.SizeAtLeast(1), listvalidator.ValueStringsAre(tfkit.Thumbprint()),
				},
			},
			"insecure": schema.BoolAttribute{
				Optional: true, Computed: true, Default: booldefault.StaticBool(false),
				MarkdownDescription: "Believe any certificate of the vCenter. Default: `false`.",
			},
			"datacenter": object(true, "Datacenter, by name or full inventory path."+replacesNote),
			"folder": schema.StringAttribute{
				Optional: true, Computed: true, Default: stringdefault.StaticString("palette-gateways"),
				MarkdownDescription: "Folder below the datacenter's vm folder; it is made if it is missing. Default: `palette-gateways`." +
					replacesNote,
				Validators: []validator.String{stringvalidator.LengthAtLeast(1)},
			},
			"compute_cluster": object(true, "Compute cluster, by name or full inventory path. The VMs are put on different hosts."+replacesNote),
			"resource_pool":   object(false, "Resource pool. Default: that of the compute cluster."+replacesNote),
			"datastore":       object(true, "Datastore, by name or full inventory path."+replacesNote),
			"network":         object(true, "Network, by name or full inventory path."+replacesNote),
			"template": object(true, "Template with cloud-init, systemd, curl and VMware's guest tools, by name or full inventory path."+
				replacesNote),
			"network_config": networkSchema(),
			"proxy": schema.StringAttribute{
				Optional: true, Sensitive: true,
				MarkdownDescription: "Proxy to the hub, such as `http://user:password@proxy.example.com:3128`. Default: none." + replacesNote,
				Validators:          []validator.String{stringvalidator.LengthAtLeast(1)},
			},
			"ca_certificates": schema.ListAttribute{
				Optional: true, ElementType: types.StringType,
				MarkdownDescription: "Certificates in PEM form that the VMs believe besides the template's, such as that of a proxy that looks " +
					"into TLS." + replacesNote,
				Validators: []validator.List{tfkit.NoNulls{}, listvalidator.ValueStringsAre(tfkit.CACertificate())},
			},
			"ntp_servers": schema.ListAttribute{
				Optional: true, ElementType: types.StringType,
				MarkdownDescription: "Time servers of the VMs. Default: the template's." + replacesNote,
				Validators:          []validator.List{tfkit.NoNulls{}, listvalidator.ValueStringsAre(stringvalidator.LengthAtLeast(1))},
			},
			"cpu":        number(defaultCPU, 1, largestCPU, "CPUs of each VM. Changed in place. Default: `2`."),
			"memory_mib": number(defaultMemoryMiB, 512, largestMiB, "Memory of each VM in MiB. Changed in place. Default: `2048`."),
			"disk_gib":   number(defaultDiskGiB, 1, largestGiB, "Disk of each VM in GiB. It only grows, in place. Default: `20`."),
			"replicas": schema.Int64Attribute{
				Optional: true, Computed: true, Default: int64default.StaticInt64(1),
				MarkdownDescription: "VMs, `1` or `3`. With three, one may fail. Default: `1`.",
				Validators:          []validator.Int64{int64validator.OneOf(1, 3)},
			},
		},
	}
}

func networkSchema() schema.SingleNestedAttribute {
	return schema.SingleNestedAttribute{
		Optional:            true,
		MarkdownDescription: "Configuration of the VMs' network card. Default: DHCP.",
		Attributes: map[string]schema.Attribute{
			"addresses": schema.ListAttribute{
				Optional: true, ElementType: types.StringType,
				MarkdownDescription: "Addresses with prefix lengths, such as `10.20.0.21/24`: one for each VM, and one more for a successor that " +
					"comes up while the VM it replaces still stands. Default: DHCP.",
				Validators: []validator.List{tfkit.NoNulls{}, listvalidator.UniqueValues(), listvalidator.ValueStringsAre(tfkit.HostPrefix())},
			},
			"gateway": schema.StringAttribute{
				Optional: true, MarkdownDescription: "Default gateway of the network." + replacesNote,
				Validators: []validator.String{tfkit.IPAddress()},
			},
			"name_servers": schema.ListAttribute{
				Optional: true, ElementType: types.StringType, MarkdownDescription: "DNS servers." + replacesNote,
				Validators: []validator.List{tfkit.NoNulls{}, listvalidator.ValueStringsAre(tfkit.IPAddress())},
			},
			"search_domains": schema.ListAttribute{
				Optional: true, ElementType: types.StringType, MarkdownDescription: "DNS search domains." + replacesNote,
				Validators: []validator.List{tfkit.NoNulls{}, listvalidator.ValueStringsAre(stringvalidator.LengthBetween(1, 253))},
			},
		},
	}
}

func machinesSchema() schema.ListNestedAttribute {
	text := func(description string) schema.StringAttribute {
		return schema.StringAttribute{Computed: true, MarkdownDescription: description}
	}
	return schema.ListNestedAttribute{
		Computed:            true,
		MarkdownDescription: "VMs of the `appliance`, as the last apply left them; empty without one.",
		NestedObject: schema.NestedAttributeObject{Attributes: map[string]schema.Attribute{
			"name":          text("Name of the VM, and of the replica that runs on it."),
			"moid":          text("Managed object id of the VM."),
			"instance_uuid": text("Instance UUID of the VM."),
			"host":          text("Host that the VM ran on."),
			"addresses":     schema.ListAttribute{Computed: true, ElementType: types.StringType, MarkdownDescription: "Addresses of the VM."},
		}},
	}
}
