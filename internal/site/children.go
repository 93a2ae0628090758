package site

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
	"testing"
	"time"

	"github.com/terraform-provider-palette/terraform-provider-palette/internal/gateway/agent"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/gateway/policy"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/hub/service"
)

// replicaVariable names the identity of a hurried replica: the test's own binary run once more, as a gateway that looks at
// its vCenter without a pause.
const replicaVariable = "PALETTE_SITE_REPLICA"

const hurriedPace = 20 * time.Millisecond

// hubVariable holds the configuration of a hub whose clock is wrong, which is the test's own binary, too.
const hubVariable = "PALETTE_SITE_HUB"

// wrongHub is a hub whose clock is wrong.
type wrongHub struct {
	Listen     string        `json:"listen"`
	DataDir    string        `json:"data_dir"`
	Database   string        `json:"database"`
	TLSCert    string        `json:"tls_cert"`
	TLSKey     string        `json:"tls_key"`
	SecretFile string        `json:"secret_file"`
	Skew       time.Duration `json:"skew"`
}

// Main runs the tests of a package that uses sites, and is what its TestMain calls.
func Main(m *testing.M) {
	for variable, role := range map[string]func(string) error{replicaVariable: runReplica, hubVariable: runHub} {
		text := os.Getenv(variable)
		if text == "" {
			continue
		}
		if err := role(text); err != nil {
			fmt.Fprintln(os.Stderr, "error:", err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	code := m.Run()
	Clean()
	os.Exit(code)
}

func runHub(text string) error {
	var h wrongHub
	if err := json.Unmarshal([]byte(text), &h); err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	return service.Run(ctx, service.Config{
		Listen: h.Listen, DataDir: h.DataDir, Database: h.Database, TLSCert: h.TLSCert, TLSKey: h.TLSKey, SecretFile: h.SecretFile,
		Version: "test", Log: childLog(), Clock: func() time.Time { return time.Now().Add(h.Skew) },
	})
}

func childLog() *slog.Logger {
	return slog.New(slog.NewJSONHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelDebug}))
}

func runReplica(dir string) error {
	rules, err := policy.Parse([]byte(policyText))
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	return agent.Run(ctx, agent.Config{
		DataDir: dir, Version: "test", Policy: rules, Pace: hurriedPace, Log: childLog(),
	})
}
