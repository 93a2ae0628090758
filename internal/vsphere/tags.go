package vsphere

import (
	"context"
	"fmt"

	"github.com/vmware/govmomi/vapi/rest"
	"github.com/vmware/govmomi/vapi/tags"
	"github.com/vmware/govmomi/vim25/mo"
	"github.com/vmware/govmomi/vim25/types"
)

// The tag categories that say where a compute cluster stands.
const (
	zoneCategory   = "k8s-zone"
	regionCategory = "k8s-region"
)

type tagName struct{ category, name string }

// tagsOf returns, for each object, the name of its tag by category. It makes one call for all objects, and two for each
// tag the session has not seen before; tags are few, objects are many.
func (s *Session) tagsOf(
	ctx context.Context, refs []types.ManagedObjectReference,
) (map[types.ManagedObjectReference]map[string]string, error) {
	found := map[types.ManagedObjectReference]map[string]string{}
	if len(refs) == 0 {
		return found, nil
	}
	err := s.withREST(ctx, func(client *rest.Client) error {
		manager := tags.NewManager(client)
		wanted := make([]mo.Reference, len(refs))
		for i, ref := range refs {
			wanted[i] = ref
		}
		attached, err := manager.ListAttachedTagsOnObjects(ctx, wanted)
		if err != nil {
			return err
		}
		for _, object := range attached {
			byCategory := map[string]string{}
			for _, id := range object.TagIDs {
				tag, err := s.tagName(ctx, manager, id)
				if err != nil {
					return err
				}
				byCategory[tag.category] = tag.name
			}
			found[object.ObjectID.Reference()] = byCategory
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("reading tags: %w", err)
	}
	return found, nil
}

func (s *Session) tagName(ctx context.Context, manager *tags.Manager, id string) (tagName, error) {
	s.restMutex.Lock()
	known, ok := s.tagNames[id]
	s.restMutex.Unlock()
	if ok {
		return known, nil
	}
	tag, err := manager.GetTag(ctx, id)
	if err != nil {
		return tagName{}, err
	}
	category, err := manager.GetCategory(ctx, tag.CategoryID)
	if err != nil {
		return tagName{}, err
	}
	name := tagName{category: category.Name, name: tag.Name}
	s.restMutex.Lock()
	defer s.restMutex.Unlock()
	if s.tagNames == nil {
		s.tagNames = map[string]tagName{}
	}
	s.tagNames[id] = name
	return name, nil
}
