package inventory

import (
	"github.com/hashicorp/terraform-plugin-framework/datasource"

	"github.com/terraform-provider-palette/terraform-provider-palette/internal/hubapi"
)

// NewFolders returns the data source palette_folders.
func NewFolders() datasource.DataSource {
	return &DataSource{kind: kind{
		kind: hubapi.KindFolders,
		list: "folders",
		description: "The folders for virtual machines of a vCenter, read in one call through the cloud account's " +
			"gateway. Folders of hosts, datastores and networks are left out.",
		listDescription: "Folders that fit.",
		item:            withObject(nil),
		new:             func() data { return &foldersModel{} },
	}}
}

type foldersModel struct {
	scope
	Folders []object `tfsdk:"folders"`
}

func (m *foldersModel) fill(objects *hubapi.Inventory) {
	names := m.names()
	of := func(f hubapi.Folder) hubapi.InventoryObject { return f.Object }
	m.Folders = choose(objects.Folders, of,
		func(f hubapi.Folder) bool { return names.passes(f.Name) },
		func(f hubapi.Folder) object { return newObject(f.Object) })
}
