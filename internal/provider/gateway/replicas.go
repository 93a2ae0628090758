package gateway

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/terraform-plugin-log/tflog"

	"github.com/terraform-provider-palette/terraform-provider-palette/internal/gateway/install"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/hubapi"
)

// restartLimit is how long a replica may still look connected that has been restarted: a hub notices within 25 s.
const restartLimit = 30 * time.Second

// replicas is the hub's view of an appliance, for the one who makes the VMs.
type replicas struct {
	client *hubapi.Client
	id     string
	// fingerprint is that of the gateway's key; "" before it has one.
	fingerprint string
	ttl         time.Duration
	install     install.Options
	boot        boot
	// introduction is that of the gateway's pairing token: replicas share the key with nobody who does not know it.
	introduction []byte
	// wait is how long one VM may take.
	wait time.Duration

	mu    sync.Mutex
	known map[string]hubapi.GatewayReplica
}

func newReplicas(client *hubapi.Client, g *hubapi.Gateway, fingerprint string) *replicas {
	r := &replicas{
		client: client, id: g.ID, fingerprint: fingerprint,
		known: map[string]hubapi.GatewayReplica{},
	}
	r.note(g)
	return r
}

func (r *replicas) note(g *hubapi.Gateway) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, replica := range g.Status.Replicas {
		if replica.RevokedAt != nil {
			continue
		}
		// Of several with one name the connected one counts.
		if old, ok := r.known[replica.Name]; !ok || old.ConnectedSince == nil || replica.ConnectedSince != nil {
			r.known[replica.Name] = replica
		}
	}
}

// UserData implements DeployedReplicas.
func (r *replicas) UserData(ctx context.Context, name string) (string, error) {
	token, _, err := r.client.Pair(ctx, r.id, hubapi.PairOptions{
		TTL: r.ttl, Fingerprint: r.fingerprint, Introduction: r.introduction, Kept: true,
	})
	if err != nil {
		return "", err
	}
	tflog.Info(ctx, "made a pairing token", map[string]any{"gateway_id": r.id, "pairing_id": token.ID, "machine": name})
	o := r.install
	o.Token, o.Proxy = token.String(), r.boot.Proxy
	return userData(o, r.boot)
}

// userData is the cloud-init document of a VM: what installs a gateway, and what the VM itself needs.
func userData(o install.Options, b boot) (string, error) {
	text := install.CloudInit(o)
	extra := map[string]any{}
	if len(b.NTP) > 0 {
		extra["ntp"] = map[string]any{"enabled": true, "servers": b.NTP}
	}
	if len(b.CAs) > 0 {
		extra["ca_certs"] = map[string]any{"trusted": b.CAs}
	}
	var more strings.Builder
	for _, key := range []string{"ca_certs", "ntp"} {
		value, ok := extra[key]
		if !ok {
			continue
		}
		// JSON is YAML.
		line, err := json.Marshal(value)
		if err != nil {
			return "", fmt.Errorf("encoding %s: %w", key, err)
		}
		fmt.Fprintf(&more, "%s: %s\n", key, line)
	}
	return strings.TrimRight(text, "\n") + "\n" + more.String(), nil
}

// Joined implements DeployedReplicas.
func (r *replicas) Joined(name string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	replica, ok := r.known[name]
	return ok && !replica.PairedAt.IsZero()
}

// AwaitOnline implements DeployedReplicas.
func (r *replicas) AwaitOnline(ctx context.Context, name string, restarted bool) error {
	ctx, cancel := context.WithTimeout(ctx, r.wait)
	defer cancel()
	r.mu.Lock()
	before := r.known[name].ConnectedSince
	r.mu.Unlock()
	begun := time.Now()
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		g, err := r.client.Gateway(ctx, r.id)
		if err != nil && ctx.Err() == nil && !hubapi.LostConnection(err) {
			return err
		}
		if err == nil && r.back(ctx, g, name, before, restarted && time.Since(begun) < restartLimit) {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return r.notOnline(name, ctx.Err())
		}
	}
}

// back tells whether a replica is connected. One that was restarted may still look so for a while.
func (r *replicas) back(ctx context.Context, g *hubapi.Gateway, name string, before *time.Time, restarting bool) bool {
	var online *hubapi.GatewayReplica
	for i, replica := range g.Status.Replicas {
		if replica.Name == name && replica.RevokedAt == nil && replica.ConnectedSince != nil {
			online = &g.Status.Replicas[i]
		}
	}
	if online == nil || restarting && before != nil && online.ConnectedSince.Equal(*before) {
		return false
	}
	r.note(g)
	// An earlier VM of the name, which is gone, must not come back.
	for _, replica := range g.Status.Replicas {
		if replica.Name == name && replica.ID != online.ID && replica.RevokedAt == nil && replica.ConnectedSince == nil {
			if err := r.client.RevokeReplica(ctx, r.id, replica.ID); err != nil {
				tflog.Warn(ctx, "could not revoke the replica of a VM that is gone", map[string]any{"replica_id": replica.ID, "error": err.Error()})
			}
		}
	}
	return true
}

func (r *replicas) notOnline(name string, err error) error {
	why := "it has not come online in " + r.wait.String()
	if errors.Is(err, context.Canceled) {
		why = "the wait was interrupted"
	}
	return hubapi.NewProblem(hubapi.CodeUnreachable, "VM %s was made, and %s", name, why).WithHint(
		"Look at its console and at /var/log/cloud-init-output.log for what keeps it from the hub. The next apply makes it anew if it has " +
			"not been paired by then. Where all other replicas are lost, a new one cannot get the gateway's key.")
}

// Forget implements DeployedReplicas.
func (r *replicas) Forget(ctx context.Context, name string) error {
	g, err := r.client.Gateway(ctx, r.id)
	if err != nil {
		return err
	}
	for _, replica := range g.Status.Replicas {
		if replica.Name != name || replica.RevokedAt != nil {
			continue
		}
		if err := r.client.RevokeReplica(ctx, r.id, replica.ID); err != nil && !errors.Is(err, hubapi.ErrNotFound) {
			return err
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.known, name)
	return nil
}

// Say implements DeployedReplicas.
func (r *replicas) Say(ctx context.Context, message string) {
	tflog.Info(ctx, "appliance progress", map[string]any{"gateway_id": r.id, "event": message})
}
