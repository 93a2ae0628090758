#!/usr/bin/env bash
# Prints the path of the Terraform or OpenTofu command line that this project runs: $TF_CLI where it is set, else
# terraform or tofu on PATH if it is 1.11 or newer, else OpenTofu, built once from its Go module into .cache/bin.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

# new_enough tells whether a command line knows write-only arguments, which came with 1.11.
new_enough() {
	local version major minor
	version=$("$1" version -json 2>/dev/null | sed -n 's/.*"terraform_version": *"\([0-9.]*\).*/\1/p')
	IFS=. read -r major minor _ <<<"${version:-0.0.0}"
	[ "$major" -gt 1 ] || { [ "$major" -eq 1 ] && [ "$minor" -ge 11 ]; }
}

if [ -n "${TF_CLI:-}" ]; then
	path=$(command -v "$TF_CLI") || {
		echo "TF_CLI=$TF_CLI is not a program" >&2
		exit 1
	}
	new_enough "$path" || {
		echo "TF_CLI=$TF_CLI is older than 1.11, which write-only arguments need" >&2
		exit 1
	}
	# A relative TF_CLI has to work from the directories of the tests, too.
	case $path in /*) ;; *) path=$PWD/$path ;; esac
	echo "$path"
	exit 0
fi

for name in terraform tofu; do
	if path=$(command -v "$name") && new_enough "$path"; then
		echo "$path"
		exit 0
	fi
done

# The file name carries the version, so that a newer pin is built anew.
version=$(sed -n 's/^.*github.com\/opentofu\/opentofu \(v[0-9.]*\).*$/\1/p' "$root/tools/tofu/go.mod" | sed -n 1p)
path=$root/.cache/opentofu-$version/tofu
if [ ! -x "$path" ]; then
	echo "No terraform or tofu of at least 1.11 on PATH: building OpenTofu $version (a few minutes, once)" >&2
	cd "$root"
	go build -modfile=tools/tofu/go.mod -trimpath -buildvcs=false -o "$path.new" \
		-ldflags '-s -w -X github.com/opentofu/opentofu/version.dev=no' \
		github.com/opentofu/opentofu/cmd/tofu >&2
	mv "$path.new" "$path"
fi
echo "$path"
