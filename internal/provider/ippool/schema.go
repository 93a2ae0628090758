package ippool

import (
	"context"

	"github.com/hashicorp/terraform-plugin-framework-nettypes/cidrtypes"
	"github.com/hashicorp/terraform-plugin-framework-validators/int64validator"
	"github.com/hashicorp/terraform-plugin-framework-validators/listvalidator"
	"github.com/hashicorp/terraform-plugin-framework-validators/stringvalidator"
	"github.com/hashicorp/terraform-plugin-framework/resource"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/int64default"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/planmodifier"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/stringplanmodifier"
	"github.com/hashicorp/terraform-plugin-framework/schema/validator"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/terraform-provider-palette/terraform-provider-palette/internal/tfkit"
)

const (
	defaultCooldown = 300
	longestCooldown = 7 * 24 * 3600
	// longestPrefix is that of a single IPv6 address; the hub knows which family the pool is of.
	longestPrefix = 128
)

// Schema implements resource.Resource.
func (r *Resource) Schema(_ context.Context, _ resource.SchemaRequest, resp *resource.SchemaResponse) {
	resp.Schema = schema.Schema{
		MarkdownDescription: "Addresses that a gateway leases to machines, IPv4 or IPv6. A machine keeps its address while it " +
			"exists. When its VM is gone the address rests for `cooldown_seconds` before another machine can have it.\n\n" +
			"An overlap with another pool of the gateway, a gateway address outside the subnet, and a change that would " +
			"drop a leased address are errors at plan. A pool with leased addresses cannot be deleted.",
		Attributes: map[string]schema.Attribute{
			"id": schema.StringAttribute{
				Computed:            true,
				MarkdownDescription: "Id of the address pool at the hub.",
				PlanModifiers:       []planmodifier.String{stringplanmodifier.UseStateForUnknown()},
			},
			"name": schema.StringAttribute{
				Required:            true,
				MarkdownDescription: "Name, unique in the project: a DNS label of at most 63 characters.",
				Validators:          []validator.String{tfkit.DNSLabel()},
			},
			"gateway_id": schema.StringAttribute{
				Optional: true, Computed: true,
				MarkdownDescription: "Id of the gateway that leases the addresses. " + tfkit.DefaultGatewayText +
					" A change moves the pool with its leases; change the gateway of the " +
					"cloud accounts that use it in the same apply.",
				PlanModifiers: []planmodifier.String{stringplanmodifier.UseStateForUnknown()},
				Validators:    []validator.String{tfkit.GatewayID()},
			},
			"ranges": rangesSchema(),
			"subnet": schema.StringAttribute{
				Optional: true, CustomType: cidrtypes.IPPrefixType{},
				MarkdownDescription: "Subnet whose addresses are leased, such as `10.20.0.0/22`, without its network and " +
					"broadcast address and the gateway. Exactly one of `ranges` and `subnet` is set.",
				Validators: []validator.String{tfkit.CIDR()},
			},
			"excluded": schema.ListAttribute{
				Optional: true, ElementType: types.StringType,
				MarkdownDescription: "Addresses that are never leased: addresses, ranges such as `10.20.0.2-10.20.0.9`, or " +
					"prefixes such as `10.20.1.0/28`.",
				Validators: []validator.List{
					tfkit.NoNulls{}, listvalidator.ValueStringsAre(tfkit.AddressSet()), listvalidator.UniqueValues(),
				},
			},
			"prefix": schema.Int64Attribute{
				Optional: true, Computed: true,
				MarkdownDescription: "Prefix length that machines configure, such as `22`. Default: that of `subnet`; needed " +
					"with `ranges`.",
				Validators: []validator.Int64{int64validator.Between(1, longestPrefix)},
			},
			"gateway": schema.StringAttribute{
				Optional: true, CustomType: addressType,
				MarkdownDescription: "Default gateway of the machines. It is never leased. Default: none.",
				Validators:          []validator.String{tfkit.IPAddress()},
			},
			"name_servers": schema.ListAttribute{
				Optional: true, ElementType: addressType,
				MarkdownDescription: "Addresses of the machines' DNS servers, in the order in which they are asked.",
				Validators:          []validator.List{tfkit.NoNulls{}},
			},
			"search_domains": schema.ListAttribute{
				Optional: true, ElementType: types.StringType,
				MarkdownDescription: "DNS search domains of the machines, in the order in which they are tried.",
				Validators: []validator.List{
					tfkit.NoNulls{}, listvalidator.ValueStringsAre(stringvalidator.LengthBetween(1, 253)),
				},
			},
			"cooldown_seconds": schema.Int64Attribute{
				Optional: true, Computed: true, Default: int64default.StaticInt64(defaultCooldown),
				MarkdownDescription: "Seconds that an address rests after its machine is gone. Default: `300`.",
				Validators:          []validator.Int64{int64validator.Between(0, longestCooldown)},
			},
			"total": schema.Int64Attribute{
				Computed:            true,
				MarkdownDescription: "Number of addresses in the pool. Read at every refresh; it never makes a plan of its own.",
			},
			"used": schema.Int64Attribute{
				Computed: true,
				MarkdownDescription: "Number of addresses that machines hold. Read at every refresh; it never makes a plan of " +
					"its own.",
			},
			"free": schema.Int64Attribute{
				Computed: true,
				MarkdownDescription: "Number of addresses that can be leased now: `total` less those used and those that rest. " +
					"Read at every refresh; it never makes a plan of its own.",
			},
		},
	}
}

func rangesSchema() schema.ListNestedAttribute {
	end := func(which string) schema.StringAttribute {
		return schema.StringAttribute{
			Required: true, CustomType: addressType,
			MarkdownDescription: which + " address of the range; it is part of it.",
			Validators:          []validator.String{tfkit.IPAddress()},
		}
	}
	return schema.ListNestedAttribute{
		Optional:            true,
		MarkdownDescription: "Ranges of addresses that are leased. Exactly one of `ranges` and `subnet` is set.",
		NestedObject: schema.NestedAttributeObject{
			Attributes: map[string]schema.Attribute{"start": end("First"), "end": end("Last")},
		},
		Validators: []validator.List{listvalidator.SizeAtLeast(1)},
	}
}
