package embedded_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/terraform-provider-palette/terraform-provider-palette/internal/embedded"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/hubapi"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/testkit"
)

// jobVariable names the file with the job of a child process: this test binary run once more as the engine, to be killed.
const jobVariable = "PALETTE_TEST_JOB"

// clusterName is the name of the cluster that all jobs are about.
const clusterName = "crash"

// job is what a child process does: create, write or delete the cluster, and wait until that is done.
type job struct {
	DataDir string             `json:"data_dir"`
	Create  bool               `json:"create"`
	Delete  bool               `json:"delete"`
	Spec    hubapi.ClusterSpec `json:"spec"`
}

func TestMain(m *testing.M) {
	if path := os.Getenv(jobVariable); path != "" {
		if err := runJob(path); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func runJob(path string) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	var j job
	if err := json.Unmarshal(text, &j); err != nil {
		return err
	}
	hub := embedded.New("test", slog.New(slog.DiscardHandler), embedded.WithPace(20*time.Millisecond))
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	return errors.Join(j.run(ctx, hub), hub.Close(ctx))
}

func (j job) run(ctx context.Context, hub *embedded.Hub) error {
	client, err := clientOf(hub, j.DataDir)
	if err != nil {
		return err
	}
	id := uuid.NewString() // a create that lost its answer comes back with another id
	if !j.Create {
		found, err := client.ClusterByName(ctx, clusterName)
		if errors.Is(err, hubapi.ErrNotFound) && j.Delete {
			return nil
		}
		if err != nil {
			return err
		}
		id = found.ID
	}
	if j.Delete {
		if err := client.DeleteCluster(ctx, id); err != nil {
			return err
		}
		return await(ctx, client, id, 0)
	}
	written, err := client.PutCluster(ctx, id, hubapi.ClusterWrite{Spec: j.Spec}, hubapi.WriteOptions{Create: j.Create})
	if err != nil {
		return err
	}
	return await(ctx, client, written.ID, written.Generation)
}

// await waits until the gateway is through with a generation, or, for 0, until the cluster is gone.
func await(ctx context.Context, client *hubapi.Client, id string, generation int64) error {
	var failed error
	err := client.WatchCluster(ctx, id, 0, func(e hubapi.Event) error {
		if e.Gone {
			return hubapi.ErrStop
		}
		if generation > 0 && e.ObservedGeneration >= generation || generation == 0 && e.Phase == hubapi.PhaseFailed {
			if e.Phase == hubapi.PhaseFailed {
				failed = errors.New(e.Message)
			}
			return hubapi.ErrStop
		}
		return nil
	})
	if errors.Is(err, hubapi.ErrNotFound) && generation == 0 {
		return nil
	}
	return errors.Join(err, failed)
}

func clientOf(hub *embedded.Hub, dataDir string) (*hubapi.Client, error) {
	transport, err := hub.Transport(dataDir)
	if err != nil {
		return nil, err
	}
	return hubapi.NewClient(hubapi.Config{Endpoint: "http://hub", Project: "default", Transport: transport})
}

// crashWorld is a vCenter and a data directory in which engines are killed again and again.
type crashWorld struct {
	t       *testing.T
	vcenter *testkit.VCenter
	dataDir string
	account string
	pool    string
	foreign []string
	killed  atomic.Bool
	method  atomic.Pointer[string] // of the call at which the engine was killed last
}

func newCrashWorld(t *testing.T, options testkit.Options) *crashWorld {
	t.Helper()
	w := &crashWorld{t: t, vcenter: testkit.Start(t, options), dataDir: filepath.Join(t.TempDir(), "data")}
	hub := embedded.New("test", slog.New(slog.DiscardHandler), embedded.WithPace(20*time.Millisecond))
	client, err := clientOf(hub, w.dataDir)
	if err != nil {
		t.Fatal(err)
	}
	w.account, w.pool = setUp(t, client, w.vcenter)
	if err := hub.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.foreign = w.vcenter.VMs()
	return w
}

// setUp makes a cloud account and an address pool.
func setUp(t *testing.T, client *hubapi.Client, vcenter *testkit.VCenter) (account, pool string) {
	t.Helper()
	gateway, err := client.Gateway(t.Context(), hubapi.SystemGatewayID)
	if err != nil {
		t.Fatal(err)
	}
	account, pool = uuid.NewString(), uuid.NewString()
	spec := hubapi.CloudAccountSpec{
		GatewayID: gateway.ID, VCenter: vcenter.Host(), Username: vcenter.Username(),
		Trust: hubapi.Trust{CACertificate: vcenter.CACertificate()},
	}
	sealed, _, err := client.SealPassword(t.Context(), account, spec, "", vcenter.Password())
	if err != nil {
		t.Fatal(err)
	}
	_, err = client.PutCloudAccount(t.Context(), account,
		hubapi.CloudAccountWrite{Name: "lab", Spec: spec, SealedPassword: sealed}, hubapi.WriteOptions{Create: true})
	if err != nil {
		t.Fatal(err)
	}
	_, err = client.PutIPPool(t.Context(), pool, hubapi.IPPoolWrite{Name: "nodes", Spec: hubapi.IPPoolSpec{
		GatewayID: gateway.ID, Subnet: "10.20.0.0/22", Gateway: "10.20.0.1", Prefix: 22,
		NameServers: []string{"10.20.0.2"}, Excluded: []string{"10.20.3.200"}, CooldownSeconds: 0,
	}}, hubapi.WriteOptions{Create: true})
	if err != nil {
		t.Fatal(err)
	}
	return account, pool
}

func (w *crashWorld) spec(workers int) hubapi.ClusterSpec {
	pool := hubapi.Pool{
		Count: 1, CPU: 2, MemoryMiB: 4096, DiskGiB: 20,
		Placements: []hubapi.Placement{{
			ComputeCluster: "prod-a", Datastore: "vsan-prod", Networks: []string{"pg-k8s-120"}, IPPoolID: w.pool,
		}},
		UpdateStrategy: hubapi.UpdateStrategy{MaxSurge: 1},
	}
	general := pool
	general.Count = workers
	return hubapi.ClusterSpec{
		Name: clusterName, CloudAccountID: w.account, KubernetesVersion: "v1.34.1",
		Datacenter: "dc-north", Folder: "k8s/crash", Template: "ubuntu-2404-kube-v1.34.1", CloneMode: "auto",
		Endpoint:     hubapi.Endpoint{Host: "10.20.3.200", Port: 6443},
		Network:      hubapi.ClusterNetwork{PodCIDR: "192.168.0.0/16", ServiceCIDR: "10.96.0.0/12", DNSDomain: "cluster.local"},
		ControlPlane: pool, WorkerPools: map[string]hubapi.Pool{"general": general},
	}
}

// point is where an engine is killed: at the n-th call, or the first one of a method, before vCenter hears of it or after
// it has done it.
type point struct {
	n      int
	method string
	after  bool
}

func (p point) String() string {
	if p.after {
		return fmt.Sprintf("after call %d", p.n)
	}
	return fmt.Sprintf("before call %d", p.n)
}

var errKilled = errors.New("the engine was killed")

func changesWorld(method string) bool {
	return strings.HasSuffix(method, "_Task") || method == "CreateFolder"
}

// run runs a job in a process of its own. With a point the process is killed there; it tells whether it came so far.
func (w *crashWorld) run(j job, at *point) (killed bool) {
	w.t.Helper()
	j.DataDir = w.dataDir
	text, err := json.Marshal(j)
	if err != nil {
		w.t.Fatal(err)
	}
	file := filepath.Join(w.t.TempDir(), "job.json")
	if err := os.WriteFile(file, text, 0o600); err != nil {
		w.t.Fatal(err)
	}
	child := exec.CommandContext(w.t.Context(), os.Args[0])
	child.Env = append(os.Environ(), jobVariable+"="+file)
	var out strings.Builder
	child.Stdout, child.Stderr = &out, &out
	started := make(chan struct{})
	w.arm(func() {
		<-started
		_ = child.Process.Kill() // SIGKILL: the engine does nothing any more
	}, at)
	if err := child.Start(); err != nil {
		w.t.Fatal(err)
	}
	close(started)
	err = child.Wait()
	w.vcenter.OnCall(nil)
	w.vcenter.AfterCall(nil)
	if w.killed.Load() {
		return true
	}
	if err != nil {
		w.t.Fatalf("job %+v: %v\n%s", j, err, out.String())
	}
	return false
}

// arm has the engine killed when its n-th call comes.
func (w *crashWorld) arm(kill func(), at *point) {
	w.killed.Store(false)
	w.vcenter.ResetCalls()
	if at == nil {
		return
	}
	hook := func(method string, n int) error {
		if (n == at.n || method == at.method) && w.killed.CompareAndSwap(false, true) {
			w.method.Store(&method)
			kill()
		}
		if w.killed.Load() {
			return errKilled
		}
		return nil
	}
	if at.after {
		w.vcenter.AfterCall(hook)
	} else {
		w.vcenter.OnCall(hook)
	}
}

// generation is what a replacement's name has besides the slot it fills.
var generation = regexp.MustCompile(`-r\d+$`)

// verify asserts what must be true after every crash: exactly one machine in each slot of the spec, nothing else touched.
func (w *crashWorld) verify(reason string, slots ...string) {
	w.t.Helper()
	var found []string
	for _, path := range w.vcenter.VMs() {
		if !slices.Contains(w.foreign, path) {
			found = append(found, path[strings.LastIndexByte(path, '/')+1:])
		}
	}
	slices.Sort(found)
	if diff := cmp.Diff(slots, slotsOf(found)); diff != "" {
		w.t.Fatalf("%s: machines (-want +got):\n%s", reason, diff)
	}
	for _, path := range w.foreign {
		if !slices.Contains(w.vcenter.VMs(), path) {
			w.t.Fatalf("%s: foreign VM %s is gone", reason, path)
		}
	}
	if violations := w.vcenter.Violations(); len(violations) > 0 {
		w.t.Fatalf("%s: %s", reason, strings.Join(violations, "\n"))
	}
	w.verifyRecords(reason, found)
}

func slotsOf(machines []string) []string {
	var slots []string
	for _, name := range machines {
		slots = append(slots, generation.ReplaceAllString(name, ""))
	}
	slices.Sort(slots)
	return slots
}

// verifyRecords asserts that the hub says the same, and that exactly the machines hold addresses.
func (w *crashWorld) verifyRecords(reason string, machines []string) {
	w.t.Helper()
	hub := embedded.New("test", slog.New(slog.DiscardHandler), embedded.WithPace(20*time.Millisecond))
	client, err := clientOf(hub, w.dataDir)
	if err != nil {
		w.t.Fatal(err)
	}
	defer func() {
		if err := hub.Close(context.WithoutCancel(w.t.Context())); err != nil {
			w.t.Error(err)
		}
	}()
	pool, err := client.IPPool(w.t.Context(), w.pool)
	if err != nil {
		w.t.Fatal(err)
	}
	holders := map[string]bool{}
	for _, lease := range pool.Status.Leases {
		if lease.ReleasedAt == nil {
			holders[lease.Machine] = true
		}
	}
	if diff := cmp.Diff(machines, slices.Sorted(maps.Keys(holders))); diff != "" || pool.Status.Used != len(machines) {
		w.t.Fatalf("%s: leases (-want +got), %d used:\n%s\n%s", reason, pool.Status.Used, diff, w.story(client))
	}
	if len(machines) == 0 {
		return
	}
	found, err := client.ClusterByName(w.t.Context(), clusterName)
	if err != nil {
		w.t.Fatal(err)
	}
	if !found.Status.Ready || found.ObservedGeneration != found.Generation {
		w.t.Fatalf("%s: the cluster is not ready: %+v", reason, found.Status)
	}
}

// story is what happened to the cluster of late.
func (w *crashWorld) story(client *hubapi.Client) string {
	found, err := client.ClusterByName(w.t.Context(), clusterName)
	if err != nil {
		return err.Error()
	}
	var lines []string
	ctx, cancel := context.WithTimeout(w.t.Context(), time.Second)
	defer cancel()
	_ = client.WatchCluster(ctx, found.ID, 0, func(e hubapi.Event) error { // ends with the context
		lines = append(lines, fmt.Sprintf("%s g%d/%d %s %s: %s",
			e.Time.Format(time.StampMilli), e.ObservedGeneration, e.Generation, e.Phase, e.Machine, e.Message))
		return nil
	})
	return strings.Join(lines[max(0, len(lines)-40):], "\n")
}

// matrix kills the engine at every call of a job, has it run again, and looks at what became of it. reset brings the
// world back to where the job starts.
func (w *crashWorld) matrix(name string, next func() job, slots []string, reset func()) {
	w.t.Helper()
	points := 0
	for n := 1; ; n++ {
		reached := false
		for _, afterwards := range []bool{false, true} {
			// Nothing has happened after a read: it is the moment before the next call.
			if afterwards && !changesWorld(*w.method.Load()) {
				continue
			}
			at := point{n: n, after: afterwards}
			j := next()
			if !w.run(j, &at) {
				break
			}
			reached = true
			points++
			w.run(j, nil)
			w.verify(name+" killed "+at.String(), slots...)
			reset()
		}
		if !reached {
			break
		}
	}
	w.t.Logf("%s: killed at %d points", name, points)
	if points < 10 {
		w.t.Errorf("%s: only %d points: the matrix does not see the engine's calls", name, points)
	}
}
