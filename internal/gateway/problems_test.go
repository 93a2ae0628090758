package gateway

import (
	"strings"
	"testing"

	"github.com/terraform-provider-palette/terraform-provider-palette/internal/hubapi"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/inventory"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/vsphere"
)

func TestProblemsSayThingsOnce(t *testing.T) {
	for name, tc := range map[string]struct {
		reason string
		err    error
		once   string
	}{
		"Untrusted": {
			reason: "The presented thumbprint is what a person copies.",
			err:    &vsphere.UntrustedError{Host: "vc", Presented: []string{"AA:BB"}, Err: vsphere.ErrClosed},
			once:   "AA:BB",
		},
		"Credentials": {
			reason: "A refused password is one clear error.",
			err:    vsphere.ErrCredentials,
			once:   "refused the user name or password",
		},
		"NotFound": {
			reason: "Names like it are listed.",
			err:    &vsphere.NotFoundError{Kind: "datacenter", Name: "dc-nroth", Near: []string{"dc-north"}},
			once:   "dc-north",
		},
	} {
		t.Run(name, func(t *testing.T) {
			p := asProblem(tc.err)
			if n := strings.Count(p.Detail+p.Hint, tc.once); n != 1 {
				t.Errorf("%s It is said %d times: %s %s", tc.reason, n, p.Detail, p.Hint)
			}
		})
	}
}

func TestInventoryProblemIsOnItsAttribute(t *testing.T) {
	for name, tc := range map[string]struct {
		reason string
		query  inventory.Query
		err    error
		want   string
	}{
		"Place": {
			"The place is looked for first.",
			inventory.Query{ComputeCluster: "a", AccessibleFrom: "a"},
			&vsphere.NotFoundError{Kind: "compute cluster", Name: "a"}, "/compute_cluster",
		},
		"From": {
			"The other compute cluster has an attribute of its own.",
			inventory.Query{ComputeCluster: "b", AccessibleFrom: "a"},
			&vsphere.NotFoundError{Kind: "compute cluster", Name: "a"}, "/accessible_from",
		},
		"Ambiguous": {
			"A name that fits several is at fault as well.",
			inventory.Query{AccessibleFrom: "a"},
			&vsphere.AmbiguousError{Kind: "compute cluster", Name: "a"}, "/accessible_from",
		},
		"Datacenter": {
			"Another kind of object is another attribute.",
			inventory.Query{Datacenter: "a", AccessibleFrom: "a"},
			&vsphere.NotFoundError{Kind: "datacenter", Name: "a"}, "/datacenter",
		},
		"Others": {
			"What is wrong with the vCenter stays where it is.", inventory.Query{}, &vsphere.UnreachableError{Host: "vc"}, "/vcenter",
		},
	} {
		t.Run(name, func(t *testing.T) {
			if got := inventoryProblem(tc.query, tc.err).Field; got != tc.want {
				t.Errorf("%s want %s, got %s", tc.reason, tc.want, got)
			}
		})
	}
}

func TestVerifyProblemIsOnItsObject(t *testing.T) {
	objects := hubapi.VerifyObjects{Folder: "k8s", TemplatesFolder: "golden"}
	for name, tc := range map[string]struct {
		reason string
		err    error
		want   string
	}{
		"Datacenter": {"Each object has an attribute.", &vsphere.NotFoundError{Kind: "datacenter", Name: "dc"}, "/verify/datacenter"},
		"Words":      {"Words are parted as attributes are.", &vsphere.NotFoundError{Kind: "compute cluster", Name: "a"}, "/verify/compute_cluster"},
		"Ambiguous":  {"A name that fits several is at fault as well.", &vsphere.AmbiguousError{Kind: "datastore", Name: "a"}, "/verify/datastore"},
		"Folder":     {"Two folders are told apart by name.", &vsphere.NotFoundError{Kind: "folder", Name: "k8s"}, "/verify/folder"},
		"Templates":  {"Two folders are told apart by name.", &vsphere.NotFoundError{Kind: "folder", Name: "golden"}, "/verify/templates_folder"},
		"Others":     {"What is wrong with the vCenter stays where it is.", &vsphere.UnreachableError{Host: "vc"}, "/vcenter"},
	} {
		t.Run(name, func(t *testing.T) {
			if got := verifyProblem(objects, tc.err).Field; got != tc.want {
				t.Errorf("%s want %s, got %s", tc.reason, tc.want, got)
			}
		})
	}
}
