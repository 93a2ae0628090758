package payload

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"gopkg.in/yaml.v3"
)

const manifests = "/etc/kubernetes/manifests/"

// pod has what is looked at of a static pod; a pod has many more fields.
type pod struct {
	typeMeta `yaml:",inline"`
	Spec     struct {
		HostNetwork bool `yaml:"hostNetwork"`
		Containers  []struct {
			Image text `yaml:"image"`
			Env   []struct {
				Name  text `yaml:"name"`
				Value text `yaml:"value"`
			} `yaml:"env"`
			SecurityContext struct {
				Capabilities struct {
					Add []text `yaml:"add"`
				} `yaml:"capabilities"`
			} `yaml:"securityContext"`
			VolumeMounts []struct {
				Name      text `yaml:"name"`
				MountPath text `yaml:"mountPath"`
			} `yaml:"volumeMounts"`
		} `yaml:"containers"`
		Volumes []struct {
			Name     text `yaml:"name"`
			HostPath struct {
				Path text `yaml:"path"`
			} `yaml:"hostPath"`
		} `yaml:"volumes"`
	} `yaml:"spec"`
}

// checkKubeVIP wants a control plane to hold the endpoint's address by a static pod. Where the endpoint is a name, somebody
// else answers for it.
func (p *Payload) checkKubeVIP(config *cloudConfig) error {
	address, err := netip.ParseAddr(host(p.Endpoint))
	if err != nil {
		return nil //nolint:nilerr // A name is no mistake.
	}
	for file, data := range config.files {
		if !strings.HasPrefix(file, manifests) {
			continue
		}
		var manifest pod
		if err := yaml.Unmarshal(data, &manifest); err != nil {
			return refuse(KubeVIP, "%s: %w", file, err)
		}
		if manifest.Kind != "Pod" || len(manifest.Spec.Containers) != 1 {
			return refuse(KubeVIP, "%s is no pod with one container", file)
		}
		if !strings.Contains(string(manifest.Spec.Containers[0].Image), "kube-vip") {
			continue
		}
		if err := p.checkManifest(manifest, address); err != nil {
			return refuse(KubeVIP, "%s: %w", file, err)
		}
		return nil
	}
	return refuse(KubeVIP, "no static pod of kube-vip, and the endpoint is an address")
}

func (p *Payload) checkManifest(manifest pod, address netip.Addr) error {
	container := manifest.Spec.Containers[0]
	env := map[text]text{}
	for _, e := range container.Env {
		env[e.Name] = e.Value
	}
	held, err := netip.ParseAddr(string(env["address"]))
	switch {
	case err != nil || held != address:
		return fmt.Errorf("it holds %q, the endpoint is %s", env["address"], address)
	case !manifest.Spec.HostNetwork:
		return fmt.Errorf("it is not on the host's network")
	case !slices.Contains(container.SecurityContext.Capabilities.Add, "NET_ADMIN"):
		return fmt.Errorf("it may not add addresses")
	case env["cp_enable"] != "true":
		return fmt.Errorf("cp_enable is %q", env["cp_enable"])
	case !strings.HasSuffix(p.Endpoint, ":"+string(env["port"])):
		return fmt.Errorf("its port is %q, the endpoint is %s", env["port"], p.Endpoint)
	}
	return p.checkKubeconfig(manifest)
}

// checkKubeconfig: from 1.29 on admin.conf has no rights until kubeadm init is done, so the first node needs
// super-admin.conf. No other node has that file.
func (p *Payload) checkKubeconfig(manifest pod) error {
	minor, err := minorOf(p.Version)
	if err != nil {
		return err
	}
	want := text("/etc/kubernetes/admin.conf")
	if p.Mode == Init && minor >= 29 {
		want = "/etc/kubernetes/super-admin.conf"
	}
	found := false
	for _, volume := range manifest.Spec.Volumes {
		file := volume.HostPath.Path
		if strings.HasSuffix(string(file), "admin.conf") && file != want {
			return fmt.Errorf("it uses %s, this node has %s", file, want)
		}
		found = found || file == want
	}
	if !found {
		return fmt.Errorf("it does not use %s", want)
	}
	return nil
}
