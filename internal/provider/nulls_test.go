package provider_test

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/hashicorp/terraform-plugin-framework/providerserver"
	"github.com/hashicorp/terraform-plugin-go/tfprotov6"
	"github.com/hashicorp/terraform-plugin-go/tftypes"

	"github.com/terraform-provider-palette/terraform-provider-palette/internal/provider"
)

// TestNullElements gives each list and map of each resource a null element, as a lookup or a condition in a configuration
// that finds nothing does. It has to be refused by name, and not to end in the framework's advice to report a bug.
func TestNullElements(t *testing.T) {
	server, err := providerserver.NewProtocol6WithError(provider.New("test", nil)())()
	if err != nil {
		t.Fatal(err)
	}
	schemas, err := server.GetProviderSchema(t.Context(), &tfprotov6.GetProviderSchemaRequest{})
	if err != nil {
		t.Fatal(err)
	}
	tried := 0
	for _, resource := range slices.Sorted(maps.Keys(schemas.ResourceSchemas)) {
		block := schemas.ResourceSchemas[resource].Block
		for at, value := range nullElements("", block.Attributes) {
			tried++
			t.Run(resource+"."+at, func(t *testing.T) {
				config, err := tfprotov6.NewDynamicValue(value.Type(), value)
				if err != nil {
					t.Fatal(err)
				}
				resp, err := server.ValidateResourceConfig(t.Context(), &tfprotov6.ValidateResourceConfigRequest{
					TypeName: resource, Config: &config,
				})
				if err != nil {
					t.Fatal(err)
				}
				if !slices.ContainsFunc(resp.Diagnostics, func(d *tfprotov6.Diagnostic) bool {
					return d.Summary == "Null Element" && strings.Contains(d.Detail, at[strings.LastIndex(at, ".")+1:])
				}) {
					t.Errorf("a null element is not refused: %v", resp.Diagnostics)
				}
			})
		}
	}
	if tried == 0 {
		t.Error("no resource has a list")
	}
}

// nullElements makes, for each list or map of plain values that a configuration may set, an object in which that one has
// a null element and nothing else is set.
func nullElements(prefix string, attributes []*tfprotov6.SchemaAttribute) map[string]tftypes.Value {
	found := map[string]tftypes.Value{}
	for _, a := range attributes {
		if !a.Optional && !a.Required {
			continue
		}
		at := prefix + a.Name
		if a.NestedType != nil {
			for below, value := range nullElements(at+".", a.NestedType.Attributes) {
				found[below] = only(attributes, a.Name, nested(a, value))
			}
			continue
		}
		switch kind := a.ValueType().(type) {
		case tftypes.List:
			null := tftypes.NewValue(kind.ElementType, nil)
			found[at] = only(attributes, a.Name, tftypes.NewValue(kind, []tftypes.Value{null}))
		case tftypes.Map:
			null := tftypes.NewValue(kind.ElementType, nil)
			found[at] = only(attributes, a.Name, tftypes.NewValue(kind, map[string]tftypes.Value{"key": null}))
		}
	}
	return found
}

// nested puts an object where a nested attribute has its objects.
func nested(a *tfprotov6.SchemaAttribute, value tftypes.Value) tftypes.Value {
	switch kind := a.ValueType().(type) {
	case tftypes.List:
		return tftypes.NewValue(kind, []tftypes.Value{value})
	case tftypes.Map:
		return tftypes.NewValue(kind, map[string]tftypes.Value{"key": value})
	default:
		return value
	}
}

// only makes an object with one attribute that is set.
func only(attributes []*tfprotov6.SchemaAttribute, name string, value tftypes.Value) tftypes.Value {
	kinds, values := map[string]tftypes.Type{}, map[string]tftypes.Value{}
	for _, a := range attributes {
		kinds[a.Name] = a.ValueType()
		values[a.Name] = tftypes.NewValue(a.ValueType(), nil)
	}
	values[name] = value
	return tftypes.NewValue(tftypes.Object{AttributeTypes: kinds}, values)
}
