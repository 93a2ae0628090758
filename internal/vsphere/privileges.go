package vsphere

import (
	"context"
	_ "embed"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/types"
)

// privilegesJSON is the product's published list of roles and of the objects they are assigned on; its source is noted
// inside.
//
//go:embed vsphere-privileges.json
var privilegesJSON []byte

type privilegeList struct {
	Roles       map[string][]string   `json:"roles"`
	Assignments []privilegeAssignment `json:"assignments"`
}

type privilegeAssignment struct {
	Object    string `json:"object"`
	Role      string `json:"role"`
	Propagate bool   `json:"propagate"`
}

// loadPrivileges reads the embedded list. A test reads it too, so that it cannot be broken in a release.
func loadPrivileges() (privilegeList, error) {
	var list privilegeList
	if err := json.Unmarshal(privilegesJSON, &list); err != nil {
		return privilegeList{}, fmt.Errorf("reading the list of privileges: %w", err)
	}
	return list, nil
}

// VerifyObjects are the objects on which privileges are wanted, by name or path. Empty ones are not looked at.
type VerifyObjects struct {
	Datacenter, ComputeCluster, Folder, Datastore, Network, ResourcePool, TemplatesFolder string
}

// MissingPrivilege is a privilege the session's user does not have.
type MissingPrivilege struct {
	Privilege string
	// Object is the full path of the object it is missing on; "/" is the vCenter itself.
	Object string
	// Role is the published role that has it.
	Role string
	// Propagate tells whether the role has to propagate to the object's children.
	Propagate bool
}

// MissingPrivileges compares what the session's user may do with what the published roles want on the vCenter's root and
// on the named objects: one read of the inventory, and one call for all objects.
func (s *Session) MissingPrivileges(ctx context.Context, o VerifyObjects) ([]MissingPrivilege, error) {
	list, err := loadPrivileges()
	if err != nil {
		return nil, err
	}
	t, err := s.freshTree(ctx)
	if err != nil {
		return nil, err
	}
	targets, err := s.privilegeTargets(t, o)
	if err != nil {
		return nil, err
	}
	var entities []types.ManagedObjectReference
	for _, refs := range targets {
		for _, ref := range refs {
			if !slices.Contains(entities, ref) {
				entities = append(entities, ref)
			}
		}
	}
	user, _ := s.user.Load().(string)
	response, err := methods.FetchUserPrivilegeOnEntities(ctx, s.vim, &types.FetchUserPrivilegeOnEntities{
		This: *s.content.AuthorizationManager, Entities: entities, UserName: user,
	})
	if err != nil {
		return nil, s.newFaultError("read privileges of "+user, "", err)
	}
	granted := map[types.ManagedObjectReference][]string{}
	for _, result := range response.Returnval {
		granted[result.Entity] = result.Privileges
	}
	return list.missing(targets, granted, s.describe), nil
}

func (l privilegeList) missing(
	targets map[string][]types.ManagedObjectReference, granted map[types.ManagedObjectReference][]string,
	describe func(types.ManagedObjectReference) string,
) []MissingPrivilege {
	out := []MissingPrivilege{}
	for _, assignment := range l.Assignments {
		object := assignment.Object
		if object == "target_cluster" && assignment.Role == "spectro_role" {
			object = defaultPoolTarget
		}
		for _, ref := range targets[object] {
			for _, privilege := range l.Roles[assignment.Role] {
				if !slices.Contains(granted[ref], privilege) {
					out = append(out, MissingPrivilege{
						Privilege: privilege, Object: describe(ref), Role: assignment.Role, Propagate: assignment.Propagate,
					})
				}
			}
		}
	}
	slices.SortStableFunc(out, func(a, b MissingPrivilege) int {
		return strings.Compare(a.Object+" "+a.Privilege, b.Object+" "+b.Privilege)
	})
	// Two roles may want one privilege on one object; the one that propagates covers both.
	merged := out[:0]
	for _, m := range out {
		if last := len(merged) - 1; last >= 0 && merged[last].Object == m.Object && merged[last].Privilege == m.Privilege {
			if m.Propagate && !merged[last].Propagate {
				merged[last] = m
			}
			continue
		}
		merged = append(merged, m)
	}
	return merged
}

// defaultPoolTarget stands for the compute cluster when its default resource pool is used, which is when it needs the
// larger role as well.
const defaultPoolTarget = "target_cluster with its default pool"

// privilegeTargets resolves the objects of the list's assignments.
func (s *Session) privilegeTargets(t *tree, o VerifyObjects) (map[string][]types.ManagedObjectReference, error) {
	targets := map[string][]types.ManagedObjectReference{"vcenter_root": {s.content.RootFolder}}
	var datacenter, compute *node
	var err error
	if o.Datacenter != "" {
		if datacenter, err = t.findDatacenter(o.Datacenter); err != nil {
			return nil, err
		}
		targets["target_datacenter"] = refs(datacenter)
	}
	if o.ComputeCluster != "" {
		if compute, err = pick("compute cluster", o.ComputeCluster, t.computeClusters(datacenter)); err != nil {
			return nil, err
		}
		targets["target_cluster"] = refs(compute)
		targets["esxi_hosts_of_target_cluster"] = refs(compute.hosts()...)
	}
	if err := t.poolTarget(targets, datacenter, compute, o.ResourcePool); err != nil {
		return nil, err
	}
	if o.Datastore != "" {
		datastore, err := pick("datastore", o.Datastore, within(datacenter, t.of(typeDatastore, typePod)))
		if err != nil {
			return nil, err
		}
		targets["target_datastore"] = refs(datastore)
	}
	if o.Network != "" {
		network, err := pick("network", o.Network, t.networksFor(datacenter, compute, o.Network))
		if err != nil {
			return nil, err
		}
		targets["target_network"] = refs(network)
		if owner := t.nodes[orZero(refOf(network.props, "config.distributedVirtualSwitch"))]; owner != nil {
			targets["distributed_switch"] = refs(owner)
		}
	}
	return targets, t.folderTargets(targets, datacenter, o)
}

func (t *tree) poolTarget(
	targets map[string][]types.ManagedObjectReference, datacenter, compute *node, name string,
) error {
	if isDefaultPool(name) {
		if compute != nil {
			targets[defaultPoolTarget] = refs(compute)
		}
		return nil
	}
	var pool *node
	var err error
	if compute != nil {
		pool, err = t.findPool(compute, name)
	} else {
		pool, err = pick("resource pool", name, within(datacenter, t.of(poolTypes...)))
	}
	if err != nil {
		return err
	}
	targets["target_resource_pool"] = refs(pool)
	return nil
}

func isDefaultPool(name string) bool { return name == "" || strings.EqualFold(name, "Resources") }

// folderTargets resolves the folders. A cluster's folder that does not exist yet will be made, so the privileges are
// wanted on the nearest folder that does.
func (t *tree) folderTargets(
	targets map[string][]types.ManagedObjectReference, datacenter *node, o VerifyObjects,
) error {
	if o.TemplatesFolder != "" {
		folder, err := pick("folder", o.TemplatesFolder, within(datacenter, t.vmFolders()))
		if err != nil {
			return err
		}
		targets["spectro_templates_folder"] = refs(folder)
	}
	if o.Folder == "" {
		return nil
	}
	if datacenter == nil {
		folder, err := pick("folder", o.Folder, t.vmFolders())
		if err != nil {
			return err
		}
		targets["target_vm_folder"] = refs(folder)
		return nil
	}
	for path := folderPath(datacenter, o.Folder); path != ""; path = path[:strings.LastIndex(path, "/")] {
		for _, n := range t.of(typeFolder) {
			if n.path() == path {
				targets["target_vm_folder"] = refs(n)
				return nil
			}
		}
	}
	return nil
}

func refs(nodes ...*node) []types.ManagedObjectReference {
	out := make([]types.ManagedObjectReference, len(nodes))
	for i, n := range nodes {
		out[i] = n.ref
	}
	return out
}
