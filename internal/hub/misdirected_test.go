package hub_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/terraform-provider-palette/terraform-provider-palette/internal/gatewayapi"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/hubapi"
)

// TestWriteMeetsTakeover writes a cluster while the lease goes from one replica to another: the replica that is asked has
// it no longer, and the one that has it is found, without the writer noticing.
func TestWriteMeetsTakeover(t *testing.T) {
	b := newBench(t)
	account := b.account("prod")
	b.gateway.set(func() {
		b.gateway.refuse[gatewayapi.PathAssign] = &hubapi.Problem{
			Status: http.StatusServiceUnavailable, Code: hubapi.CodeConflict, Detail: "this replica does not have the lease",
		}
	})
	over := time.AfterFunc(time.Second, func() {
		b.gateway.set(func() { delete(b.gateway.refuse, gatewayapi.PathAssign) })
	})
	defer over.Stop()
	c := b.create(spec("prod", account.ID))
	if given := b.gateway.assignments(); len(given) != 1 || given[0].ID != c.ID {
		t.Errorf("assigned %+v", given)
	}
}
