package sessions

import "testing"

// TestCrowd shows that one network cannot have all the room, whichever of its addresses it uses, and that room comes back.
func TestCrowd(t *testing.T) {
	c := newCrowd(5, 2)
	enter := func(address string) func() {
		t.Helper()
		leave, ok := c.enter(address)
		if !ok {
			t.Fatalf("no room for %s", address)
		}
		return leave
	}
	refused := func(address string) {
		t.Helper()
		if _, ok := c.enter(address); ok {
			t.Errorf("one too many: %s", address)
		}
	}
	all := []func(){enter("2001:db8::1"), enter("2001:db8::ffff")}
	refused("2001:db8::2")
	all = append(all, enter("10.0.0.1"), enter("10.0.0.1"))
	refused("10.0.0.1")
	all = append(all, enter("10.0.0.2"))
	refused("10.0.0.3") // five in all
	for _, leave := range all {
		leave()
	}
	if c.all != 0 || len(c.of) != 0 {
		t.Errorf("%d are left over, in %d networks", c.all, len(c.of))
	}
	enter("2001:db8::2")
}
