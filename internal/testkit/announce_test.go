package testkit

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestAnnounceSaysHowToLogIn(t *testing.T) {
	vc := Start(t, Options{})
	file := filepath.Join(t.TempDir(), "ready.json")
	check(t, vc.Announce(file))
	data, err := os.ReadFile(file)
	check(t, err)
	var got Access
	check(t, json.Unmarshal(data, &got))
	ca, err := os.ReadFile(got.CAFile)
	check(t, err)
	if _, err := dial(t, vc.Host(), string(ca), got.Username, got.Password); err != nil {
		t.Errorf("logging in: %v", err)
	}
	if diff := cmp.Diff([]string{vc.URL(), vc.Thumbprint()}, []string{got.URL, got.Thumbprint}); diff != "" {
		t.Errorf("access (-want +got):\n%s", diff)
	}
}
