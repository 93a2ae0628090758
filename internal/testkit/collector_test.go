package testkit

import (
	"context"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/vmware/govmomi"
	"github.com/vmware/govmomi/find"
	"github.com/vmware/govmomi/object"
	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/soap"
	"github.com/vmware/govmomi/vim25/types"
)

// watcher is a client with one filter over a view.
type watcher struct {
	t         *testing.T
	client    *govmomi.Client
	collector types.ManagedObjectReference
	version   string
}

func newWatcher(t *testing.T, client *govmomi.Client) *watcher {
	t.Helper()
	created, err := methods.CreatePropertyCollector(t.Context(), client, &types.CreatePropertyCollector{
		This: client.ServiceContent.PropertyCollector,
	})
	if err != nil {
		t.Fatal(err)
	}
	return &watcher{t: t, client: client, collector: created.Returnval}
}

func (w *watcher) list(refs ...types.ManagedObjectReference) types.ManagedObjectReference {
	w.t.Helper()
	view, err := methods.CreateListView(w.t.Context(), w.client, &types.CreateListView{
		This: *w.client.ServiceContent.ViewManager, Obj: refs,
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return view.Returnval
}

func (w *watcher) filter(paths []string, roots ...types.ManagedObjectReference) {
	w.t.Helper()
	spec := types.PropertyFilterSpec{
		ReportMissingObjectsInResults: types.NewBool(true),
		PropSet:                       []types.PropertySpec{{Type: "VirtualMachine", PathSet: paths}},
	}
	for _, root := range roots {
		selection := types.ObjectSpec{Obj: root}
		if root.Type == "ListView" || root.Type == "ContainerView" {
			selection.Skip = types.NewBool(true)
			selection.SelectSet = []types.BaseSelectionSpec{&types.TraversalSpec{Type: root.Type, Path: "view"}}
		}
		spec.ObjectSet = append(spec.ObjectSet, selection)
	}
	_, err := methods.CreateFilter(w.t.Context(), w.client, &types.CreateFilter{This: w.collector, Spec: spec})
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *watcher) call(ctx context.Context, options types.WaitOptions) (*types.UpdateSet, error) {
	answer, err := methods.WaitForUpdatesEx(ctx, w.client, &types.WaitForUpdatesEx{
		This: w.collector, Version: w.version, Options: &options,
	})
	if err != nil {
		return nil, err
	}
	if answer.Returnval != nil {
		w.version = answer.Returnval.Version
	}
	return answer.Returnval, nil
}

// next is what there is to tell now, one line for each object.
func (w *watcher) next() []string {
	w.t.Helper()
	set, err := w.call(w.t.Context(), types.WaitOptions{MaxWaitSeconds: types.NewInt32(0)})
	if err != nil {
		w.t.Fatal(err)
	}
	return lines(set)
}

func lines(set *types.UpdateSet) []string {
	var told []string
	if set == nil {
		return nil
	}
	for _, filter := range set.FilterSet {
		for _, missing := range filter.MissingSet {
			told = append(told, "missing "+missing.Obj.Value)
		}
		for _, update := range filter.ObjectSet {
			line := string(update.Kind)
			for _, change := range update.ChangeSet {
				value := change.Val
				if option, ok := value.(types.OptionValue); ok {
					value = option.Value
				}
				line += fmt.Sprintf(" %s=%v", change.Name, value)
			}
			told = append(told, line)
		}
	}
	return told
}

func bulkMachines(t *testing.T, client *govmomi.Client) []*object.VirtualMachine {
	t.Helper()
	vms, err := find.NewFinder(client.Client).VirtualMachineList(t.Context(), "/dc-north/vm/bulk/...")
	if err != nil {
		t.Fatal(err)
	}
	return vms
}

func finish(t *testing.T, task *object.Task, err error) {
	t.Helper()
	if err == nil {
		err = task.Wait(t.Context())
	}
	if err != nil {
		t.Fatal(err)
	}
}

func TestUpdatesTellTheDifference(t *testing.T) {
	vc := Start(t, Options{VMs: 3})
	client := mustDial(t, vc)
	vms := bulkMachines(t, client)
	w := newWatcher(t, client)
	list := w.list(vms[0].Reference())
	gone := types.ManagedObjectReference{Type: "VirtualMachine", Value: "vm-gone"}
	const key = `config.extraConfig["a"]`
	w.filter([]string{key}, list, gone)
	set := func(key, value string) func() {
		return func() {
			task, err := vms[0].Reconfigure(t.Context(), types.VirtualMachineConfigSpec{
				ExtraConfig: []types.BaseOptionValue{&types.OptionValue{Key: key, Value: value}},
			})
			finish(t, task, err)
		}
	}
	modify := func(add, remove []types.ManagedObjectReference) func() {
		return func() {
			_, err := methods.ModifyListView(t.Context(), client, &types.ModifyListView{This: list, Add: add, Remove: remove})
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	second := []types.ManagedObjectReference{vms[1].Reference()}
	for _, tc := range []struct {
		reason string
		do     func()
		want   []string
	}{
		{"everything at first, and what is missing", func() {}, []string{"missing vm-gone", "enter"}},
		{"nothing has changed", func() {}, nil},
		{"a watched key", set("a", "1"), []string{"modify " + key + "=1"}},
		{"the same value again", set("a", "1"), nil},
		{"a key nobody watches", set("b", "1"), nil},
		{"two changes are one", func() { set("a", "2")(); set("a", "3")() }, []string{"modify " + key + "=3"}},
		{"there and back is none", func() { set("a", "2")(); set("a", "3")() }, nil},
		{"a removed key", set("a", ""), []string{"modify " + key + "=<nil>"}},
		{"an object put on the list", modify(second, nil), []string{"enter"}},
		{"an object taken off the list", modify(nil, second), []string{"leave"}},
		{"a change of what left", func() {
			task, err := vms[1].PowerOff(t.Context())
			if err == nil {
				_ = task.Wait(t.Context()) // it may be off already
			}
		}, nil},
		{"a filter made later", func() {
			w.filter([]string{"name"}, vms[2].Reference())
		}, []string{"enter name=" + vms[2].Name()}},
		{"a destroyed VM", func() {
			if task, err := vms[2].PowerOff(t.Context()); err == nil {
				_ = task.Wait(t.Context()) // it may be off already
			}
			task, err := vms[2].Destroy(t.Context())
			finish(t, task, err)
		}, []string{"missing " + vms[2].Reference().Value, "leave"}},
	} {
		tc.do()
		if diff := cmp.Diff(tc.want, w.next()); diff != "" {
			t.Errorf("%s: -want, +got:\n%s", tc.reason, diff)
		}
	}
}

func TestUpdatesComeInPagesAndAgain(t *testing.T) {
	vc := Start(t, Options{VMs: 230})
	client := mustDial(t, vc)
	w := newWatcher(t, client)
	var refs []types.ManagedObjectReference
	for _, vm := range bulkMachines(t, client) {
		refs = append(refs, vm.Reference())
	}
	w.filter([]string{"name"}, w.list(refs...))
	seen := map[types.ManagedObjectReference]int{}
	for i, tc := range []struct {
		reason  string
		most    int32
		objects int
		more    bool
	}{
		{"no limit is vCenter's own", 0, 100, true},
		{"the client's limit", 30, 30, true},
		{"a limit above vCenter's own", 500, 100, false},
	} {
		earlier := w.version
		options := types.WaitOptions{MaxObjectUpdates: tc.most, MaxWaitSeconds: types.NewInt32(0)}
		set, err := w.call(t.Context(), options)
		if err != nil {
			t.Fatalf("%s: %v", tc.reason, err)
		}
		more := set.Truncated != nil && *set.Truncated
		got := []any{len(set.FilterSet[0].ObjectSet), more}
		if diff := cmp.Diff([]any{tc.objects, tc.more}, got); diff != "" {
			t.Errorf("%s: -want, +got:\n%s", tc.reason, diff)
		}
		for _, update := range set.FilterSet[0].ObjectSet {
			seen[update.Obj]++
		}
		if i == 0 {
			continue // without a version everything begins anew
		}
		w.version = earlier
		again, err := w.call(t.Context(), options)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(lines(set), lines(again)); diff != "" {
			t.Errorf("a lost answer, asked for again: -want, +got:\n%s", diff)
		}
	}
	if len(seen) != len(refs) {
		t.Errorf("the pages had %d objects, want %d", len(seen), len(refs))
	}
	w.version = "9000"
	_, err := w.call(t.Context(), types.WaitOptions{})
	if !soap.IsSoapFault(err) {
		t.Fatalf("a version nobody gave: %v, want a fault", err)
	}
	if _, ok := soap.ToSoapFault(err).VimFault().(types.InvalidCollectorVersion); !ok {
		t.Errorf("a version nobody gave: %v, want InvalidCollectorVersion", err)
	}
}

func TestWaitsEnd(t *testing.T) {
	for name, tc := range map[string]struct {
		reason string
		end    func(*testing.T, *VCenter, *watcher)
		want   types.AnyType
	}{
		"Cancel": {"the client cancels", func(t *testing.T, _ *VCenter, w *watcher) {
			_, err := methods.CancelWaitForUpdates(t.Context(), w.client, &types.CancelWaitForUpdates{This: w.collector})
			if err != nil {
				t.Error(err)
			}
		}, types.RequestCanceled{}},
		"Destroy": {"the collector is destroyed", func(t *testing.T, _ *VCenter, w *watcher) {
			request := &types.DestroyPropertyCollector{This: w.collector}
			_, err := methods.DestroyPropertyCollector(t.Context(), w.client, request)
			if err != nil {
				t.Error(err)
			}
		}, types.RequestCanceled{}},
		"Kill": {"the session is killed", func(_ *testing.T, vc *VCenter, _ *watcher) {
			vc.KillSessions()
		}, types.NotAuthenticated{}},
	} {
		t.Run(name, func(t *testing.T) {
			vc := Start(t, Options{})
			w := newWatcher(t, mustDial(t, vc))
			if told := w.next(); told != nil {
				t.Fatalf("a collector without filters tells %v", told)
			}
			waiting := make(chan error, 1)
			go func() {
				_, err := w.call(t.Context(), types.WaitOptions{})
				waiting <- err
			}()
			for !vc.waits.busy() {
				pauseFor(t.Context(), accumulate)
			}
			tc.end(t, vc, w)
			err := <-waiting
			if !soap.IsSoapFault(err) {
				t.Fatalf("%s: %v, want a fault", tc.reason, err)
			}
			got := fmt.Sprintf("%T", soap.ToSoapFault(err).VimFault())
			if diff := cmp.Diff(fmt.Sprintf("%T", tc.want), got); diff != "" {
				t.Errorf("%s: -want, +got:\n%s", tc.reason, diff)
			}
		})
	}
}

func (w *waits) busy() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.waiting) > 0
}
