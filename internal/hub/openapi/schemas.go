package openapi

import (
	"encoding/json"
	"fmt"
	"path"
	"reflect"
	"strings"
	"time"

	"github.com/terraform-provider-palette/terraform-provider-palette/internal/hubapi"
)

// schemas are those of the structs that have been met, by name.
type schemas struct {
	named object
	types map[string]reflect.Type
	err   error
}

func newSchemas() *schemas { return &schemas{named: object{}, types: map[string]reflect.Type{}} }

// values are the values of types that have few.
var values = map[reflect.Type][]any{
	reflect.TypeFor[hubapi.Role]():         {hubapi.RoleViewer, hubapi.RoleEditor, hubapi.RoleAdmin},
	reflect.TypeFor[hubapi.GatewayState](): {hubapi.GatewayPending, hubapi.GatewayOnline, hubapi.GatewayOffline},
	reflect.TypeFor[hubapi.Phase](): {
		hubapi.PhasePending, hubapi.PhaseProvisioning, hubapi.PhaseUpdating, hubapi.PhaseReady, hubapi.PhaseFailed,
		hubapi.PhaseDeleting,
	},
}

func (s *schemas) of(value any) object { return s.schema(reflect.TypeOf(value)) }

func (s *schemas) schema(t reflect.Type) object {
	switch t {
	case reflect.TypeFor[time.Time]():
		return object{"type": "string", "format": "date-time"}
	case reflect.TypeFor[[]byte]():
		return object{"type": "string", "contentEncoding": "base64"}
	case reflect.TypeFor[json.RawMessage]():
		return object{}
	}
	switch t.Kind() {
	case reflect.Pointer:
		return s.schema(t.Elem())
	case reflect.Struct:
		return s.reference(t)
	case reflect.Slice:
		return object{"type": "array", "items": s.schema(t.Elem())}
	case reflect.Map:
		return object{"type": "object", "additionalProperties": s.schema(t.Elem())}
	case reflect.String:
		if few, ok := values[t]; ok {
			return object{"type": "string", "enum": few}
		}
		return object{"type": "string"}
	case reflect.Bool:
		return object{"type": "boolean"}
	case reflect.Int, reflect.Int32, reflect.Int64, reflect.Uint, reflect.Uint32, reflect.Uint64:
		return object{"type": "integer"}
	case reflect.Float32, reflect.Float64:
		return object{"type": "number"}
	default:
		s.err = fmt.Errorf("the document knows no schema for %s", t)
		return object{}
	}
}

// reference makes sure that the struct has a schema and refers to it.
func (s *schemas) reference(t reflect.Type) object {
	name := nameOf(t)
	if other, ok := s.types[name]; !ok {
		s.types[name] = t // before its fields, which may lead back to it
		properties, required := object{}, []string{}
		s.fields(t, properties, &required)
		schema := object{"type": "object", "properties": properties}
		if len(required) > 0 {
			schema["required"] = required
		}
		s.named[name] = schema
	} else if other != t {
		s.err = fmt.Errorf("%s and %s would have the same name in the document", other, t)
	}
	return object{"$ref": "#/components/schemas/" + name}
}

// fields adds a struct's fields, and those of what is embedded in it, as encoding/json does.
func (s *schemas) fields(t reflect.Type, properties object, required *[]string) {
	for field := range t.Fields() {
		tag := field.Tag.Get("json")
		name, options, _ := strings.Cut(tag, ",")
		switch {
		case tag == "-" || (!field.IsExported() && !field.Anonymous):
			continue
		case field.Anonymous && name == "":
			s.fields(field.Type, properties, required)
			continue
		case name == "":
			name = field.Name
		}
		schema := s.schema(field.Type)
		optional := strings.Contains(options, "omitempty") || strings.Contains(options, "omitzero")
		if kind := field.Type.Kind(); !optional && schema["$ref"] == nil &&
			(kind == reflect.Slice || kind == reflect.Map || kind == reflect.Pointer) {
			schema["type"] = []any{schema["type"], "null"}
		}
		properties[name] = schema
		if !optional {
			*required = append(*required, name)
		}
	}
}

// nameOf is what the document calls a type: its name, after that of its package where that is not hubapi. A list is named
// for what it lists.
func nameOf(t reflect.Type) string {
	if _, of, ok := strings.Cut(t.Name(), "["); ok {
		if items, ok := t.FieldByName("Items"); ok {
			return nameOf(items.Type.Elem()) + "List"
		}
		return of
	}
	pkg := path.Base(t.PkgPath())
	if pkg == "hubapi" {
		return t.Name()
	}
	return strings.ToUpper(pkg[:1]) + pkg[1:] + t.Name()
}
