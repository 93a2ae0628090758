package testkit

import (
	"context"
	"fmt"
	"net/url"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vapi/rest"
	"github.com/vmware/govmomi/vapi/tags"
)

var tagPlans = []struct{ cluster, zone, region string }{
	{ClusterProdA, "zone-a", "region-north"},
	{ClusterProdB, "zone-b", "region-north"},
	{ClusterEdge, "", "region-north"},
	{ClusterDRA, "zone-dr", "region-south"},
}

// tag creates the zone and region tags and attaches them to the compute clusters.
func (vc *VCenter) tag() error {
	client, err := vc.login(vc.ctx)
	if err != nil {
		return err
	}
	defer client.CloseIdleConnections()
	defer func() { _ = client.Logout(context.WithoutCancel(vc.ctx)) }()
	session := rest.NewClient(client.Client)
	if err := session.Login(vc.ctx, url.UserPassword(Username, Password)); err != nil {
		return fmt.Errorf("opening a REST session: %w", err)
	}
	defer func() { _ = session.Logout(context.WithoutCancel(vc.ctx)) }()
	defer session.CloseIdleConnections()

	manager := tags.NewManager(session)
	made := map[string]string{}
	for _, category := range []string{TagCategoryZone, TagCategoryRegion} {
		id, err := manager.CreateCategory(vc.ctx, &tags.Category{
			Name: category, Cardinality: "SINGLE", AssociableTypes: []string{"ClusterComputeResource", "Datacenter", "HostSystem"},
		})
		if err != nil {
			return fmt.Errorf("creating category %s: %w", category, err)
		}
		made[category] = id
	}
	attach := func(cluster *simulator.ClusterComputeResource, category, name string) error {
		if name == "" {
			return nil
		}
		id, ok := made[category+"/"+name]
		if !ok {
			id, err = manager.CreateTag(vc.ctx, &tags.Tag{Name: name, CategoryID: made[category]})
			if err != nil {
				return fmt.Errorf("creating tag %s: %w", name, err)
			}
			made[category+"/"+name] = id
		}
		if err := manager.AttachTag(vc.ctx, id, cluster.Self); err != nil {
			return fmt.Errorf("attaching tag %s: %w", name, err)
		}
		return nil
	}
	for _, plan := range tagPlans {
		cluster, err := objectAt[*simulator.ClusterComputeResource](vc, plan.cluster)
		if err != nil {
			return err
		}
		if err := attach(cluster, TagCategoryZone, plan.zone); err != nil {
			return err
		}
		if err := attach(cluster, TagCategoryRegion, plan.region); err != nil {
			return err
		}
	}
	return nil
}
