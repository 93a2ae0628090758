package access

import (
	"bytes"
	"encoding/json"
	"fmt"
	"path"

	"github.com/terraform-provider-palette/terraform-provider-palette/internal/hubapi"
)

// Rule gives a role in a project to the workloads whose claims fit. All of its claims and patterns have to.
//
// A claim fits when it is the value exactly: letter by letter, nothing more. Numbers and booleans are compared as JSON
// writes them. A claim that is a list fits when one of its elements does.
type Rule struct {
	Claims map[string]string `json:"claims,omitempty"`
	// ClaimPatterns fit as in Go's path.Match: "*" stands for any characters but "/", "?" for one, "[a-c]" for one of
	// these. So "refs/tags/v*" is each tag that begins with v, and "org/*" each repository of org, but "org*" is also one
	// of "organised-crime".
	ClaimPatterns map[string]string `json:"claim_patterns,omitempty"`
	Project       string            `json:"project"`
	Role          hubapi.Role       `json:"role"`
}

func (r Rule) check() error {
	// Public CI systems sign for everybody: a rule that asks for nothing would let all of the world in.
	if len(r.Claims)+len(r.ClaimPatterns) == 0 {
		return fmt.Errorf("a rule for project %q asks for no claim", r.Project)
	}
	if !hubapi.ValidProject(r.Project) {
		return fmt.Errorf("%q is not the name of a project", r.Project)
	}
	if !r.Role.Valid() {
		return fmt.Errorf("there is no role %q: want viewer, editor or admin", r.Role)
	}
	for name, pattern := range r.ClaimPatterns {
		if _, err := path.Match(pattern, ""); err != nil {
			return fmt.Errorf("the pattern for claim %s: %w", name, err)
		}
	}
	return nil
}

// claims are a workload's, each as JSON has it.
type claims map[string]json.RawMessage

func (r Rule) fits(c claims) bool {
	for name, want := range r.Claims {
		if !c.some(name, func(value string) bool { return value == want }) {
			return false
		}
	}
	for name, pattern := range r.ClaimPatterns {
		if !c.some(name, func(value string) bool { ok, err := path.Match(pattern, value); return ok && err == nil }) {
			return false
		}
	}
	return true
}

// some tells whether the claim, or one of its elements, passes the test.
func (c claims) some(name string, test func(string) bool) bool {
	raw, ok := c[name]
	if !ok {
		return false
	}
	var list []json.RawMessage
	if json.Unmarshal(raw, &list) != nil {
		list = []json.RawMessage{raw}
	}
	for _, element := range list {
		if value, ok := scalar(element); ok && test(value) {
			return true
		}
	}
	return false
}

// scalar returns the text of a string, number or boolean.
func scalar(raw json.RawMessage) (string, bool) {
	raw = bytes.TrimSpace(raw)
	switch {
	case len(raw) == 0, raw[0] == '{', raw[0] == '[', raw[0] == 'n':
		return "", false
	case raw[0] == '"':
		var text string
		err := json.Unmarshal(raw, &text)
		return text, err == nil
	default:
		return string(raw), true
	}
}

// choose returns the first rule for the project that fits; when there is none, the first that fits at all, which tells
// what the workload may do elsewhere.
func choose(rules []Rule, c claims, project string) (Rule, bool) {
	var elsewhere *Rule
	for i := range rules {
		if !rules[i].fits(c) {
			continue
		}
		if rules[i].Project == project {
			return rules[i], true
		}
		if elsewhere == nil {
			elsewhere = &rules[i]
		}
	}
	if elsewhere == nil {
		return Rule{}, false
	}
	return *elsewhere, true
}
