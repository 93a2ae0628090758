package vsphere

import (
	"context"
	"strings"
)

// MissingFolders returns the full paths of the parts of a folder's path below a datacenter's vm folder that do not exist,
// outermost first: what CreateFolder would make.
func (s *Session) MissingFolders(ctx context.Context, datacenter, folder string) ([]string, error) {
	t, err := s.freshTree(ctx)
	if err != nil {
		return nil, err
	}
	found, err := t.findDatacenter(datacenter)
	if err != nil {
		return nil, err
	}
	parent := t.nodes[orZero(refOf(found.props, "vmFolder"))]
	if parent == nil {
		return nil, &NotFoundError{Kind: "folder", Name: folderPath(found, "")}
	}
	var missing []string
	path := parent.path()
	rest := strings.TrimPrefix(folderPath(found, folder), path)
	for name := range strings.SplitSeq(strings.Trim(rest, "/"), "/") {
		if name == "" {
			continue
		}
		path += "/" + name
		if parent != nil {
			parent = t.childFolder(parent, name)
		}
		if parent == nil {
			missing = append(missing, path)
		}
	}
	return missing, nil
}
