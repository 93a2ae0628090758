package tfkit

import (
	"reflect"
	"strconv"
	"strings"

	"github.com/hashicorp/terraform-plugin-framework/path"

	"github.com/terraform-provider-palette/terraform-provider-palette/internal/hubapi"
)

// mapAttributes are the wire names whose value is a map: the token after one of them is a key, whatever it looks like.
// They are read from the wire types, so that a new map attribute is known here without anybody's doing.
var mapAttributes = collectMapNames(
	reflect.TypeFor[hubapi.ClusterSpec](),
	reflect.TypeFor[hubapi.CloudAccountSpec](),
	reflect.TypeFor[hubapi.IPPoolSpec](),
	reflect.TypeFor[hubapi.GatewaySpec](),
)

// PathFromPointer turns a JSON pointer into a spec, such as "/worker_pools/general/placements/0/datastore", into the
// path of the attribute of the same names. An empty pointer is the whole object.
func PathFromPointer(pointer string) path.Path {
	p := path.Empty()
	inMap := false
	for token := range strings.SplitSeq(strings.TrimPrefix(pointer, "/"), "/") {
		if token == "" {
			continue
		}
		token = strings.NewReplacer("~1", "/", "~0", "~").Replace(token)
		if inMap {
			p, inMap = p.AtMapKey(token), false
			continue
		}
		if index, err := strconv.Atoi(token); err == nil && len(p.Steps()) > 0 {
			p = p.AtListIndex(index)
			continue
		}
		p = p.AtName(token)
		inMap = mapAttributes[token]
	}
	return p
}

func collectMapNames(roots ...reflect.Type) map[string]bool {
	names := map[string]bool{}
	seen := map[reflect.Type]bool{}
	var walk func(t reflect.Type)
	walk = func(t reflect.Type) {
		switch t.Kind() {
		case reflect.Pointer, reflect.Slice, reflect.Array, reflect.Map:
			walk(t.Elem())
		case reflect.Struct:
			if seen[t] {
				return
			}
			seen[t] = true
			for f := range t.Fields() {
				name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
				if f.Type.Kind() == reflect.Map {
					names[name] = true
				}
				walk(f.Type)
			}
		default:
		}
	}
	for _, root := range roots {
		walk(root)
	}
	return names
}
