package bootstrap_test

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"errors"
	"flag"
	"io"
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/yaml"

	"github.com/terraform-provider-palette/terraform-provider-palette/internal/bootstrap"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/cluster"
)

var update = flag.Bool("update", false, "write golden files instead of comparing with them")

// payload is a decoded payload.
type payload struct {
	values   map[string]string
	metaText []byte
	userText []byte
	meta     initMetadata
	user     initUserdata
}

// decode reads a payload as a guest does, and refuses what a guest would refuse.
func decode(t testing.TB, m bootstrap.Machine) payload {
	t.Helper()
	values, err := bootstrap.Payload(m, fixedSecrets(t))
	if err != nil {
		t.Fatal(err)
	}
	p := payload{values: values}
	if got := values[bootstrap.MetadataEncodingKey]; got != "base64" {
		t.Fatalf("metadata is encoded as %q; the vSphere cloud provider reads base64 only", got)
	}
	p.metaText = unbase64(t, values[bootstrap.MetadataKey])
	if got := values[bootstrap.UserdataEncodingKey]; got != "gzip+base64" {
		t.Fatalf("user data is encoded as %q", got)
	}
	r, err := gzip.NewReader(bytes.NewReader(unbase64(t, values[bootstrap.UserdataKey])))
	if err != nil {
		t.Fatal(err)
	}
	if p.userText, err = io.ReadAll(r); err != nil {
		t.Fatal(err)
	}
	strictly(t, p.metaText, &p.meta)
	if !bytes.HasPrefix(p.userText, []byte("#cloud-config\n")) {
		t.Fatal("user data does not say that it is cloud-config")
	}
	strictly(t, p.userText, &p.user)
	return p
}

func unbase64(t testing.TB, text string) []byte {
	t.Helper()
	data, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func strictly(t testing.TB, data []byte, into any) {
	t.Helper()
	if err := yaml.UnmarshalStrict(data, into); err != nil {
		t.Fatalf("%T: %v", into, err)
	}
}

// files are the contents of a payload's files by path.
func (p payload) files() map[string]string {
	files := map[string]string{}
	for _, f := range p.user.WriteFiles {
		files[f.Path] = f.Content
	}
	return files
}

func TestPayloadKeys(t *testing.T) {
	kinds(t, func(t *testing.T, m bootstrap.Machine) {
		got := slices.Sorted(maps.Keys(decode(t, m).values))
		want := []string{
			"guestinfo.metadata", "guestinfo.metadata.encoding", "guestinfo.userdata", "guestinfo.userdata.encoding",
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
	})
}

func TestPayloadSize(t *testing.T) {
	const bound = 10 << 10 // a regression bound well under the 16 KiB a payload may need without surprise
	kinds(t, func(t *testing.T, m bootstrap.Machine) {
		if size := len(decode(t, m).values[bootstrap.UserdataKey]); size > bound {
			t.Errorf("user data has %d bytes", size)
		}
	})
}

func TestPayloadIsDeterministic(t *testing.T) {
	kinds(t, func(t *testing.T, m bootstrap.Machine) {
		labels := map[string]string{}
		for _, c := range "abcdefghijkl" {
			labels["label-"+string(c)] = "x"
		}
		m.Node.Labels = labels
		first := decode(t, m).values
		for range 5 {
			m.Node.Labels = maps.Clone(labels)
			if diff := cmp.Diff(first, decode(t, m).values); diff != "" {
				t.Fatal(diff)
			}
		}
	})
}

// wantFiles are the files of a machine and their permissions.
func wantFiles(t *testing.T, m bootstrap.Machine) map[string]string {
	t.Helper()
	want := map[string]string{"/usr/local/bin/palette-bootstrap": "0755", "/run/palette/kubeadm.yaml": "0600"}
	if m.Join == cluster.JoinWorker {
		return want
	}
	for _, name := range []string{"ca", "etcd/ca", "front-proxy-ca"} {
		want["/etc/kubernetes/pki/"+name+".crt"] = "0644"
		want["/etc/kubernetes/pki/"+name+".key"] = "0600"
	}
	want["/etc/kubernetes/pki/sa.key"] = "0600"
	want["/etc/kubernetes/pki/sa.pub"] = "0644"
	if _, err := netip.ParseAddr(m.Endpoint.Host); err != nil {
		return want // a load balancer holds the endpoint
	}
	want["/etc/palette/kube-vip.hosts"] = "0644"
	want["/etc/kubernetes/manifests/kube-vip.yaml"] = "0600"
	if m.Join == cluster.JoinInit {
		want["/etc/palette/kube-vip.yaml"] = "0600"
	}
	return want
}

func TestPayloadFiles(t *testing.T) {
	kinds(t, func(t *testing.T, m bootstrap.Machine) {
		got := map[string]string{}
		for _, f := range decode(t, m).user.WriteFiles {
			if f.Owner != "root:root" {
				t.Errorf("%s belongs to %s", f.Path, f.Owner)
			}
			got[f.Path] = f.Permissions
		}
		if diff := cmp.Diff(wantFiles(t, m), got); diff != "" {
			t.Error(diff)
		}
	})
}

func TestPayloadUserdata(t *testing.T) {
	kinds(t, func(t *testing.T, m bootstrap.Machine) {
		got := decode(t, m).user
		got.WriteFiles = nil
		var want initUserdata
		want.ManageEtcHosts, want.Users = "localhost", []string{"default"}
		want.SSHAuthorizedKeys = m.SSHAuthorizedKeys
		want.NTP.Enabled, want.NTP.Servers = true, m.NTPServers
		port := map[string]string{"10.0.0.10": "6443", "fd00::10": "8443", "api.prod.example.net": "443"}[m.Endpoint.Host]
		want.RunCmd = [][]string{
			{"/usr/local/bin/palette-bootstrap", string(m.Join), m.KubernetesVersion, m.Endpoint.Host, port},
		}
		want.BootCmd = got.BootCmd
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
		boot := strings.Join(got.BootCmd[0], " ")
		if !strings.Contains(boot, cluster.ProgressKey+" ") || !strings.Contains(boot, "|boot|ok|") {
			t.Errorf("boot command reports nothing: %s", boot)
		}
	})
}

// TestWorkersGetNoKeys guards what a worker, the least trusted machine, is told.
func TestWorkersGetNoKeys(t *testing.T) {
	for _, s := range shapes {
		text := string(decode(t, machine(cluster.JoinWorker, "v1.34.1", s)).userText)
		if strings.Contains(text, "PRIVATE KEY") {
			t.Errorf("%s: a worker's payload has a private key", s.name)
		}
	}
}

func TestMetadataHasNoSecrets(t *testing.T) {
	kinds(t, func(t *testing.T, m bootstrap.Machine) {
		if text := string(decode(t, m).metaText); strings.Contains(text, fixedSecrets(t).Token) {
			t.Error("metadata, which stays after joining, has the token")
		}
	})
}

func TestTooLarge(t *testing.T) {
	key := func(n int) string {
		noise := make([]byte, n) // what does not compress, as keys do not
		state := uint32(1)
		for i := range noise {
			state = state*1664525 + 1013904223
			noise[i] = byte(state >> 24)
		}
		return "ssh-rsa " + base64.StdEncoding.EncodeToString(noise)
	}
	for _, tt := range []struct {
		reason string
		keys   []string
		domain []string
		want   string // the key at fault
	}{
		{reason: "an ordinary RSA key fits", keys: []string{key(400)}},
		{reason: "64 KiB of noise do not", keys: []string{key(65536)}, want: bootstrap.UserdataKey},
		{
			reason: "metadata is checked too", domain: slices.Repeat([]string{"a.long.search.domain.example.net"}, 2000),
			want: bootstrap.MetadataKey,
		},
	} {
		m := machine(cluster.JoinInit, "v1.34.1", shapes[0])
		m.SSHAuthorizedKeys = tt.keys
		m.Interfaces = []bootstrap.Interface{{SearchDomains: tt.domain}}
		_, err := bootstrap.Payload(m, fixedSecrets(t))
		var tooLarge *bootstrap.TooLargeError
		switch {
		case tt.want == "" && err != nil:
			t.Errorf("%s: %v", tt.reason, err)
		case tt.want == "":
		case !errors.As(err, &tooLarge):
			t.Errorf("%s: got %v", tt.reason, err)
		case tooLarge.Key != tt.want || tooLarge.Limit != 65536 || tooLarge.Size <= tooLarge.Limit:
			t.Errorf("%s: got %+v", tt.reason, *tooLarge)
		}
	}
}

func TestClear(t *testing.T) {
	want := map[string]string{"guestinfo.userdata": "", "guestinfo.userdata.encoding": ""}
	if diff := cmp.Diff(want, bootstrap.Clear()); diff != "" {
		t.Error(diff)
	}
}

// TestGolden shows a reader what machines get, and a reviewer what a change does to it.
func TestGolden(t *testing.T) {
	for _, tt := range []struct {
		join    cluster.JoinMode
		version string
		shape   shape
	}{
		{cluster.JoinInit, "v1.34.1", shapes[1]},
		{cluster.JoinInit, "v1.30.5", shapes[0]},
		{cluster.JoinControlPlane, "v1.36.3", shapes[2]},
		{cluster.JoinWorker, "v1.34.1", shapes[3]},
	} {
		name := kindName(tt.join, tt.version, tt.shape.name)
		t.Run(name, func(t *testing.T) {
			p := decode(t, machine(tt.join, tt.version, tt.shape))
			golden(t, name+".metadata.yaml", p.metaText)
			golden(t, name+".userdata.yaml", p.userText)
		})
	}
}

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("%s (run with -update if this is meant): %s", path, diff)
	}
}
