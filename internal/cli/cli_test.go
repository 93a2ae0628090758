package cli

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestRunCommands(t *testing.T) {
	cases := map[string]struct {
		reason string
		args   []string
		out    string
		fails  bool
	}{
		"Version": {"a person asks which version this is", []string{"version"}, "1.2.3\n", false},
		"Unknown": {"an unknown command is an error", []string{"frobnicate"}, "", true},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			var out bytes.Buffer
			err := Run(t.Context(), "1.2.3", tc.args, &out)
			if (err != nil) != tc.fails {
				t.Fatalf("%s: %v", tc.reason, err)
			}
			if diff := cmp.Diff(tc.out, out.String()); diff != "" {
				t.Errorf("%s: %s", tc.reason, diff)
			}
		})
	}
}

func TestPluginLog(t *testing.T) {
	cases := map[string]struct {
		reason string
		env    map[string]string
		lines  int
	}{
		"Unset": {"nobody asked for a log", nil, 0},
		"Off":   {"somebody asked for none", map[string]string{"TF_LOG": "off"}, 0},
		"Info":  {"info and above", map[string]string{"TF_LOG_PROVIDER": "INFO"}, 2},
		"Error": {"the provider's level wins", map[string]string{"TF_LOG": "TRACE", "TF_LOG_PROVIDER": "ERROR"}, 0},
		"Debug": {"all", map[string]string{"TF_LOG": "debug"}, 3},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			var out bytes.Buffer
			log := pluginLog(&out, func(key string) string { return tc.env[key] })
			log.Debug("d")
			log.Info("i", "cluster", "prod")
			log.Warn("w")
			lines := strings.Split(strings.TrimSuffix(out.String(), "\n"), "\n")
			if out.Len() == 0 {
				lines = nil
			}
			if len(lines) != tc.lines {
				t.Fatalf("%s: got %q", tc.reason, lines)
			}
			for _, line := range lines {
				var fields map[string]any
				if err := json.Unmarshal([]byte(line), &fields); err != nil {
					t.Fatal(err)
				}
				if fields["@message"] == nil || fields["@level"] == nil || fields["@timestamp"] == nil {
					t.Errorf("%s: Terraform cannot read %s", tc.reason, line)
				}
			}
		})
	}
}
