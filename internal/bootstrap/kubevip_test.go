package bootstrap_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/terraform-provider-palette/terraform-provider-palette/internal/bootstrap"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/cluster"
)

// staticPod is the part of a v1 Pod that the kube-vip manifest uses.
type staticPod struct {
	typeMeta `json:",inline"`
	Metadata struct {
		Name      string            `json:"name"`
		Namespace string            `json:"namespace"`
		Labels    map[string]string `json:"labels"`
	} `json:"metadata"`
	Spec struct {
		HostNetwork       bool   `json:"hostNetwork"`
		PriorityClassName string `json:"priorityClassName"`
		Containers        []struct {
			Name            string   `json:"name"`
			Image           string   `json:"image"`
			ImagePullPolicy string   `json:"imagePullPolicy"`
			Args            []string `json:"args"`
			Env             []struct {
				Name      string `json:"name"`
				Value     string `json:"value"`
				ValueFrom struct {
					FieldRef struct {
						FieldPath string `json:"fieldPath"`
					} `json:"fieldRef"`
				} `json:"valueFrom"`
			} `json:"env"`
			SecurityContext struct {
				Capabilities struct {
					Add  []string `json:"add"`
					Drop []string `json:"drop"`
				} `json:"capabilities"`
			} `json:"securityContext"`
			VolumeMounts []struct {
				Name      string `json:"name"`
				MountPath string `json:"mountPath"`
				ReadOnly  bool   `json:"readOnly"`
			} `json:"volumeMounts"`
		} `json:"containers"`
		Volumes []struct {
			Name     string `json:"name"`
			HostPath struct {
				Path string `json:"path"`
				Type string `json:"type"`
			} `json:"hostPath"`
		} `json:"volumes"`
	} `json:"spec"`
}

// mounts maps paths in the container to paths on the machine.
func (p staticPod) mounts() map[string]string {
	paths := map[string]string{}
	for _, v := range p.Spec.Volumes {
		paths[v.Name] = v.HostPath.Path
	}
	mounts := map[string]string{}
	for _, m := range p.Spec.Containers[0].VolumeMounts {
		mounts[m.MountPath] = paths[m.Name]
	}
	return mounts
}

func TestKubeVIPRights(t *testing.T) {
	const first, second = "/etc/kubernetes/manifests/kube-vip.yaml", "/etc/palette/kube-vip.yaml"
	const admin, super = "/etc/kubernetes/admin.conf", "/etc/kubernetes/super-admin.conf"
	for _, tt := range []struct {
		reason  string
		join    cluster.JoinMode
		version string
		want    map[string]string // kubeconfig by manifest
	}{
		{
			"init has admin rights by the second file only", cluster.JoinInit, "v1.34.1",
			map[string]string{first: super, second: admin},
		},
		{"so since 1.29", cluster.JoinInit, "v1.29.0", map[string]string{first: super, second: admin}},
		{"before, admin.conf had them", cluster.JoinInit, "v1.28.9", map[string]string{first: admin}},
		{"where the cluster exists, it has", cluster.JoinControlPlane, "v1.34.1", map[string]string{first: admin}},
	} {
		files := decode(t, machine(tt.join, tt.version, shapes[0])).files()
		got := map[string]string{}
		for _, path := range []string{first, second} {
			if files[path] == "" {
				continue
			}
			var p staticPod
			strictly(t, []byte(files[path]), &p)
			mounts := p.mounts()
			got[path] = mounts[admin]
			if _, ok := files[mounts["/etc/hosts"]]; !ok {
				t.Errorf("%s: %s mounts a hosts file that nobody writes: %s", tt.reason, path, mounts["/etc/hosts"])
			}
		}
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("%s: %s", tt.reason, diff)
		}
	}
}

func TestKubeVIPSettings(t *testing.T) {
	for _, tt := range []struct {
		shape                 shape
		address, port, subnet string
	}{
		{shapes[0], "10.0.0.10", "6443", "32"},
		{shapes[2], "fd00::10", "8443", "128"},
	} {
		var p staticPod
		files := decode(t, machine(cluster.JoinControlPlane, "v1.34.1", tt.shape)).files()
		strictly(t, []byte(files["/etc/kubernetes/manifests/kube-vip.yaml"]), &p)
		env := map[string]string{}
		for _, e := range p.Spec.Containers[0].Env {
			env[e.Name] = e.Value + e.ValueFrom.FieldRef.FieldPath
		}
		want := map[string]string{
			"address": tt.address, "port": tt.port, "vip_subnet": tt.subnet, "vip_arp": "true", "vip_nodename": "spec.nodeName",
			"cp_enable": "true", "cp_namespace": "kube-system", "svc_enable": "false",
			"vip_leaderelection": "true", "vip_leasename": "plndr-cp-lock",
			"vip_leaseduration": "30", "vip_renewdeadline": "20", "vip_retryperiod": "4",
			"k8s_config_file": "/etc/kubernetes/admin.conf", "prometheus_server": "127.0.0.1:2112",
		}
		if diff := cmp.Diff(want, env); diff != "" {
			t.Errorf("%s: %s", tt.shape.name, diff)
		}
		if !p.Spec.HostNetwork || p.Spec.Containers[0].Image != bootstrap.KubeVIPImage {
			t.Errorf("%s: host network %t, image %s", tt.shape.name, p.Spec.HostNetwork, p.Spec.Containers[0].Image)
		}
	}
}

func TestKubeVIPHostsNameTheLocalServer(t *testing.T) {
	hosts := decode(t, machine(cluster.JoinInit, "v1.34.1", shapes[0])).files()["/etc/palette/kube-vip.hosts"]
	if line, _, _ := strings.Cut(hosts, "\n"); line != "127.0.0.1 localhost kubernetes" {
		t.Errorf("first line is %q", line)
	}
}
