package site_test

import (
	"testing"

	"github.com/terraform-provider-palette/terraform-provider-palette/internal/site"
)

func TestMain(m *testing.M) { site.Main(m) }
