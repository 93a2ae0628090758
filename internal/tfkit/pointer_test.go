package tfkit_test

import (
	"testing"

	"github.com/hashicorp/terraform-plugin-framework/path"

	"github.com/terraform-provider-palette/terraform-provider-palette/internal/tfkit"
)

func TestPathFromPointer(t *testing.T) {
	cases := map[string]struct {
		reason  string
		pointer string
		want    path.Path
	}{
		"Empty":     {reason: "No pointer is the whole object.", want: path.Empty()},
		"Slash":     {reason: "The root pointer is the whole object.", pointer: "/", want: path.Empty()},
		"Attribute": {reason: "A name is an attribute.", pointer: "/template", want: path.Root("template")},
		"Nested": {
			reason: "A name below a name is a nested attribute.", pointer: "/control_plane_endpoint/host",
			want: path.Root("control_plane_endpoint").AtName("host"),
		},
		"ListIndex": {
			reason: "A number is an index.", pointer: "/control_plane/placements/1/networks/0",
			want: path.Root("control_plane").AtName("placements").AtListIndex(1).AtName("networks").AtListIndex(0),
		},
		"MapKey": {
			reason: "The token after a map attribute is a key.", pointer: "/worker_pools/general/placements/0/datastore",
			want: path.Root("worker_pools").AtMapKey("general").AtName("placements").AtListIndex(0).AtName("datastore"),
		},
		"NumericMapKey": {
			reason: "A map's key may look like a number.", pointer: "/worker_pools/0/count",
			want: path.Root("worker_pools").AtMapKey("0").AtName("count"),
		},
		"KeyNamedLikeMap": {
			reason: "A pool may be named like a map attribute.", pointer: "/worker_pools/labels/count",
			want: path.Root("worker_pools").AtMapKey("labels").AtName("count"),
		},
		"NestedMap": {
			reason: "Maps lie in maps, and escapes of JSON pointers are undone.", pointer: "/worker_pools/a/labels/example.com~1zone~0x",
			want: path.Root("worker_pools").AtMapKey("a").AtName("labels").AtMapKey("example.com/zone~x"),
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			if got := tfkit.PathFromPointer(tc.pointer); !got.Equal(tc.want) {
				t.Errorf("%s\nPathFromPointer(%q): want %s, got %s", tc.reason, tc.pointer, tc.want, got)
			}
		})
	}
}
