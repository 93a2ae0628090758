package service_test

import (
	"testing"

	"github.com/google/uuid"

	"github.com/terraform-provider-palette/terraform-provider-palette/internal/hubapi"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/testkit/hubtest"
)

// BenchmarkRequest measures a request through the whole front: TLS, token, role, limits, metrics and one read of a record;
// and one that is kept in the audit log, which is on disk before the answer.
func BenchmarkRequest(b *testing.B) {
	h := hubtest.Start(b, generous)
	client := h.Client("prod", hubapi.RoleAdmin)
	id := uuid.NewString()
	b.Run("read", func(b *testing.B) {
		for b.Loop() {
			if _, err := client.ClusterByName(b.Context(), "x"); err == nil {
				b.Fatal("found what is not there")
			}
		}
	})
	b.Run("audited", func(b *testing.B) {
		for b.Loop() {
			if err := client.DeleteCluster(b.Context(), id); err == nil {
				b.Fatal("deleted what is not there")
			}
		}
	})
}
