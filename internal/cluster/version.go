package cluster

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// semver is what Kubernetes versions look like; build metadata such as "+vmware.1" occurs in vendors' templates.
var semver = regexp.MustCompile(`^v?(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)(-[0-9A-Za-z.-]+)?(\+[0-9A-Za-z.-]+)?$`)

// version is a Kubernetes version, parsed as far as it is compared.
type version struct {
	major, minor, patch int
}

func parseVersion(text string) (version, error) {
	m := semver.FindStringSubmatch(text)
	if m == nil {
		return version{}, fmt.Errorf("%q is not a version such as v1.34.1", text)
	}
	var numbers [3]int
	for i := range numbers {
		n, err := strconv.Atoi(m[i+1])
		if err != nil {
			return version{}, fmt.Errorf("%q is not a version such as v1.34.1", text)
		}
		numbers[i] = n
	}
	return version{major: numbers[0], minor: numbers[1], patch: numbers[2]}, nil
}

func (v version) before(other version) bool {
	if v.major != other.major {
		return v.major < other.major
	}
	if v.minor != other.minor {
		return v.minor < other.minor
	}
	return v.patch < other.patch
}

// canonical writes a version with its "v" and without build metadata, which has no part in precedence.
func canonical(text string) string {
	if text == "" {
		return ""
	}
	text, _, _ = strings.Cut(text, "+")
	return "v" + strings.TrimPrefix(text, "v")
}
