package testkit

// The account that logs in; no other does.
const (
	Username = "automation@vsphere.local"
	Password = "Pa55word!"
)

// The inventory. Paths below a datacenter are as vSphere prints them.
const (
	DatacenterNorth = "dc-north"
	DatacenterSouth = "dc-south"

	// ClusterProdA and ClusterProdB have three hosts each, DRS and HA on.
	ClusterProdA = "/dc-north/host/prod-a"
	ClusterProdB = "/dc-north/host/prod-b"
	// ClusterEdge has one host; DRS and HA are off.
	ClusterEdge = "/dc-north/host/edge"
	// ClusterDRA has two hosts, DRS on and HA off.
	ClusterDRA = "/dc-south/host/dr-a"

	PoolK8s   = "/dc-north/host/prod-a/Resources/k8s"
	PoolBatch = "/dc-north/host/prod-a/Resources/k8s/batch"

	// DatastoreVSAN is vSAN on all hosts of prod-a and prod-b, 20 TiB.
	DatastoreVSAN = "/dc-north/datastore/vsan-prod"
	// DatastoreNFS is NFS on all hosts of dc-north, 4 TiB.
	DatastoreNFS = "/dc-north/datastore/nfs-templates"
	// DatastorePod is a datastore cluster of DatastoreVMFSA (hosts of prod-a only) and DatastoreVMFSB (prod-a and prod-b).
	DatastorePod   = "/dc-north/datastore/vmfs-pod"
	DatastoreVMFSA = "/dc-north/datastore/vmfs-pod/vmfs-a"
	DatastoreVMFSB = "/dc-north/datastore/vmfs-pod/vmfs-b"
	// DatastoreEdge is VMFS on the host of edge only, 500 GiB.
	DatastoreEdge = "/dc-north/datastore/local-edge"
	// DatastoreDR is VMFS on all hosts of dc-south.
	DatastoreDR = "/dc-south/datastore/vmfs-dr"

	// NetworkStandard is a standard port group on every host; dc-south has one of the same name.
	NetworkStandard = "/dc-north/network/VM Network"
	SwitchNorth     = "/dc-north/network/dvs-north"
	// NetworkK8s120 and NetworkK8s121 are distributed port groups with VLAN 120 and 121.
	NetworkK8s120 = "/dc-north/network/pg-k8s-120"
	NetworkK8s121 = "/dc-north/network/pg-k8s-121"
	// NetworkTrunk is a distributed port group that carries VLANs 100-199 and 300.
	NetworkTrunk = "/dc-north/network/pg-trunk"
	// NetworkUplink is the switch's uplink port group: no VM may be on it.
	NetworkUplink = "/dc-north/network/dvs-north-uplinks"
	NetworkNSX    = "/dc-north/network/nsx-overlay-1"
	NetworkOpaque = "/dc-north/network/nsx-opaque-1"
	NetworkDR     = "/dc-south/network/VM Network"

	FolderK8s       = "/dc-north/vm/k8s"
	FolderTemplates = "/dc-north/vm/templates"
	FolderLegacy    = "/dc-north/vm/legacy/apps"

	// Template133 and Template134 have the OVF property KUBERNETES_SEMVER, the snapshot TemplateSnapshot and one disk of
	// TemplateDiskGiB on vsan-prod.
	Template133 = "/dc-north/vm/templates/ubuntu-2404-kube-v1.33.5"
	Template134 = "/dc-north/vm/templates/ubuntu-2404-kube-v1.34.1"
	// Template134NoSnapshot is like Template134, on nfs-templates and without a snapshot.
	Template134NoSnapshot = "/dc-north/vm/templates/ubuntu-2404-kube-v1.34.1-nosnap"
	// TemplateRocky tells its version, v1.32.8, only by its name.
	TemplateRocky = "/dc-north/vm/templates/rocky-9-kube-1.32.8"
	// TemplateWindows has no Kubernetes.
	TemplateWindows = "/dc-north/vm/templates/windows-2022"
	// TemplateDR is the template of dc-south, on vmfs-dr, with snapshot.
	TemplateDR = "/dc-south/vm/templates/ubuntu-2404-kube-v1.34.1"

	// VMBilling and VMWiki are running VMs that belong to nobody here.
	VMBilling = "/dc-north/vm/legacy/apps/billing-01"
	VMWiki    = "/dc-north/vm/legacy/apps/wiki"

	// AddressBilling and AddressWiki are their addresses, on NetworkStandard.
	AddressBilling = "10.10.0.11"
	AddressWiki    = "10.10.0.12"

	// TemplateSnapshot is the name of the snapshot that linked clones are made from.
	TemplateSnapshot = "base"
	// TemplateDiskGiB is the size of every template's disk but that of TemplateWindows, which has 40.
	TemplateDiskGiB = 20

	// TagCategoryZone and TagCategoryRegion are the tag categories attached to compute clusters: prod-a is in zone-a,
	// prod-b in zone-b, both and edge in region-north; dr-a is in zone-dr of region-south; edge has no zone.
	TagCategoryZone   = "k8s-zone"
	TagCategoryRegion = "k8s-region"
)
