package cloudaccount

import (
	"slices"
	"strings"

	"github.com/terraform-provider-palette/terraform-provider-palette/internal/hubapi"
)

// canonicalVCenter returns the hub's spelling; what is no address is left as it is, the validator has refused it.
func canonicalVCenter(s string) string {
	host, err := hubapi.CanonicalVCenter(s)
	if err != nil {
		return s
	}
	return host
}

func sameVCenter(a, b string) bool { return canonicalVCenter(a) == canonicalVCenter(b) }

// canonicalPEM drops what editors and heredocs add: space at either end, indentation and carriage returns.
func canonicalPEM(s string) string {
	if strings.TrimSpace(s) == "" {
		return ""
	}
	var b strings.Builder
	for line := range strings.Lines(s) {
		if line = strings.TrimSpace(line); line != "" {
			b.WriteString(line + "\n")
		}
	}
	return b.String()
}

func samePEM(a, b string) bool { return canonicalPEM(a) == canonicalPEM(b) }

func canonicalThumbprints(list []string) []string {
	var upper []string
	for _, t := range list {
		upper = append(upper, strings.ToUpper(t))
	}
	return upper
}

func sameThumbprints(a, b []string) bool {
	return slices.Equal(canonicalThumbprints(a), canonicalThumbprints(b))
}
