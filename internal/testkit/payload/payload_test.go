package payload_test

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"errors"
	"io"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/terraform-provider-palette/terraform-provider-palette/internal/bootstrap"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/cluster"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/testkit/payload"
)

const (
	testUUID = "0b5f7f0e-6a60-5a0e-9a52-0f7f4c3c2f11"
	testMAC  = "00:50:56:80:00:01"
)

func testSecrets(t *testing.T) bootstrap.Secrets {
	t.Helper()
	secrets, err := bootstrap.NewSecrets(time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return secrets
}

func write(t *testing.T, join cluster.JoinMode, version string, secrets bootstrap.Secrets) map[string]string {
	t.Helper()
	values, err := bootstrap.Payload(bootstrap.Machine{
		ClusterName: "prod", Name: "prod-0", InstanceUUID: testUUID, Join: join, KubernetesVersion: version,
		Endpoint:          cluster.Endpoint{Host: "10.120.0.10", Port: 6443},
		Network:           cluster.Network{PodCIDR: "192.168.0.0/16", ServiceCIDR: "10.96.0.0/12", DNSDomain: "cluster.local"},
		SSHAuthorizedKeys: []string{"ssh-ed25519 AAAA ops"},
		NTPServers:        []string{"ntp.example"},
		Node: cluster.NodeMetadata{
			Labels: map[string]string{"tier": "a"}, Taints: []cluster.Taint{{Key: "dedicated", Value: "x", Effect: "NoSchedule"}},
		},
		Interfaces: []bootstrap.Interface{{
			Addresses: []netip.Prefix{netip.MustParsePrefix("10.120.0.21/24")}, Gateway: netip.MustParseAddr("10.120.0.1"),
		}},
	}, secrets)
	if err != nil {
		t.Fatal(err)
	}
	return values
}

func machine(version string) payload.Machine {
	return payload.Machine{Name: "prod-0", InstanceUUID: testUUID, MACs: []string{testMAC}, KubernetesVersion: version}
}

func TestReadUnderstandsWhatMachinesBootWith(t *testing.T) {
	secrets := testSecrets(t)
	for _, version := range []string{"v1.28.9", "v1.30.5", "v1.31.0", "v1.34.1", "v1.36.3"} {
		for _, join := range []cluster.JoinMode{cluster.JoinInit, cluster.JoinControlPlane, cluster.JoinWorker} {
			t.Run(version+" "+string(join), func(t *testing.T) {
				got, err := payload.Read(write(t, join, version, secrets), machine(version))
				if err != nil {
					t.Fatal(err)
				}
				want := &payload.Payload{
					Mode: payload.Mode(join), NodeName: "prod-0", Version: version, Endpoint: "10.120.0.10:6443",
					Cards:  []payload.Card{{Addresses: []string{"10.120.0.21/24"}}},
					Redact: []string{"userdata", "vendordata"}, Labels: map[string]string{},
					CAHash: secrets.CACertHash(), JoinToken: secrets.Token,
					Taints: []string{"node-role.kubernetes.io/control-plane=:NoSchedule", "dedicated=x:NoSchedule"},
				}
				want.Labels["tier"] = "a"
				if join == cluster.JoinWorker {
					want.Taints = want.Taints[1:]
				}
				if join == cluster.JoinInit {
					want.JoinToken, want.Tokens = "", map[string]time.Duration{secrets.Token: 0}
				}
				if diff := cmp.Diff(want, got); diff != "" {
					t.Errorf("payload (-want +got):\n%s", diff)
				}
			})
		}
	}
}

// edit changes the text of a value and encodes it again.
func edit(t *testing.T, values map[string]string, key, old, replacement string) {
	t.Helper()
	data, err := base64.StdEncoding.DecodeString(values[key])
	if err != nil {
		t.Fatal(err)
	}
	compressed := values[key+".encoding"] == "gzip+base64"
	if compressed {
		reader, err := gzip.NewReader(bytes.NewReader(data))
		if err != nil {
			t.Fatal(err)
		}
		if data, err = io.ReadAll(reader); err != nil {
			t.Fatal(err)
		}
	}
	if !strings.Contains(string(data), old) {
		t.Fatalf("%s does not contain %q", key, old)
	}
	data = []byte(strings.ReplaceAll(string(data), old, replacement))
	if compressed {
		var packed bytes.Buffer
		writer := gzip.NewWriter(&packed)
		if _, err := writer.Write(data); err != nil {
			t.Fatal(err)
		}
		if err := writer.Close(); err != nil {
			t.Fatal(err)
		}
		data = packed.Bytes()
	}
	values[key] = base64.StdEncoding.EncodeToString(data)
}

func TestReadRefuses(t *testing.T) {
	secrets, other := testSecrets(t), testSecrets(t)
	meta, user := bootstrap.MetadataKey, bootstrap.UserdataKey
	for _, test := range []struct {
		reason  string
		part    payload.Part
		join    cluster.JoinMode
		version string
		spoil   func(map[string]string, *payload.Machine)
		// edits are key, old, new.
		edits [][3]string
	}{
		{reason: "metadata in gzip", part: payload.GuestInfo, spoil: func(v map[string]string, _ *payload.Machine) { v[meta+".encoding"] = "gzip+base64" }},
		{reason: "no user data", part: payload.GuestInfo, spoil: func(v map[string]string, _ *payload.Machine) { delete(v, user) }},
		{reason: "redacted user data", part: payload.GuestInfo, spoil: func(v map[string]string, _ *payload.Machine) { v[user] = "---" }},
		{reason: "a value the tools cannot read", part: payload.GuestInfo, spoil: func(v map[string]string, _ *payload.Machine) { v[user] = strings.Repeat("A", 64<<10+4) }},
		{reason: "another instance", part: payload.Metadata, spoil: func(_ map[string]string, m *payload.Machine) { m.InstanceUUID = "x" }},
		{reason: "another name", part: payload.Metadata, spoil: func(_ map[string]string, m *payload.Machine) { m.Name = "x" }},
		{reason: "two cards, one entry for both", part: payload.Metadata, spoil: func(_ map[string]string, m *payload.Machine) { m.MACs = append(m.MACs, "00:50:56:80:00:02") }},
		{reason: "no kubeadm in the image", part: payload.Image, spoil: func(_ map[string]string, m *payload.Machine) { m.KubernetesVersion = "" }},
		{reason: "another kubeadm in the image", part: payload.Image, spoil: func(_ map[string]string, m *payload.Machine) { m.KubernetesVersion = "v1.34.0" }},
		{reason: "an unknown key of metadata", part: payload.Metadata, edits: [][3]string{{meta, "local-hostname:", "hostnames: x\nlocal-hostname:"}}},
		{reason: "a deprecated gateway", part: payload.Metadata, edits: [][3]string{{meta, "dhcp4: false", "dhcp4: false\n      gateway4: 10.120.0.1"}}},
		{reason: "a gateway outside the subnet", part: payload.Metadata, edits: [][3]string{{meta, "via: 10.120.0.1", "via: 10.121.0.1"}}},
		{reason: "a card that does not exist", part: payload.Metadata, edits: [][3]string{{meta, "name: e*", "macaddress: 00:50:56:80:00:99"}}},
		{reason: "neither static nor DHCP", part: payload.Metadata, edits: [][3]string{{meta, "addresses:\n      - 10.120.0.21/24", "optional: true"}, {meta, "      routes:\n      - to: 0.0.0.0/0\n        via: 10.120.0.1\n", ""}}},
		{reason: "waiting for IPv6 that never comes", part: payload.Metadata, edits: [][3]string{{meta, "ipv4: true", "ipv6: true"}}},
		{reason: "no header", part: payload.UserData, edits: [][3]string{{user, "#cloud-config\n", ""}}},
		{reason: "an unknown module", part: payload.UserData, edits: [][3]string{{user, "manage_etc_hosts: localhost", "manage_etc_host: localhost"}}},
		{reason: "a script that is not executable", part: payload.UserData, edits: [][3]string{{user, `"0755"`, `"0644"`}}},
		{reason: "permissions as a number", part: payload.UserData, edits: [][3]string{{user, `"0755"`, "0755"}}},
		{reason: "an unknown field of kubeadm's", part: payload.Kubeadm, edits: [][3]string{{user, "clusterName: prod", "clusterNames: prod"}}},
		{reason: "a field in another case", part: payload.Kubeadm, edits: [][3]string{{user, "clusterName: prod", "clustername: prod"}}},
		{reason: "the API version of older kubeadms", part: payload.Kubeadm, edits: [][3]string{{user, "v1beta4", "v1beta3"}}},
		{reason: "the API version of newer kubeadms", part: payload.Kubeadm, version: "v1.30.5", edits: [][3]string{{user, "v1beta3", "v1beta4"}}},
		{reason: "arguments as a map", part: payload.Kubeadm, edits: [][3]string{{user, "extraArgs:\n      - name: cloud-provider\n        value: external\n    encryption", "extraArgs:\n        cloud-provider: external\n    encryption"}}},
		{reason: "a feature gate that is gone", part: payload.Kubeadm, version: "v1.36.3", edits: [][3]string{{user, "clusterName: prod", "clusterName: prod\n    featureGates: {ControlPlaneKubeletLocalMode: true}"}}},
		{reason: "another version of the cluster", part: payload.Kubeadm, edits: [][3]string{{user, "kubernetesVersion: v1.34.1", "kubernetesVersion: v1.34.2"}}},
		{reason: "a pin that is none", part: payload.Kubeadm, join: cluster.JoinWorker, edits: [][3]string{{user, "sha256:", "sha1:"}}},
		{reason: "a token that is none", part: payload.Kubeadm, join: cluster.JoinWorker, edits: [][3]string{{user, secrets.Token, "token"}}},
		{reason: "a label a kubelet may not set", part: payload.Kubeadm, edits: [][3]string{{user, "tier=a", "node-role.kubernetes.io/worker="}}},
		{reason: "kube-vip without rights at init", part: payload.KubeVIP, edits: [][3]string{{user, "super-admin.conf", "admin.conf"}}},
		{reason: "kube-vip with rights that are gone", part: payload.KubeVIP, join: cluster.JoinControlPlane, edits: [][3]string{{user, "path: /etc/kubernetes/admin.conf", "path: /etc/kubernetes/super-admin.conf"}}},
		{reason: "kube-vip for another address", part: payload.KubeVIP, edits: [][3]string{{user, "- name: address\n          value: 10.120.0.10", "- name: address\n          value: 10.120.0.11"}}},
		{reason: "no kube-vip", part: payload.KubeVIP, edits: [][3]string{{user, "/etc/kubernetes/manifests/kube-vip.yaml", "/etc/palette/other.yaml"}}},
		{reason: "no CA", part: payload.PKI, edits: [][3]string{{user, "/etc/kubernetes/pki/ca.crt", "/etc/kubernetes/pki/other.crt"}}},
		{reason: "a CA and the key of another", part: payload.PKI, edits: [][3]string{{user, lines(secrets.CA.Key), lines(other.CA.Key)}}},
		{reason: "the public key of another service account", part: payload.PKI, edits: [][3]string{{user, lines(secrets.ServiceAccount.Public), lines(other.ServiceAccount.Public)}}},
		{reason: "a CA that is not the one expected", part: payload.PKI, join: cluster.JoinControlPlane, edits: [][3]string{{user, secrets.CACertHash(), other.CACertHash()}}},
		{reason: "kubeadm's documents twice", part: payload.Kubeadm, edits: [][3]string{{user, "/etc/palette/kube-vip.hosts", "/run/more.yaml"}, {user, "127.0.0.1 localhost kubernetes", "apiVersion: kubeadm.k8s.io/v1beta4\n    kind: ClusterConfiguration"}, {user, "::1 localhost", "kubernetesVersion: v1.34.1\n    controlPlaneEndpoint: 10.120.0.10:6443"}}},
	} {
		t.Run(test.reason, func(t *testing.T) {
			join, version := test.join, test.version
			if join == "" {
				join = cluster.JoinInit
			}
			if version == "" {
				version = "v1.34.1"
			}
			values, own := write(t, join, version, secrets), machine(version)
			if test.spoil != nil {
				test.spoil(values, &own)
			}
			for _, e := range test.edits {
				edit(t, values, e[0], e[1], e[2])
			}
			_, err := payload.Read(values, own)
			var refusal *payload.Refusal
			if !errors.As(err, &refusal) || !errors.Is(err, payload.ErrRefused) || refusal.Part != test.part {
				t.Errorf("got %v, want a refusal of %s", err, test.part)
			}
			t.Log(err)
		})
	}
}

// lines is PEM as it stands in a list of files: indented.
func lines(pem string) string {
	return strings.ReplaceAll(strings.TrimSpace(pem), "\n", "\n    ")
}
