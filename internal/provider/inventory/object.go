package inventory

import (
	"cmp"
	"maps"
	"slices"

	"github.com/hashicorp/terraform-plugin-framework/datasource/schema"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/terraform-provider-palette/terraform-provider-palette/internal/hubapi"
)

// object is what every shown object has.
type object struct {
	Moid       types.String `tfsdk:"moid"`
	Name       types.String `tfsdk:"name"`
	Path       types.String `tfsdk:"path"`
	Datacenter types.String `tfsdk:"datacenter"`
}

func newObject(o hubapi.InventoryObject) object {
	return object{
		Moid: types.StringValue(o.Moid), Name: types.StringValue(o.Name), Path: types.StringValue(o.Path),
		Datacenter: types.StringValue(o.Datacenter),
	}
}

// withObject returns the attributes of every object together with those of one kind.
func withObject(own map[string]schema.Attribute) map[string]schema.Attribute {
	attributes := map[string]schema.Attribute{
		"moid":       text("Managed object id, such as `datastore-12`. It is unique in one vCenter."),
		"name":       text("Name."),
		"path":       text("Full inventory path, such as `/dc-north/datastore/vsan-prod`."),
		"datacenter": text("Name of the datacenter that holds it."),
	}
	maps.Copy(attributes, own)
	return attributes
}

// choose returns those that pass as shown objects, sorted by path and then by managed object id.
func choose[T, M any](all []T, of func(T) hubapi.InventoryObject, passes func(T) bool, show func(T) M) []M {
	chosen := []T{}
	for _, o := range all {
		if passes(o) {
			chosen = append(chosen, o)
		}
	}
	slices.SortStableFunc(chosen, func(a, b T) int {
		return cmp.Or(cmp.Compare(of(a).Path, of(b).Path), cmp.Compare(of(a).Moid, of(b).Moid))
	})
	shown := make([]M, 0, len(chosen))
	for _, o := range chosen {
		shown = append(shown, show(o))
	}
	return shown
}

func text(description string) schema.StringAttribute {
	return schema.StringAttribute{Computed: true, MarkdownDescription: description}
}

func number(description string) schema.Int64Attribute {
	return schema.Int64Attribute{Computed: true, MarkdownDescription: description}
}

func flag(description string) schema.BoolAttribute {
	return schema.BoolAttribute{Computed: true, MarkdownDescription: description}
}

func texts(description string) schema.ListAttribute {
	return schema.ListAttribute{Computed: true, ElementType: types.StringType, MarkdownDescription: description}
}

// list is a sorted copy, never null.
func list(values []string) []string {
	sorted := slices.Clone(values)
	slices.Sort(sorted)
	if sorted == nil {
		sorted = []string{}
	}
	return sorted
}

// orNull shows what is not there as null.
func orNull(s string) types.String {
	if s == "" {
		return types.StringNull()
	}
	return types.StringValue(s)
}
