package payload

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"gopkg.in/yaml.v3"
)

const group = "kubeadm.k8s.io/"

var (
	tokenForm = regexp.MustCompile(`^[a-z0-9]{6}\.[a-z0-9]{16}$`)
	pinForm   = regexp.MustCompile(`^sha256:[0-9a-f]{64}$`)
)

// document is one kubeadm document before it is decoded.
type document struct {
	apiVersion, kind string
	data             []byte
}

// kubeadmDocuments finds every document of kubeadm's API in the files.
func (c *cloudConfig) kubeadmDocuments() ([]document, error) {
	var found []document
	for _, file := range slices.Sorted(maps.Keys(c.files)) {
		if !strings.HasSuffix(file, ".yaml") || !bytes.Contains(c.files[file], []byte(group)) {
			continue
		}
		documents, err := split(c.files[file])
		if err != nil {
			return nil, refuse(UserData, "%s: %w", file, err)
		}
		found = append(found, documents...)
	}
	return found, nil
}

func split(data []byte) ([]document, error) {
	var documents []document
	decoder := yaml.NewDecoder(bytes.NewReader(data))
	for {
		var node yaml.Node
		err := decoder.Decode(&node)
		if errors.Is(err, io.EOF) {
			return documents, nil
		}
		if err != nil {
			return nil, fmt.Errorf("decoding: %w", err)
		}
		var meta typeMeta
		if err := node.Decode(&meta); err != nil {
			return nil, fmt.Errorf("decoding: %w", err)
		}
		part, err := yaml.Marshal(&node)
		if err != nil {
			return nil, fmt.Errorf("encoding: %w", err)
		}
		documents = append(documents, document{string(meta.APIVersion), string(meta.Kind), part})
	}
}

// readKubeadm decodes every kubeadm document. An init has InitConfiguration and ClusterConfiguration, a join has
// JoinConfiguration.
func (p *Payload) readKubeadm(config *cloudConfig, machine Machine) error {
	documents, err := config.kubeadmDocuments()
	if err != nil {
		return err
	}
	minor, err := minorOf(machine.KubernetesVersion)
	if err != nil {
		return err
	}
	p.Version = machine.KubernetesVersion
	want := group + "v1beta4"
	if minor < 31 {
		want = group + "v1beta3"
	}
	var kinds []string
	for _, d := range documents {
		if d.apiVersion != want {
			return refuse(Kubeadm, "%s is %s, kubeadm %s wants %s", d.kind, d.apiVersion, machine.KubernetesVersion, want)
		}
		kinds = append(kinds, d.kind)
		if err := p.readDocument(d, minor); err != nil {
			return refuse(Kubeadm, "%s: %w", d.kind, err)
		}
	}
	slices.Sort(kinds)
	switch strings.Join(kinds, " ") {
	case "ClusterConfiguration InitConfiguration", "JoinConfiguration":
	default:
		return refuse(Kubeadm, "the documents are %q", kinds)
	}
	if p.Endpoint == "" {
		return refuse(Kubeadm, "no control plane endpoint")
	}
	return nil
}

func minorOf(version string) (int, error) {
	if !versionForm.MatchString(version) {
		return 0, refuse(Image, "there is no kubeadm")
	}
	minor, err := strconv.Atoi(strings.Split(version, ".")[1])
	if err != nil {
		return 0, refuse(Image, "kubeadm version %q: %w", version, err)
	}
	return minor, nil
}

func (p *Payload) readDocument(d document, minor int) error {
	old := strings.HasSuffix(d.apiVersion, "v1beta3")
	switch d.kind {
	case "InitConfiguration":
		p.Mode = Init
		if old {
			return decodeInto(d, func(c *initBeta3) error { return p.takeInit(c.BootstrapTokens, c.NodeRegistration.common()) })
		}
		return decodeInto(d, func(c *initBeta4) error { return p.takeInit(c.BootstrapTokens, c.NodeRegistration.common()) })
	case "ClusterConfiguration":
		if old {
			return decodeInto(d, func(c *clusterBeta3) error { return p.takeCluster(c.clusterCommon, minor) })
		}
		return decodeInto(d, func(c *clusterBeta4) error {
			if !slices.Contains([]text{"", "RSA-2048", "RSA-3072", "RSA-4096", "ECDSA-P256", "ECDSA-P384"}, c.EncryptionAlgorithm) {
				return fmt.Errorf("encryptionAlgorithm %q", c.EncryptionAlgorithm)
			}
			return p.takeCluster(c.clusterCommon, minor)
		})
	case "JoinConfiguration":
		if old {
			return decodeInto(d, func(c *joinBeta3) error {
				return p.takeJoin(c.Discovery.BootstrapToken, c.ControlPlane != nil, c.NodeRegistration.common())
			})
		}
		return decodeInto(d, func(c *joinBeta4) error {
			return p.takeJoin(c.Discovery.BootstrapToken, c.ControlPlane != nil, c.NodeRegistration.common())
		})
	}
	return errors.New("unknown kind")
}

func decodeInto[T any](d document, take func(*T) error) error {
	into := new(T)
	if err := strictly(d.data, into); err != nil {
		return err
	}
	return take(into)
}

func (p *Payload) takeInit(tokens []bootstrapToken, node nodeCommon) error {
	p.Tokens = map[string]ttl{}
	for _, token := range tokens {
		if !tokenForm.MatchString(string(token.Token)) {
			return errors.New("a bootstrap token has not the form of one")
		}
		life := defaultTTL
		if token.TTL != nil {
			life = token.TTL.Duration
		}
		p.Tokens[string(token.Token)] = life
	}
	return p.takeNode(node)
}

func (p *Payload) takeCluster(c clusterCommon, minor int) error {
	if string(c.KubernetesVersion) != p.Version {
		return fmt.Errorf("kubernetesVersion is %q, the image has %q", c.KubernetesVersion, p.Version)
	}
	if _, _, err := net.SplitHostPort(string(c.ControlPlaneEndpoint)); err != nil {
		return fmt.Errorf("controlPlaneEndpoint: %w", err)
	}
	for _, cidrs := range []text{c.Networking.PodSubnet, c.Networking.ServiceSubnet} {
		for cidr := range strings.SplitSeq(string(cidrs), ",") {
			if _, _, err := net.ParseCIDR(cidr); cidr != "" && err != nil {
				return fmt.Errorf("networking: %w", err)
			}
		}
	}
	// A gate that has become general is refused by name, and so is one that does not exist yet.
	if _, ok := c.FeatureGates["ControlPlaneKubeletLocalMode"]; ok && (minor < 31 || minor >= 36) {
		return errors.New("featureGates: ControlPlaneKubeletLocalMode is unknown")
	}
	p.Endpoint = string(c.ControlPlaneEndpoint)
	return nil
}

func (p *Payload) takeJoin(discovery *tokenDiscovery, controlPlane bool, node nodeCommon) error {
	p.Mode = JoinWorker
	if controlPlane {
		p.Mode = JoinControlPlane
	}
	switch {
	case discovery == nil:
		return errors.New("no discovery.bootstrapToken")
	case !tokenForm.MatchString(string(discovery.Token)):
		return errors.New("the bootstrap token has not the form of one")
	case discovery.UnsafeSkipCAVerification:
		return errors.New("unsafeSkipCAVerification")
	case len(discovery.CACertHashes) != 1 || !pinForm.MatchString(string(discovery.CACertHashes[0])):
		return fmt.Errorf("caCertHashes: %q", discovery.CACertHashes)
	}
	if _, _, err := net.SplitHostPort(string(discovery.APIServerEndpoint)); err != nil {
		return fmt.Errorf("apiServerEndpoint: %w", err)
	}
	p.Endpoint, p.JoinToken = string(discovery.APIServerEndpoint), string(discovery.Token)
	p.CAHash = string(discovery.CACertHashes[0])
	return p.takeNode(node)
}

// takeNode reads what the node registers with. A kubelet may not give itself every label.
func (p *Payload) takeNode(node nodeCommon) error {
	p.NodeName = node.name
	p.Labels = map[string]string{}
	for pair := range strings.SplitSeq(node.args["node-labels"], ",") {
		if pair == "" {
			continue
		}
		key, value, ok := strings.Cut(pair, "=")
		if !ok {
			return fmt.Errorf("node-labels: %q", pair)
		}
		if strings.HasPrefix(key, "node-role.kubernetes.io/") || strings.HasPrefix(key, "kubernetes.io/role") {
			return fmt.Errorf("node-labels: a kubelet may not set %s", key)
		}
		p.Labels[key] = value
	}
	p.DefaultTaints = node.taints == nil
	for _, taint := range node.taints {
		if !slices.Contains([]text{"NoSchedule", "PreferNoSchedule", "NoExecute"}, taint.Effect) {
			return fmt.Errorf("taint %s: effect %q", taint.Key, taint.Effect)
		}
		p.Taints = append(p.Taints, fmt.Sprintf("%s=%s:%s", taint.Key, taint.Value, taint.Effect))
	}
	return nil
}
