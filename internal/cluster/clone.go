package cluster

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
)

// ErrNoTemplate is returned for a clone where the template is not known.
var ErrNoTemplate = errors.New("the template is not known")

// cloneMode tells whether a machine can be, and is to be, a linked clone, and why.
func (p *planner) cloneMode(pool NamedPool, placement int) (linked bool, why string) {
	obstacles := p.linkObstacles(pool, placement)
	switch {
	case p.spec.CloneMode == CloneFull:
		return false, "as asked for"
	case len(obstacles) > 0:
		return false, strings.Join(obstacles, ", ")
	case p.spec.CloneMode == CloneLinked:
		return true, "as asked for"
	default:
		return true, "snapshot present, same disk size"
	}
}

// linkObstacles are the reasons why a machine cannot be a linked clone: it shares its template's disk, and so needs a
// snapshot of it, the same datastore, and the same size.
func (p *planner) linkObstacles(pool NamedPool, placement int) []string {
	if p.obs.Facts == nil || p.obs.Facts.Template == nil || placement < 0 {
		return []string{"the template is not known"}
	}
	template := p.obs.Facts.Template
	var obstacles []string
	switch {
	case pool.DiskGiB > template.DiskGiB:
		obstacles = append(obstacles, fmt.Sprintf("disk grows from %d to %d GiB", template.DiskGiB, pool.DiskGiB))
	case pool.DiskGiB < template.DiskGiB:
		obstacles = append(obstacles, fmt.Sprintf("disk of %d GiB differs from the template's %d GiB",
			pool.DiskGiB, template.DiskGiB))
	}
	if template.Snapshot == "" {
		obstacles = append(obstacles, "the template has no snapshot")
	}
	datastore := path.Base(pool.Placements[placement].Datastore)
	if facts := p.placementFacts(pool, placement); facts != nil && facts.DatastoreName != "" {
		datastore = facts.DatastoreName
	}
	if !slices.Contains(template.Datastores, datastore) {
		obstacles = append(obstacles, "the template is not on datastore "+datastore)
	}
	return obstacles
}

// placementFacts are the facts of a placement, or nil where unknown.
func (p *planner) placementFacts(pool NamedPool, placement int) *PlacementFacts {
	if p.obs.Facts == nil || placement < 0 || placement >= len(p.obs.Facts.Placements[pool.Name]) {
		return nil
	}
	return &p.obs.Facts.Placements[pool.Name][placement]
}

// OwnerFor is the owner record of the machine that a clone step makes. Its addresses are left to whoever leases them.
func OwnerFor(spec Spec, facts *Facts, step Step, operation string) (Owner, error) {
	if step.Action != ActClone {
		return Owner{}, fmt.Errorf("step %s of %s makes no machine", step.Action, step.Name)
	}
	if facts == nil || facts.Template == nil {
		return Owner{}, fmt.Errorf("making %s: %w", step.Name, ErrNoTemplate)
	}
	return Owner{
		Identity:          step.Identity,
		Version:           OwnerVersion,
		Operation:         operation,
		Template:          facts.Template.Path,
		KubernetesVersion: canonical(spec.KubernetesVersion),
		Placement:         step.Placement,
		Disks:             slices.Clone(facts.Template.DiskKeys),
		Bootstrap:         spec.BootstrapDigest(),
		Join:              step.Join,
		Linked:            step.Linked,
		DiskGiB:           step.DiskGiB,
	}, nil
}

// BootstrapDigest is a digest of what a machine takes up only when it is made and what can change: SSH keys and NTP
// servers. Their order has no meaning.
func (s Spec) BootstrapDigest() string {
	hash := sha256.New()
	for _, list := range [][]string{s.SSHAuthorizedKeys, s.NTPServers} {
		fmt.Fprintf(hash, "%d\n", len(list))
		for _, entry := range slices.Sorted(slices.Values(list)) {
			fmt.Fprintf(hash, "%q\n", entry)
		}
	}
	return hex.EncodeToString(hash.Sum(nil)[:16])
}
