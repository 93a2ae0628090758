package testkit

import (
	"slices"
	"sync"

	"github.com/vmware/govmomi/object"
	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/mo"
	"github.com/vmware/govmomi/vim25/soap"
	"github.com/vmware/govmomi/vim25/types"
)

// privileges are what the account lacks: without a call of RevokePrivilege it has all.
type privileges struct {
	mu      sync.Mutex
	revoked map[string][]string
}

// RevokePrivilege takes privileges of the account away on the object at an inventory path, "/" being the root, and on that
// object only. Calls are not refused for it: only the questions about privileges are answered.
func (vc *VCenter) RevokePrivilege(objectPath string, ids ...string) {
	vc.privileges.mu.Lock()
	defer vc.privileges.mu.Unlock()
	if vc.privileges.revoked == nil {
		vc.privileges.revoked = map[string][]string{}
	}
	vc.privileges.revoked[objectPath] = append(vc.privileges.revoked[objectPath], ids...)
}

// GrantPrivileges gives all back that RevokePrivilege has taken.
func (vc *VCenter) GrantPrivileges() {
	vc.privileges.mu.Lock()
	defer vc.privileges.mu.Unlock()
	vc.privileges.revoked = nil
}

func (p *privileges) lacks(objectPath string) []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.revoked[objectPath]
}

// privilegeCalls answers what the account may do.
type privilegeCalls struct {
	receiver
	vc      *VCenter
	manager *simulator.AuthorizationManager
}

func (p *privilegeCalls) all() []string {
	return slices.Clone(object.AuthorizationRoleList(p.manager.RoleList).ByName("Admin").Privilege)
}

// granted returns what a user has on an object. Only the account has anything.
func (p *privilegeCalls) granted(user string, ref types.ManagedObjectReference) ([]string, types.BaseMethodFault) {
	if _, ok := p.vc.registry().Get(ref).(mo.Entity); !ok {
		return nil, &types.ManagedObjectNotFound{Obj: ref}
	}
	if !isAccount(user) {
		return nil, nil
	}
	objectPath := or(p.vc.pathOf(&ref), "/")
	lacks := p.vc.privileges.lacks(objectPath)
	return slices.DeleteFunc(p.all(), func(id string) bool { return slices.Contains(lacks, id) }), nil
}

// isAccount knows the account in both ways that vCenter writes it.
func isAccount(user string) bool {
	return user == Username || user == `VSPHERE.LOCAL\automation`
}

// FetchUserPrivilegeOnEntities lists a user's privileges on each entity.
func (p *privilegeCalls) FetchUserPrivilegeOnEntities(req *types.FetchUserPrivilegeOnEntities) soap.HasFault {
	var results []types.UserPrivilegeResult
	for _, entity := range req.Entities {
		granted, fault := p.granted(req.UserName, entity)
		if fault != nil {
			return refused(fault)
		}
		results = append(results, types.UserPrivilegeResult{Entity: entity, Privileges: granted})
	}
	return &methods.FetchUserPrivilegeOnEntitiesBody{
		Res: &types.FetchUserPrivilegeOnEntitiesResponse{Returnval: results},
	}
}

// HasUserPrivilegeOnEntities tells for each entity and privilege whether the user has it.
func (p *privilegeCalls) HasUserPrivilegeOnEntities(req *types.HasUserPrivilegeOnEntities) soap.HasFault {
	results, fault := p.available(req.UserName, req.Entities, req.PrivId)
	if fault != nil {
		return refused(fault)
	}
	return &methods.HasUserPrivilegeOnEntitiesBody{
		Res: &types.HasUserPrivilegeOnEntitiesResponse{Returnval: results},
	}
}

// HasPrivilegeOnEntities tells the same of a session, which is always the account's.
func (p *privilegeCalls) HasPrivilegeOnEntities(req *types.HasPrivilegeOnEntities) soap.HasFault {
	results, fault := p.available(Username, req.Entity, req.PrivId)
	if fault != nil {
		return refused(fault)
	}
	return &methods.HasPrivilegeOnEntitiesBody{Res: &types.HasPrivilegeOnEntitiesResponse{Returnval: results}}
}

func (p *privilegeCalls) available(
	user string, entities []types.ManagedObjectReference, ids []string,
) ([]types.EntityPrivilege, types.BaseMethodFault) {
	known := p.all()
	var results []types.EntityPrivilege
	for _, entity := range entities {
		granted, fault := p.granted(user, entity)
		if fault != nil {
			return nil, fault
		}
		result := types.EntityPrivilege{Entity: entity}
		for _, id := range ids {
			if !slices.Contains(known, id) {
				return nil, &types.InvalidArgument{InvalidProperty: "privId"}
			}
			result.PrivAvailability = append(result.PrivAvailability, types.PrivilegeAvailability{
				PrivId: id, IsGranted: slices.Contains(granted, id),
			})
		}
		results = append(results, result)
	}
	return results, nil
}
