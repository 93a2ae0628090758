package testkit

import (
	"fmt"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/google/uuid"
	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/types"
)

// building guards templates of hosts and devices that all simulators of a process share.
var building sync.Mutex

const gib = int64(1) << 30

// Every host is alike.
const (
	hostCores     = 32
	hostMHz       = 2600
	hostMemoryGiB = 256
)

type clusterPlan struct {
	path    string
	drs, ha bool
	hosts   []string
}

var clusterPlans = []clusterPlan{
	{ClusterProdA, true, true, []string{"esx-a1.north.example", "esx-a2.north.example", "esx-a3.north.example"}},
	{ClusterProdB, true, true, []string{"esx-b1.north.example", "esx-b2.north.example", "esx-b3.north.example"}},
	{ClusterEdge, false, false, []string{"esx-e1.north.example"}},
	{ClusterDRA, true, false, []string{"esx-d1.south.example", "esx-d2.south.example"}},
}

type datastorePlan struct {
	path                 string
	kind                 string
	capacityGiB, usedGiB int64
	clusters             []string
}

// usedGiB is what lies on a datastore besides the disks of the VMs in this inventory.
var datastorePlans = []datastorePlan{
	{DatastoreVSAN, "vsan", 20480, 8000, []string{ClusterProdA, ClusterProdB}},
	{DatastoreNFS, "NFS", 4096, 900, []string{ClusterProdA, ClusterProdB, ClusterEdge}},
	{DatastoreVMFSA, "VMFS", 2048, 300, []string{ClusterProdA}},
	{DatastoreVMFSB, "VMFS", 2048, 1100, []string{ClusterProdA, ClusterProdB}},
	{DatastoreEdge, "VMFS", 500, 60, []string{ClusterEdge}},
	{DatastoreDR, "VMFS", 8192, 1200, []string{ClusterDRA}},
}

// build makes the inventory by calling the simulator's own methods, in process.
func (vc *VCenter) build() error {
	vc.model = simulator.VPX()
	vc.model.Datacenter, vc.model.Autostart = 0, false
	if err := vc.create(); err != nil {
		return fmt.Errorf("creating the simulator: %w", err)
	}
	vc.registry().AddHandler(vc.tasks)
	vc.registry().AddHandler(vc.changes)
	vc.serviceInstance().Content.About.InstanceUuid = uuid.NewString()
	for _, step := range []func() error{
		vc.buildDatacenters, vc.buildClusters, vc.buildDatastores, vc.buildNetworks, vc.buildFolders,
		vc.buildMachines,
	} {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

// creating guards what all simulators of a process share: each one that is created writes its version into the one
// evaluation licence.
var creating sync.Mutex

// create starts the simulator. It assigns no licences, for that would read the shared one at any time.
func (vc *VCenter) create() error {
	creating.Lock()
	defer creating.Unlock()
	if err := vc.model.Create(); err != nil {
		return err
	}
	vc.service = vc.model.Service
	content := vc.serviceInstance().Content
	if content.LicenseManager == nil {
		return nil
	}
	licences, ok := vc.registry().Get(*content.LicenseManager).(*simulator.LicenseManager)
	if !ok || licences.LicenseAssignmentManager == nil {
		return nil
	}
	if handler, ok := vc.registry().Get(*licences.LicenseAssignmentManager).(simulator.RegisterObject); ok {
		vc.registry().RemoveHandler(handler)
	}
	return nil
}

func (vc *VCenter) buildDatacenters() error {
	root, err := objectAt[*simulator.Folder](vc, "/")
	if err != nil {
		return err
	}
	for _, name := range []string{DatacenterNorth, DatacenterSouth} {
		if _, err := vc.outcome(root.CreateDatacenter(vc.context(), &types.CreateDatacenter{Name: name})); err != nil {
			return fmt.Errorf("creating datacenter %s: %w", name, err)
		}
	}
	return nil
}

func (vc *VCenter) buildClusters() error {
	for _, plan := range clusterPlans {
		folder, err := objectAt[*simulator.Folder](vc, path.Dir(plan.path))
		if err != nil {
			return err
		}
		if _, err := vc.outcome(folder.CreateClusterEx(vc.context(), &types.CreateClusterEx{Name: path.Base(plan.path)})); err != nil {
			return fmt.Errorf("creating %s: %w", plan.path, err)
		}
		cluster, err := objectAt[*simulator.ClusterComputeResource](vc, plan.path)
		if err != nil {
			return err
		}
		if config, ok := cluster.ConfigurationEx.(*types.ClusterConfigInfoEx); ok {
			config.DrsConfig.Enabled = types.NewBool(plan.drs)
			config.DrsConfig.DefaultVmBehavior = types.DrsBehaviorFullyAutomated
			config.DasConfig.Enabled = types.NewBool(plan.ha)
		}
		for _, name := range plan.hosts {
			if err := vc.addHost(cluster, name); err != nil {
				return err
			}
		}
		summarize(cluster)
	}
	for _, pool := range []string{PoolK8s, PoolBatch} {
		parent, err := objectAt[*simulator.ResourcePool](vc, path.Dir(pool))
		if err != nil {
			return err
		}
		spec := types.DefaultResourceConfigSpec()
		request := &types.CreateResourcePool{This: parent.Self, Name: path.Base(pool), Spec: spec}
		if _, err := vc.outcome(parent.CreateResourcePool(vc.context(), request)); err != nil {
			return fmt.Errorf("creating %s: %w", pool, err)
		}
	}
	return nil
}

func (vc *VCenter) addHost(cluster *simulator.ClusterComputeResource, name string) error {
	request := &types.AddHost_Task{
		This: cluster.Self, Spec: types.HostConnectSpec{HostName: name}, AsConnected: true,
	}
	building.Lock()
	defer building.Unlock()
	result, err := vc.outcome(cluster.AddHostTask(vc.context(), request))
	if err != nil {
		return fmt.Errorf("adding host %s: %w", name, err)
	}
	ref, _ := result.(types.ManagedObjectReference)
	host, ok := vc.registry().Get(ref).(*simulator.HostSystem)
	if !ok {
		return fmt.Errorf("adding host %s: %v is no host", name, result)
	}
	host.Summary.Hardware.NumCpuCores = hostCores
	host.Summary.Hardware.NumCpuThreads = 2 * hostCores
	host.Summary.Hardware.CpuMhz = hostMHz
	host.Summary.Hardware.MemorySize = hostMemoryGiB * gib
	return nil
}

func summarize(cluster *simulator.ClusterComputeResource) {
	hosts := len(cluster.Host)
	summary := cluster.Summary.GetComputeResourceSummary()
	summary.NumHosts, summary.NumEffectiveHosts = int32(hosts), int32(hosts)
	summary.NumCpuCores = int16(hosts * hostCores)
	summary.NumCpuThreads = int16(2 * hosts * hostCores)
	summary.TotalCpu = int32(hosts * hostCores * hostMHz)
	summary.EffectiveCpu = summary.TotalCpu
	summary.TotalMemory = int64(hosts) * hostMemoryGiB * gib
	// The effective memory is in MiB, the total in bytes: so says the API.
	summary.EffectiveMemory = int64(hosts) * hostMemoryGiB * 1024
}

func (vc *VCenter) buildDatastores() error {
	var pod []types.ManagedObjectReference
	for _, plan := range datastorePlans {
		datastore, err := vc.addDatastore(plan)
		if err != nil {
			return fmt.Errorf("creating datastore %s: %w", plan.path, err)
		}
		if path.Dir(plan.path) == DatastorePod {
			pod = append(pod, datastore.Self)
		}
	}
	folder, err := objectAt[*simulator.Folder](vc, path.Dir(DatastorePod))
	if err != nil {
		return err
	}
	if _, err := vc.outcome(folder.CreateStoragePod(vc.context(), &types.CreateStoragePod{Name: path.Base(DatastorePod)})); err != nil {
		return fmt.Errorf("creating %s: %w", DatastorePod, err)
	}
	storage, err := objectAt[*simulator.StoragePod](vc, DatastorePod)
	if err != nil {
		return err
	}
	// All at once: each further move would list the earlier ones again.
	if _, err := vc.outcome(storage.MoveIntoFolderTask(vc.context(), &types.MoveIntoFolder_Task{List: pod})); err != nil {
		return fmt.Errorf("moving datastores into %s: %w", DatastorePod, err)
	}
	vc.accountSpace()
	return nil
}

func (vc *VCenter) addDatastore(plan datastorePlan) (*simulator.Datastore, error) {
	home, err := vc.home()
	if err != nil {
		return nil, err
	}
	name := path.Base(plan.path)
	dir := filepath.Join(home, name)
	if err := os.Mkdir(dir, 0o700); err != nil {
		return nil, fmt.Errorf("making its directory: %w", err)
	}
	for _, clusterPath := range plan.clusters {
		cluster, err := objectAt[*simulator.ClusterComputeResource](vc, clusterPath)
		if err != nil {
			return nil, err
		}
		for _, ref := range cluster.Host {
			host, _ := vc.registry().Get(ref).(*simulator.HostSystem)
			system, _ := vc.registry().Get(*host.ConfigManager.DatastoreSystem).(*simulator.HostDatastoreSystem)
			request := &types.CreateLocalDatastore{This: system.Self, Name: name, Path: dir}
			if _, err := vc.outcome(system.CreateLocalDatastore(vc.context(), request)); err != nil {
				return nil, fmt.Errorf("mounting it on %s: %w", host.Name, err)
			}
		}
	}
	folder, err := objectAt[*simulator.Folder](vc, "/"+strings.Split(plan.path, "/")[1]+"/datastore")
	if err != nil {
		return nil, err
	}
	datastore, ok := vc.registry().FindByName(name, folder.ChildEntity).(*simulator.Datastore)
	if !ok {
		return nil, fmt.Errorf("%w: %s", errNotFound, name)
	}
	datastore.Summary.Type = plan.kind
	datastore.Summary.Capacity = plan.capacityGiB * gib
	datastore.Summary.MultipleHostAccess = types.NewBool(len(datastore.Host) > 1)
	datastore.Info = datastoreInfo(plan.kind, *datastore.Info.GetDatastoreInfo())
	return datastore, nil
}

func datastoreInfo(kind string, info types.DatastoreInfo) types.BaseDatastoreInfo {
	switch kind {
	case "vsan":
		return &types.VsanDatastoreInfo{DatastoreInfo: info, MembershipUuid: uuid.NewString()}
	case "NFS":
		return &types.NasDatastoreInfo{DatastoreInfo: info, Nas: &types.HostNasVolume{
			HostFileSystemVolume: types.HostFileSystemVolume{Type: kind, Name: info.Name},
			RemoteHost:           "nfs.north.example", RemotePath: "/export/" + info.Name,
		}}
	default:
		return &types.VmfsDatastoreInfo{DatastoreInfo: info, Vmfs: &types.HostVmfsVolume{
			HostFileSystemVolume: types.HostFileSystemVolume{Type: kind, Name: info.Name},
			Uuid:                 uuid.NewString(), MajorVersion: 6, Version: "6.82",
		}}
	}
}

// home is the directory of the datastores.
func (vc *VCenter) home() (string, error) {
	for _, option := range vc.registry().OptionManager().Setting {
		if value := option.GetOptionValue(); value.Key == "vcsim.home" {
			if home, ok := value.Value.(string); ok {
				return home, nil
			}
		}
	}
	return "", fmt.Errorf("%w: the simulator's home directory", errNotFound)
}

func (vc *VCenter) buildFolders() error {
	for _, folder := range []string{
		FolderK8s, FolderTemplates, path.Dir(FolderLegacy), FolderLegacy, path.Dir(TemplateDR),
	} {
		if _, err := vc.makeFolder(folder); err != nil {
			return err
		}
	}
	return nil
}

func (vc *VCenter) makeFolder(folderPath string) (*simulator.Folder, error) {
	parent, err := objectAt[*simulator.Folder](vc, path.Dir(folderPath))
	if err != nil {
		return nil, err
	}
	if _, err := vc.outcome(parent.CreateFolder(vc.context(), &types.CreateFolder{Name: path.Base(folderPath)})); err != nil {
		return nil, fmt.Errorf("creating folder %s: %w", folderPath, err)
	}
	return objectAt[*simulator.Folder](vc, folderPath)
}

// accountSpace sets the free space of every datastore and datastore cluster from what lies on them. Linked clones take
// next to nothing.
func (vc *VCenter) accountSpace() {
	used := map[string]int64{}
	for _, plan := range datastorePlans {
		used[path.Base(plan.path)] = plan.usedGiB * gib
	}
	for _, entity := range vc.registry().All("VirtualMachine") {
		vm, ok := entity.(*simulator.VirtualMachine)
		if !ok {
			continue
		}
		for _, disk := range disksOf(vm) {
			if backing, ok := disk.Backing.(*types.VirtualDiskFlatVer2BackingInfo); ok && backing.Parent == nil {
				used[datastoreOf(backing.FileName)] += disk.CapacityInBytes
			}
		}
	}
	ctx := vc.context()
	for _, entity := range vc.registry().All("Datastore") {
		datastore, ok := entity.(*simulator.Datastore)
		if !ok {
			continue
		}
		ctx.WithLock(datastore, func() {
			datastore.Summary.FreeSpace = datastore.Summary.Capacity - used[datastore.Name]
			datastore.Info.GetDatastoreInfo().FreeSpace = datastore.Summary.FreeSpace
		})
	}
	for _, entity := range vc.registry().All("StoragePod") {
		pod, ok := entity.(*simulator.StoragePod)
		if !ok {
			continue
		}
		capacity, free := int64(0), int64(0)
		for _, ref := range pod.ChildEntity {
			if datastore, ok := vc.registry().Get(ref).(*simulator.Datastore); ok {
				capacity += datastore.Summary.Capacity
				free += datastore.Summary.FreeSpace
			}
		}
		ctx.WithLock(pod, func() {
			pod.Summary.Name, pod.Summary.Capacity, pod.Summary.FreeSpace = pod.Name, capacity, free
		})
	}
}

// mounts tells whether a host has a datastore.
func mounts(host *simulator.HostSystem, datastore types.ManagedObjectReference) bool {
	return slices.Contains(host.Datastore, datastore)
}
