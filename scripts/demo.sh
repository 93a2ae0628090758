#!/usr/bin/env bash
# The demo: a simulated vCenter with guests in the background, and examples/quickstart applied to it with the real
# command line. Everything it makes lies in .demo/ and goes with "clean".
#
#   scripts/demo.sh up      build, start, apply, show
#   scripts/demo.sh clean   destroy, stop, remove
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
demo=$root/.demo
config=$demo/quickstart
pid_file=$demo/vcsim.pid
ready_file=$demo/vcsim.json
log=$demo/vcsim.log
listen=${DEMO_LISTEN:-127.0.0.1:0}
start_seconds=60

# Colours are for terminals.
bold='' plain='' colour=-no-color
if [ -t 1 ]; then
	bold=$'\033[1m' plain=$'\033[0m' colour=
fi

say() { printf '\n%s%s%s\n' "$bold" "$*" "$plain"; }

die() {
	echo "demo: $*" >&2
	exit 1
}

# running tells whether the process in the pid file is the simulator that this demo started, not a later one that got
# the same number.
running() {
	local pid command
	pid=$(cat "$pid_file" 2>/dev/null) || return 1
	kill -0 "$pid" 2>/dev/null || return 1
	if [ -r "/proc/$pid/cmdline" ]; then
		command=$(tr '\0' ' ' <"/proc/$pid/cmdline")
	else
		command=$(ps -p "$pid" -o args= 2>/dev/null) || return 1
	fi
	[[ $command == "$demo/bin/vcsim "* ]]
}

start_simulator() {
	if running && [ -s "$ready_file" ]; then
		echo "The simulated vCenter of the last time is still running (process $(cat "$pid_file"))."
		return
	fi
	# What a simulator that is gone had in it is gone, too.
	rm -rf "$config" "$demo/data" "$ready_file" "$pid_file"
	(cd "$root" && go build -o "$demo/bin/vcsim" ./internal/testkit/cmd/vcsim)
	nohup "$demo/bin/vcsim" -listen "$listen" -ready-file "$ready_file" >"$log" 2>&1 </dev/null &
	local pid=$! waited=0
	echo "$pid" >"$pid_file"
	until [ -s "$ready_file" ]; do
		# For a moment it is still this shell by its command, so that only its number tells.
		kill -0 "$pid" 2>/dev/null || die "the simulated vCenter did not start; another DEMO_LISTEN may help. It said:
$(tail -n 20 "$log")"
		[ "$waited" -lt "$((start_seconds * 10))" ] || die "the simulated vCenter is not ready after $start_seconds s, see $log"
		sleep 0.1
		waited=$((waited + 1))
	done
	echo "It answers at $(ready url | tr -d '"') (process $(cat "$pid_file"), log in $log)."
}

stop_simulator() {
	running || return 0
	local pid waited=0
	pid=$(cat "$pid_file")
	kill "$pid"
	while running; do
		[ "$waited" -lt 100 ] || die "process $pid does not end"
		sleep 0.1
		waited=$((waited + 1))
	done
}

# ready prints a string of the ready file as it stands there: quoted and escaped, as a variables file takes it.
ready() {
	tr -d '\n' <"$ready_file" | sed -En 's/.*"'"$1"'"[[:space:]]*:[[:space:]]*("([^"\\]|\\.)*").*/\1/p'
}

write_configuration() {
	mkdir -p "$config"
	cp "$root"/examples/quickstart/*.tf "$config/"
	(
		umask 077
		cat >"$config/demo.auto.tfvars.json" <<-EOF
			{
			  "vcenter": $(ready url),
			  "vcenter_username": $(ready username),
			  "vcenter_password": $(ready password),
			  "vcenter_ca_file": $(ready ca_file)
			}
		EOF
	)
	# The provider that was just built stands in for the registry's, so nothing has to be installed by "init".
	cat >"$demo/cli.tfrc" <<-EOF
		provider_installation {
		  dev_overrides {
		    "terraform-provider-palette/palette" = "$demo/bin"
		  }
		  direct {}
		}
	EOF
	cat >"$demo/env" <<-EOF
		# Source this to look around: . .demo/env
		export TF_CLI_CONFIG_FILE='$demo/cli.tfrc'
		export PALETTE_DATA_DIR='$demo/data'
		cd '$config'
	EOF
}

# tf runs the command line in the demo's configuration.
tf() {
	TF_CLI_CONFIG_FILE=$demo/cli.tfrc PALETTE_DATA_DIR=$demo/data TF_IN_AUTOMATION=1 CHECKPOINT_DISABLE=1 "$cli" -chdir="$config" "$@"
}

up() {
	cli=$("$root/scripts/cli.sh")
	mkdir -p "$demo/bin"
	say "Building the provider"
	(cd "$root" && go build -o "$demo/bin/terraform-provider-palette" .)
	say "Starting a simulated vCenter"
	start_simulator
	write_configuration
	say "Applying examples/quickstart with $("$cli" version | sed -n 1p)"
	tf apply -auto-approve -input=false $colour
	say "What it made"
	tf output -raw machines
	printf '\n'
	say "What three workers more would do (a plan, nothing is changed)"
	tf plan -input=false -no-color -var workers=5 | operations
	look
}

# operations prints what is new in planned_operations of a plan's text.
operations() {
	awk '/ planned_operations += /  { blocks++ }
		blocks == 1 && / \]/ { blocks++ }
		blocks == 1 && /^ +\+ "/ { sub(/^ +\+ "/, "  "); sub(/",$/, ""); print }'
}

look() {
	local name
	name=$(basename "$cli")
	# One that was built for the project is not on PATH.
	[ "$(command -v "$name")" = "$cli" ] || name=$cli
	say "How to look"
	cat <<-EOF
		  . .demo/env                         # in a shell of its own: sets the provider, goes to the configuration
		  $name output
		  $name plan -var workers=4        # planned_operations says what an apply would do
		  $name apply -var workers=4
		  $name plan -var kubernetes_version=v1.33.5    # refused at plan: versions never go down
		  tail -f $log    # what the machines say while they boot

		The simulated vCenter is at $(ready url | tr -d '"'), user $(ready username | tr -d '"'), password $(ready password | tr -d '"').
	EOF
	say "How to clean up"
	echo "  make demo-clean"
}

clean() {
	if [ ! -d "$demo" ]; then
		echo "There is no demo to clean up."
		return
	fi
	if running && [ -f "$config/terraform.tfstate" ]; then
		cli=$("$root/scripts/cli.sh")
		# What somebody has broken in the simulator goes with it, destroyed or not.
		tf destroy -auto-approve -input=false $colour ||
			echo "The destroy failed; what is left goes with the simulated vCenter."
	fi
	stop_simulator
	rm -rf "$demo"
	echo "The demo is gone."
}

case ${1:-} in
up) up ;;
clean) clean ;;
*) die "say up or clean" ;;
esac
