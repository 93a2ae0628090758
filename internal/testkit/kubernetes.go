package testkit

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/terraform-provider-palette/terraform-provider-palette/internal/testkit/payload"
)

// Node is a node as the cluster's API would tell of it.
type Node struct {
	Name string
	// Role is control-plane or worker.
	Role    string
	Version string
	Labels  map[string]string
	// Taints are written "key=value:effect".
	Taints  []string
	Address string
	Ready   bool
}

const (
	roleControlPlane = "control-plane"
	roleWorker       = "worker"

	controlPlaneTaint = "node-role.kubernetes.io/control-plane=:NoSchedule"
)

// kubernetes are the clusters that guests have made, by endpoint. The lock of guests guards it.
type kubernetes struct{ clusters map[string]*record }

// record is one cluster.
type record struct {
	caHash  string
	version string
	// tokens map bootstrap tokens to when they end; zero is never.
	tokens map[string]time.Time
	// nodes are by the instance UUID of their machines.
	nodes map[string]*Node
}

// alive tells whether the cluster still has control planes, ready or not.
func (r *record) alive() bool {
	for _, node := range r.nodes {
		if node.Role == roleControlPlane {
			return true
		}
	}
	return false
}

func (k *kubernetes) answers(endpoint string) bool {
	r := k.clusters[endpoint]
	if r == nil {
		return false
	}
	for _, node := range r.nodes {
		if node.Role == roleControlPlane && node.Ready {
			return true
		}
	}
	return false
}

func newNode(p *payload.Payload, address string) *Node {
	node := &Node{
		Name: p.NodeName, Role: roleControlPlane, Version: p.Version, Labels: p.Labels,
		Taints: slices.Clone(p.Taints), Address: address, Ready: true,
	}
	if p.Mode == payload.JoinWorker {
		node.Role = roleWorker
	} else if p.DefaultTaints {
		node.Taints = []string{controlPlaneTaint}
	}
	return node
}

// initialise is kubeadm init. A second one for a living cluster must never happen.
func (g *guests) initialise(p *payload.Payload, instanceUUID, address string) error {
	if r := g.kubernetes.clusters[p.Endpoint]; r != nil && r.alive() && r.nodes[instanceUUID] == nil {
		text := fmt.Sprintf("%s runs kubeadm init for the living cluster at %s", p.NodeName, p.Endpoint)
		g.violations = append(g.violations, text)
		return fmt.Errorf("another cluster answers at %s", p.Endpoint)
	}
	r := &record{
		caHash: p.CAHash, version: p.Version, tokens: map[string]time.Time{},
		nodes: map[string]*Node{instanceUUID: newNode(p, address)},
	}
	for token, life := range p.Tokens {
		r.tokens[token] = time.Time{}
		if life > 0 {
			r.tokens[token] = time.Now().Add(life)
		}
	}
	g.kubernetes.clusters[p.Endpoint] = r
	return nil
}

// join is kubeadm join.
func (k *kubernetes) join(p *payload.Payload, instanceUUID, address string) error {
	r := k.clusters[p.Endpoint]
	if r == nil || !k.answers(p.Endpoint) {
		return fmt.Errorf("the API server at %s does not answer", p.Endpoint)
	}
	if r.caHash != p.CAHash {
		return fmt.Errorf("the API server at %s has the CA %s, none of caCertHashes", p.Endpoint, r.caHash)
	}
	end, known := r.tokens[p.JoinToken]
	if !known || (!end.IsZero() && time.Now().After(end)) {
		return fmt.Errorf("the bootstrap token is unknown to the API server at %s or has expired", p.Endpoint)
	}
	if err := checkSkew(r.version, p); err != nil {
		return err
	}
	for uuid, node := range r.nodes {
		if node.Name == p.NodeName && node.Ready && uuid != instanceUUID {
			return fmt.Errorf("a node with the name %q and status Ready exists in the cluster", node.Name)
		}
	}
	r.nodes[instanceUUID] = newNode(p, address)
	if p.Mode == payload.JoinControlPlane && minorVersion(p.Version) > minorVersion(r.version) {
		r.version = p.Version
	}
	return nil
}

// checkSkew: a control plane may be one minor version newer than the cluster, a kubelet up to three older, never newer.
func checkSkew(version string, p *payload.Payload) error {
	difference := minorVersion(p.Version) - minorVersion(version)
	if p.Mode == payload.JoinControlPlane && (difference < 0 || difference > 1) {
		return fmt.Errorf("a control plane of %s cannot join a cluster of %s", p.Version, version)
	}
	if p.Mode == payload.JoinWorker && (difference > 0 || difference < -3) {
		return fmt.Errorf("a node of %s cannot join a cluster of %s", p.Version, version)
	}
	return nil
}

func minorVersion(version string) int {
	parts := strings.Split(version, ".")
	if len(parts) < 2 {
		return 0
	}
	minor, err := strconv.Atoi(parts[1])
	if err != nil {
		return 0
	}
	return minor
}

// stop makes the node of a machine not ready, start makes it ready, remove makes it go away.
func (k *kubernetes) stop(instanceUUID string) { k.setReady(instanceUUID, false) }

func (k *kubernetes) start(instanceUUID string) { k.setReady(instanceUUID, true) }

func (k *kubernetes) setReady(instanceUUID string, ready bool) {
	for _, r := range k.clusters {
		if node := r.nodes[instanceUUID]; node != nil {
			node.Ready = ready
		}
	}
}

func (k *kubernetes) remove(instanceUUID string) {
	for _, r := range k.clusters {
		delete(r.nodes, instanceUUID)
	}
}

// Nodes returns the nodes of the cluster whose API server answers at a host:port, sorted by name.
func (vc *VCenter) Nodes(endpoint string) []Node {
	vc.guests.mu.Lock()
	defer vc.guests.mu.Unlock()
	r := vc.guests.kubernetes.clusters[endpoint]
	if r == nil {
		return nil
	}
	var nodes []Node
	for _, node := range r.nodes {
		nodes = append(nodes, *node)
	}
	slices.SortFunc(nodes, func(a, b Node) int { return cmp.Compare(a.Name, b.Name) })
	return nodes
}
