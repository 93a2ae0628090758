package vsphere

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/types"

	"github.com/terraform-provider-palette/terraform-provider-palette/internal/cluster"
)

// CloneRequest is one machine to be made.
type CloneRequest struct {
	// Name is the VM's name, Datacenter and Folder where it goes; the folder must exist.
	Name, Datacenter, Folder string
	// Owner is the record written into the machine. Its template is a full path, its disks are the template's.
	Owner cluster.Owner
	// Linked clones from the template's current snapshot.
	Linked                  bool
	CPU, MemoryMiB, DiskGiB int
	Node                    cluster.NodeMetadata
	// GuestInfo are further extraConfig keys with their values.
	GuestInfo  map[string]string
	Annotation string
	// Spread puts machines of different ordinals on different hosts also where DRS would choose one.
	Spread bool
	// MACs is parallel to Owner.Placement.Networks; "" is an address assigned by vCenter.
	MACs []string
}

const (
	cloneAttempts = 3
	// adoptPause is how long a machine is left alone that vCenter calls busy.
	adoptPause = time.Second
)

// errBeingMade says that whether a machine is there cannot be told yet.
var errBeingMade = errors.New("a clone begun earlier is still running")

// Clone makes a machine, powered on, and returns its moid. It is safe to repeat: (folder, name) is the lock, and a machine
// that is there already with this owner record and instance UUID is taken as made, powered on if it is off. Anything else
// under the name is a ForeignVMError. When an answer is lost, or the name is held by a clone that was begun earlier, that
// clone is waited for, however long it takes, and the machine is looked for before it is cloned again.
func (s *Session) Clone(ctx context.Context, r CloneRequest) (string, error) {
	for attempt := 1; ; attempt++ {
		moid, err := s.cloneOnce(ctx, r)
		switch {
		case err == nil:
			return moid, nil
		case attempt == cloneAttempts || ctx.Err() != nil:
			return "", err
		case Classify(err) == ClassGone:
			s.forget() // a cached reference is out of date
		case isTransport(err) || errors.Is(err, errTaskLost) || errors.Is(err, errBeingMade):
			lookErr := s.AwaitClones(ctx)
			var found *types.ManagedObjectReference
			if lookErr == nil {
				found, lookErr = s.findClone(ctx, r)
			}
			if lookErr != nil {
				return "", errors.Join(err, lookErr)
			}
			if found != nil {
				return s.adopt(ctx, r, *found)
			}
		default:
			return "", err
		}
	}
}

func (s *Session) cloneOnce(ctx context.Context, r CloneRequest) (string, error) {
	op := "clone " + r.Name
	t, err := s.inventoryTree(ctx)
	if err != nil {
		return "", err
	}
	at, err := t.resolve(r.Datacenter, r.Owner.Placement, r.Owner.Identity)
	if err != nil {
		if at, t, err = s.resolveAfresh(ctx, r.Datacenter, r.Owner); err != nil {
			return "", fmt.Errorf("%s: %w", op, err)
		}
	}
	if r.Spread && at.host == nil && at.compute.ref.Type == typeCluster {
		if at.host, err = at.chooseHost(r.Owner.Identity); err != nil {
			return "", fmt.Errorf("%s: %w", op, err)
		}
	}
	folder, err := s.findPlace(ctx, r.Datacenter, r.Folder)
	if err != nil {
		return "", err
	}
	if folder.folder == nil {
		return "", fmt.Errorf("%s: %w", op, &NotFoundError{Kind: "folder", Name: folder.path})
	}
	path := folder.path + "/" + r.Name
	from, err := s.cloneTemplate(ctx, t, r.Owner.Template)
	if err != nil {
		return "", fmt.Errorf("%s: %w", op, err)
	}
	spec, err := r.cloneSpec(at, *folder.folder, from)
	if err != nil {
		return "", fmt.Errorf("%s: %w", op, err)
	}
	result, err := s.runClone(ctx, r, &types.CloneVM_Task{
		This: from.ref, Folder: *folder.folder, Name: r.Name, Spec: *spec,
	})
	if taken, ok := isFault[*types.DuplicateName](err); ok {
		return s.adopt(ctx, r, taken.Object)
	}
	if Classify(err) == ClassPermission {
		return "", s.newFaultError(op, from.path, err) // the VM that is denied is the template: the other is not there yet
	}
	if err != nil {
		return "", s.newFaultError(op, path, err)
	}
	if ref, ok := result.(types.ManagedObjectReference); ok {
		return ref.Value, nil
	}
	return "", fmt.Errorf("%s: %w", op, errTaskLost)
}

// runClone starts the clone and waits for its task.
func (s *Session) runClone(ctx context.Context, r CloneRequest, request *types.CloneVM_Task) (any, error) {
	leave, err := s.making.enter(ctx)
	if err != nil {
		return nil, err
	}
	clone := s.making.begin(request.Folder, r.Name)
	defer s.making.end(clone)
	response, err := methods.CloneVM_Task(ctx, s.vim, request)
	leave()
	if err != nil {
		return nil, err
	}
	s.making.started(clone, response.Returnval)
	return s.updates.await(ctx, &waiting{ref: response.Returnval, ready: taskReady, early: r.isDone},
		s.updates.covered(nil, &request.Folder))
}

func (s *Session) resolveAfresh(ctx context.Context, datacenter string, owner cluster.Owner) (spot, *tree, error) {
	t, err := s.freshTree(ctx)
	if err != nil {
		return spot{}, nil, err
	}
	at, err := t.resolve(datacenter, owner.Placement, owner.Identity)
	return at, t, err
}

// isDone tells of a watched VM that it is the machine, made and running.
func (r CloneRequest) isDone(vm object) bool {
	return prop[string](vm.props, "config.instanceUuid") == r.Owner.InstanceUUID() &&
		extraValue(vm.props, cluster.OwnerKey) == r.Owner.Encode() &&
		prop[types.VirtualMachinePowerState](vm.props, "runtime.powerState") == types.VirtualMachinePowerStatePoweredOn
}

// findClone looks for the machine by its name in the folder and, should somebody have moved it, by its instance UUID.
func (s *Session) findClone(ctx context.Context, r CloneRequest) (*types.ManagedObjectReference, error) {
	at, err := s.findPlace(ctx, r.Datacenter, r.Folder)
	if err != nil {
		return nil, err
	}
	response, err := methods.FindByInventoryPath(ctx, s.vim, &types.FindByInventoryPath{
		This: *s.content.SearchIndex, InventoryPath: strings.TrimPrefix(at.path+"/"+r.Name, "/"),
	})
	if err != nil {
		return nil, s.newFaultError("look for "+r.Name, at.path, err)
	}
	if response.Returnval != nil {
		return response.Returnval, nil
	}
	refs, err := s.findByUUID(ctx, []string{r.Owner.InstanceUUID()})
	if err != nil || len(refs) == 0 {
		return nil, err
	}
	return &refs[0], nil
}
