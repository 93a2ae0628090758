package site_test

import (
	"os"
	"testing"

	"github.com/terraform-provider-palette/terraform-provider-palette/internal/site"
)

func TestMain(m *testing.M) {
	code := m.Run()
	site.Clean()
	os.Exit(code)
}
