package cluster

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// fields are where the problems of a severity are.
func fields(problems []Problem, severity Severity) []string {
	var fields []string
	for _, p := range problems {
		if p.Severity == severity {
			fields = append(fields, p.Field)
		}
	}
	return fields
}

// withGeneral changes the worker pool of a spec.
func withGeneral(change func(*Pool)) func(*Spec) {
	return func(s *Spec) {
		pool := s.WorkerPools["general"]
		change(&pool)
		s.WorkerPools["general"] = pool
	}
}

func TestValidate(t *testing.T) {
	const general = "/worker_pools/general"
	tests := []struct {
		reason string
		change func(*Spec)
		want   []string
	}{
		{"A valid spec has no problem.", func(*Spec) {}, nil},
		{"Versions go without v, too.", func(s *Spec) { s.KubernetesVersion = "1.34.1" }, nil},
		{"Names of vendors' builds are versions.", func(s *Spec) { s.KubernetesVersion = "v1.34.1+vmware.1" }, nil},
		{"IPv6 is as good.", func(s *Spec) {
			s.Network.PodCIDR, s.Network.ServiceCIDR, s.Endpoint.Host = "fd00:1::/48", "fd00:2::/108", "fd00::5"
		}, nil},
		{"An endpoint may be a host name.", func(s *Spec) { s.Endpoint.Host = "api.prod.example.com" }, nil},
		{"NTP servers are addresses or names.", func(s *Spec) { s.NTPServers = []string{"10.0.0.1", "fd00::1", "ntp.local"} }, nil},
		{"A pool may be empty.", withGeneral(func(p *Pool) { p.Count = 0 }), nil},
		{"Everything that has to be there.", func(s *Spec) {
			s.Name, s.CloudAccountID, s.Datacenter, s.Folder, s.Template, s.KubernetesVersion = "", "", "", "", "", ""
		}, []string{"/name", "/cloud_account_id", "/datacenter", "/template", "/folder", "/kubernetes_version"}},
		{"A name is a DNS label.", func(s *Spec) { s.Name = "Prod" }, []string{"/name"}},
		{"A name that leaves no room for machine names.", func(s *Spec) {
			s.Name = strings.Repeat("a", 50)
		}, []string{general}},
		{"Ordinals need room as well.", func(s *Spec) {
			s.Name = strings.Repeat("a", 63-len("-general-9-r99"))
			withGeneral(func(p *Pool) { p.Count = 11 })(s)
		}, []string{general}},
		{"The control plane's machines have names, too.", func(s *Spec) {
			s.Name = strings.Repeat("a", 63-len("-cp-0-r99")+1)
			s.WorkerPools = nil
		}, []string{"/name"}},
		{"A folder is a relative path.", func(s *Spec) { s.Folder = "/k8s" }, []string{"/folder"}},
		{"A folder goes down only.", func(s *Spec) { s.Folder = "k8s/../prod" }, []string{"/folder"}},
		{"Versions have three parts.", func(s *Spec) { s.KubernetesVersion = "v1.34" }, []string{"/kubernetes_version"}},
		{"Clone modes are three.", func(s *Spec) { s.CloneMode = "instant" }, []string{"/clone_mode"}},
		{"Networks that do not parse.", func(s *Spec) { s.Network = Network{DNSDomain: "a..b"} }, []string{
			"/cluster_network/pod_cidr", "/cluster_network/service_cidr", "/cluster_network/dns_domain",
		}},
		{"Host bits are a mistake.", func(s *Spec) { s.Network.PodCIDR = "10.244.0.1/16" }, []string{"/cluster_network/pod_cidr"}},
		{"Pods and services apart.", func(s *Spec) { s.Network.ServiceCIDR = "10.244.128.0/20" }, []string{"/cluster_network/service_cidr"}},
		{"Families are not mixed.", func(s *Spec) { s.Network.ServiceCIDR = "fd00::/108" }, []string{"/cluster_network/service_cidr"}},
		{"A pod network without room for a node.", func(s *Spec) { s.Network.PodCIDR = "10.244.0.0/25" }, []string{"/cluster_network/pod_cidr"}},
		{"A pod network the controller manager refuses.", func(s *Spec) { s.Network.PodCIDR = "64.0.0.0/7" }, []string{"/cluster_network/pod_cidr"}},
		{"A service network the API server refuses.", func(s *Spec) { s.Network.ServiceCIDR = "11.0.0.0/11" }, []string{"/cluster_network/service_cidr"}},
		{"A service network kubeadm refuses.", func(s *Spec) { s.Network.ServiceCIDR = "10.96.0.0/29" }, []string{"/cluster_network/service_cidr"}},
		{"The endpoint is outside the pods' network.", func(s *Spec) { s.Endpoint.Host = "10.244.1.1" }, []string{"/control_plane_endpoint/host"}},
		{"The endpoint is outside the services' network.", func(s *Spec) { s.Endpoint.Host = "10.96.0.1" }, []string{"/control_plane_endpoint/host"}},
		{"The endpoint is reachable.", func(s *Spec) { s.Endpoint = Endpoint{Host: "127.0.0.1", Port: 70000} }, []string{
			"/control_plane_endpoint/port", "/control_plane_endpoint/host",
		}},
		{"A host is a host.", func(s *Spec) { s.NTPServers = []string{"ntp.local", "no host"} }, []string{"/ntp_servers/1"}},
		{"Keys are lines.", func(s *Spec) { s.SSHAuthorizedKeys = []string{"ssh-ed25519 AAAA\nx y", "AAAA"} }, []string{
			"/ssh_authorized_keys/0", "/ssh_authorized_keys/1",
		}},
		{"Etcd wants an odd number.", func(s *Spec) { s.ControlPlane.Count = 2 }, []string{"/control_plane/count"}},
		{"No more than five.", func(s *Spec) { s.ControlPlane.Count = 7 }, []string{"/control_plane/count"}},
		{"A single control plane machine is not removed first.", func(s *Spec) {
			s.ControlPlane.Count, s.ControlPlane.UpdateStrategy = 1, UpdateStrategy{MaxUnavailable: 1}
		}, []string{"/control_plane/update_strategy/max_surge"}},
		{"Counts are not negative.", withGeneral(func(p *Pool) { p.Count = -1 }), []string{general + "/count"}},
		{"Pool names that machine names need.", func(s *Spec) {
			s.WorkerPools = map[string]Pool{"cp": s.WorkerPools["general"], "control-plane": s.WorkerPools["general"]}
		}, []string{"/worker_pools/control-plane", "/worker_pools/cp"}},
		{"A pool's name is a DNS label, and escaped in pointers.", func(s *Spec) {
			s.WorkerPools = map[string]Pool{"a/b": s.WorkerPools["general"]}
		}, []string{"/worker_pools/a~1b"}},
		{"Sizes are positive.", withGeneral(func(p *Pool) { p.CPU, p.MemoryMiB, p.DiskGiB = 0, -4, 0 }), []string{
			general + "/cpu", general + "/memory_mib", general + "/disk_gib",
		}},
		{"Memory comes in units of 4 MiB.", withGeneral(func(p *Pool) { p.MemoryMiB = 4097 }), []string{general + "/memory_mib"}},
		{"A strategy that allows nothing.", withGeneral(func(p *Pool) { p.UpdateStrategy = UpdateStrategy{} }), []string{general + "/update_strategy"}},
		{"A strategy that makes no sense.", withGeneral(func(p *Pool) {
			p.UpdateStrategy = UpdateStrategy{MaxSurge: -1, MaxUnavailable: 1}
		}), []string{general + "/update_strategy/max_surge"}},
		{"Machines need a place.", withGeneral(func(p *Pool) { p.Placements = nil }), []string{general + "/placements"}},
		{"A place is complete.", withGeneral(func(p *Pool) { p.Placements = []Placement{{}, {"a", "", "b", []string{""}, ""}} }), []string{
			general + "/placements/0/compute_cluster", general + "/placements/0/datastore", general + "/placements/0/networks",
			general + "/placements/1/networks/0",
		}},
		{"A place twice is one place, however it is written.", withGeneral(func(p *Pool) {
			again := p.Placements[0]
			again.Datastore = "/dc/datastore/" + again.Datastore
			p.Placements = append(p.Placements, again)
		}), []string{general + "/placements/1"}},
		{"Labels, annotations and taints as Kubernetes takes them.", withGeneral(func(p *Pool) {
			p.Labels = map[string]string{"ok.io/tier": "a", "-x": "1", "y": "no spaces"}
			p.Annotations = map[string]string{"a/b/c": "anything goes here"}
			p.Taints = []Taint{{"a", "", "NoSchedule"}, {"a", "b", "NoSchedule"}, {"", "", "Never"}}
		}), []string{
			general + "/labels/-x", general + "/labels/y", general + "/annotations/a~1b~1c",
			general + "/taints/1", general + "/taints/2/key", general + "/taints/2/effect",
		}},
	}
	for _, tt := range tests {
		t.Run(tt.reason, func(t *testing.T) {
			spec := validSpec()
			tt.change(&spec)
			if diff := cmp.Diff(tt.want, fields(Validate(spec), SeverityError)); diff != "" {
				t.Errorf("-want +got:\n%s\n%v", diff, Validate(spec))
			}
		})
	}
}

func TestValidateWarnsOfKubeadmsLimits(t *testing.T) {
	spec := validSpec()
	spec.ControlPlane.CPU, spec.ControlPlane.MemoryMiB = 1, 1024
	want := []string{"/control_plane/cpu", "/control_plane/memory_mib"}
	if diff := cmp.Diff(want, fields(Validate(spec), SeverityWarning)); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestCheckChange(t *testing.T) {
	tests := []struct {
		reason string
		change func(*Spec)
		want   []string
	}{
		{"Nothing changes.", func(*Spec) {}, nil},
		{"One minor version up, patches included.", func(s *Spec) { s.KubernetesVersion = "v1.35.9" }, nil},
		{"A way of writing is no change.", func(s *Spec) { s.KubernetesVersion = "1.34.1" }, nil},
		{"Two minor versions at once.", func(s *Spec) { s.KubernetesVersion = "v1.36.0" }, []string{"/kubernetes_version"}},
		{"A major version.", func(s *Spec) { s.KubernetesVersion = "v2.34.1" }, []string{"/kubernetes_version"}},
		{"A patch down.", func(s *Spec) { s.KubernetesVersion = "v1.34.0" }, []string{"/kubernetes_version"}},
		{"Pools, sizes and templates change freely.", func(s *Spec) {
			s.WorkerPools, s.ControlPlane.Count, s.ControlPlane.CPU, s.Template = nil, 5, 8, "other"
		}, nil},
		{"What machines cannot take up.", func(s *Spec) {
			s.Name, s.CloudAccountID, s.Datacenter, s.Folder = "a", "b", "c", "d"
			s.Endpoint = Endpoint{Host: "10.0.0.101", Port: 443}
			s.Network = Network{PodCIDR: "10.1.0.0/16", ServiceCIDR: "10.2.0.0/16", DNSDomain: "x"}
		}, []string{
			"/name", "/cloud_account_id", "/datacenter", "/folder", "/control_plane_endpoint/host",
			"/control_plane_endpoint/port", "/cluster_network/pod_cidr", "/cluster_network/service_cidr",
			"/cluster_network/dns_domain",
		}},
	}
	for _, tt := range tests {
		t.Run(tt.reason, func(t *testing.T) {
			spec := validSpec()
			tt.change(&spec)
			if diff := cmp.Diff(tt.want, fields(CheckChange(validSpec(), spec), SeverityError)); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

func FuzzParseVersion(f *testing.F) {
	for _, seed := range []string{"v1.34.1", "1.34.1", "v1.34", "v1.34.1-rc.0+x", "v99999999999999999999.0.0", "v01.2.3"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		v, err := parseVersion(text)
		if err != nil {
			return
		}
		again, err := parseVersion(canonical(text))
		if err != nil || again != v {
			t.Errorf("canonical(%q) = %q parses as %v, %v", text, canonical(text), again, err)
		}
	})
}
