package testkit

import (
	"maps"
	"sync"
)

// traffic counts what reaches the server.
type traffic struct {
	mu     sync.Mutex
	soap   map[string]int
	total  int
	rest   int
	logins int
	failed int
	before func(method string, n int) error
	after  func(method string, n int) error
}

// quiet are the SOAP methods of coming and going that SOAPCalls leaves out.
var quiet = map[string]bool{
	"Login": true, "LoginByToken": true, "LoginExtensionByCertificate": true, "Logout": true,
	"RetrieveServiceContent": true,
}

func (t *traffic) reset() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.soap, t.total, t.rest = map[string]int{}, 0, 0
}

// countSOAP counts a call and returns its number, from 1, since the last reset, with the hooks for it.
func (t *traffic) countSOAP(method string) (n int, before, after func(string, int) error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.soap[method]++
	t.total++
	return t.total, t.before, t.after
}

func (t *traffic) countREST() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.rest++
}

func (t *traffic) countLogin(ok bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.logins++
	if !ok {
		t.failed++
	}
}

// Calls returns how often each SOAP method was called since the last ResetCalls. Calls of Client are not counted.
func (vc *VCenter) Calls() map[string]int {
	vc.traffic.mu.Lock()
	defer vc.traffic.mu.Unlock()
	return maps.Clone(vc.traffic.soap)
}

// SOAPCalls returns the number of SOAP calls since the last ResetCalls, without those of logging in and out.
func (vc *VCenter) SOAPCalls() int {
	total := 0
	for method, n := range vc.Calls() {
		if !quiet[method] {
			total += n
		}
	}
	return total
}

// RESTCalls returns the number of REST requests since the last ResetCalls, without those that open or close a session.
func (vc *VCenter) RESTCalls() int {
	vc.traffic.mu.Lock()
	defer vc.traffic.mu.Unlock()
	return vc.traffic.rest
}

// ResetCalls starts counting calls anew, also for OnCall and AfterCall. Logins go on being counted.
func (vc *VCenter) ResetCalls() { vc.traffic.reset() }

// LoginAttempts returns how many times someone tried to log in, by SOAP or REST, since the start.
func (vc *VCenter) LoginAttempts() int {
	vc.traffic.mu.Lock()
	defer vc.traffic.mu.Unlock()
	return vc.traffic.logins
}

// FailedLogins returns how many of LoginAttempts were refused.
func (vc *VCenter) FailedLogins() int {
	vc.traffic.mu.Lock()
	defer vc.traffic.mu.Unlock()
	return vc.traffic.failed
}

// OnCall sets a hook that runs before each SOAP call is executed, with the call's number since the last ResetCalls, from
// 1. If it returns an error the call is lost: it is not executed and its connection is cut. Nil removes the hook.
func (vc *VCenter) OnCall(hook func(method string, n int) error) {
	vc.traffic.mu.Lock()
	defer vc.traffic.mu.Unlock()
	vc.traffic.before = hook
}

// AfterCall sets a hook that runs after each SOAP call was executed and before its response is sent. If it returns an
// error the response is lost: the connection is cut instead. Nil removes the hook.
func (vc *VCenter) AfterCall(hook func(method string, n int) error) {
	vc.traffic.mu.Lock()
	defer vc.traffic.mu.Unlock()
	vc.traffic.after = hook
}
