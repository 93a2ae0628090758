package site

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
	"testing"
	"time"

	"github.com/terraform-provider-palette/terraform-provider-palette/internal/gateway/agent"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/gateway/policy"
)

// replicaVariable names the identity of a hurried replica: the test's own binary run once more, as a gateway that looks at
// its vCenter without a pause.
const replicaVariable = "PALETTE_SITE_REPLICA"

const hurriedPace = 20 * time.Millisecond

// Main runs the tests of a package that uses sites, and is what its TestMain calls.
func Main(m *testing.M) {
	if dir := os.Getenv(replicaVariable); dir != "" {
		if err := runReplica(dir); err != nil {
			fmt.Fprintln(os.Stderr, "error:", err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	code := m.Run()
	Clean()
	os.Exit(code)
}

func runReplica(dir string) error {
	rules, err := policy.Parse([]byte(policyText))
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	return agent.Run(ctx, agent.Config{
		DataDir: dir, Version: "test", Policy: rules, Pace: hurriedPace,
		Log: slog.New(slog.NewJSONHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelDebug})),
	})
}
