#!/usr/bin/env bash
# Looks for known vulnerabilities in what the project calls. A finding fails; a database that cannot be reached does not,
# but is said so loudly. GOVULNDB names another database, such as a mirror or file:///path/to/a/copy.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
db=${GOVULNDB:-https://vuln.go.dev}

govulncheck() { go tool -modfile=tools/go.mod govulncheck -db "$db" "$@"; }

# govulncheck tells when the database changed last, and leaves that line out when it could not ask.
if ! govulncheck -version | grep -q '^DB updated:'; then
	cat >&2 <<EOF

  ############################################################################
  #  NO VULNERABILITY CHECK: the database cannot be reached:
  #    $db
  #  Run "make vuln" where it can, or set GOVULNDB to a mirror of it.
  ############################################################################

EOF
	exit 0
fi

govulncheck -test ./...
