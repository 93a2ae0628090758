package gateway

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/hashicorp/terraform-plugin-log/tflog"

	"github.com/terraform-provider-palette/terraform-provider-palette/internal/hubapi"
)

const (
	lookFirst = 200 * time.Millisecond
	lookMost  = 3 * time.Second
	// defaultWait is how long a connection is waited for where nothing else is said.
	defaultWait = 15 * time.Minute
)

// reader waits for gateways, as long as one request may take.
type reader interface {
	AwaitGateway(ctx context.Context, id string, state hubapi.GatewayState) (*hubapi.Gateway, error)
}

// waitOnline waits until a gateway is online and returns it as it is then, or as it was seen last. A hub that cannot be
// reached for a moment is waited for as well.
func waitOnline(ctx context.Context, client reader, g *hubapi.Gateway) (*hubapi.Gateway, error) {
	begun := time.Now()
	for pause := lookFirst; g.Status.State != hubapi.GatewayOnline; pause = min(2*pause, lookMost) {
		timer := time.NewTimer(pause/2 + rand.N(pause/2)) //nolint:gosec // Jitter needs no secrecy.
		select {
		case <-ctx.Done():
			timer.Stop()
			return g, fmt.Errorf("waiting for the gateway: %w", ctx.Err())
		case <-timer.C:
		}
		now, err := client.AwaitGateway(ctx, g.ID, hubapi.GatewayOnline)
		switch {
		case ctx.Err() != nil:
			return g, fmt.Errorf("waiting for the gateway: %w", ctx.Err())
		case err != nil && !hubapi.LostConnection(err):
			return g, err
		case err != nil:
			continue
		}
		if now.Status.State != g.Status.State || len(now.Status.Replicas) != len(g.Status.Replicas) {
			tflog.Info(ctx, "gateway progress", map[string]any{
				"status": string(now.Status.State), "replicas": len(now.Status.Replicas),
				"elapsed": time.Since(begun).Round(time.Second).String(),
			})
		}
		g = now
	}
	return g, nil
}

// standing says for people how far a gateway has come.
func standing(g *hubapi.Gateway) string {
	switch g.Status.State {
	case hubapi.GatewayPending:
		return fmt.Sprintf("No process has been paired as gateway %q (%s) yet. Run one of the commands of install where the gateway "+
			"is to be; a token that has expired is renewed by another pairing_trigger.", g.Name, g.ID)
	case hubapi.GatewayOffline:
		return fmt.Sprintf("Gateway %q (%s) has been paired, but no replica is connected. Look at its log (journalctl -u "+
			"palette-gateway) for what keeps it from reaching the hub.", g.Name, g.ID)
	default:
		return fmt.Sprintf("Gateway %q (%s) is %s.", g.Name, g.ID, g.Status.State)
	}
}

// stopped tells whether a wait ended because nobody waits any longer.
func stopped(err error) bool {
	return errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled)
}

func whyStopped(err error) string {
	if errors.Is(err, context.DeadlineExceeded) {
		return "The timeout passed before the gateway was online."
	}
	return "The wait was interrupted before the gateway was online."
}
