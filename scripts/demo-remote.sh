#!/usr/bin/env bash
# The demo of the gateway that dials out: three network namespaces in a row. Terraform is outside, the hub is in the middle,
# and gateway and simulated vCenter are in the private one, which can dial the hub and cannot be dialled. What is applied
# is examples/remote. Everything it makes lies in .demo-remote/ and in the namespaces, and goes with "clean".
#
#   scripts/demo-remote.sh up      build, start, pair, apply, show
#   scripts/demo-remote.sh clean   destroy, stop, remove
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
demo=$root/.demo-remote
bin=$demo/bin
palette=$bin/terraform-provider-palette
outside=palette-outside
middle=palette-hub
private=palette-private
# Of the ranges for documentation, except the vCenter's, which is one of the private network.
hub_address=203.0.113.1
outside_address=203.0.113.2
uplink_address=198.51.100.1
gateway_address=198.51.100.2
vcenter_address=10.20.0.5
hub_url=https://$hub_address:8443
start_seconds=60

# Colours are for terminals.
bold='' plain='' colour=-no-color
if [ -t 1 ]; then
	bold=$'\033[1m' plain=$'\033[0m' colour=
fi

say() { printf '\n%s%s%s\n' "$bold" "$*" "$plain"; }

die() {
	echo "demo-remote: $*" >&2
	exit 1
}

need() {
	[ "$(uname -s)" = Linux ] || die "network namespaces need Linux"
	[ "$(id -u)" -eq 0 ] || die "network namespaces need root: run it with sudo, or as root in a container with CAP_NET_ADMIN and CAP_SYS_ADMIN"
	command -v ip >/dev/null || die "the command ip is missing: install the package iproute2"
}

# at runs a command in a namespace.
at() { ip netns exec "$@"; }

make_networks() {
	local name
	if ip netns list | grep -qw "$private"; then
		echo "They are there from the last time."
		return
	fi
	for name in $outside $middle $private; do
		ip netns add $name
		ip -n $name link set lo up
	done
	join $middle front $hub_address $outside hub $outside_address
	join $middle back $uplink_address $private uplink $gateway_address
	ip -n $private route add default via $uplink_address
	ip -n $private addr add $vcenter_address/32 dev lo
	# Outside can send to wherever it likes by way of the hub's machine, which forwards nothing and knows no way.
	ip -n $outside route add default via $hub_address
	close_inwards
	cat <<-EOT
		  $outside  $outside_address  Terraform
		  $middle      $hub_address  hub, knows no way to $vcenter_address
		  $private  $gateway_address (uplink), $vcenter_address (vCenter)  gateway and vCenter, $inwards
	EOT
}

# join connects two namespaces with a cable.
join() {
	ip link add "$2" netns "$1" type veth peer name "$5" netns "$4"
	ip -n "$1" addr add "$3/30" dev "$2"
	ip -n "$4" addr add "$6/30" dev "$5"
	ip -n "$1" link set "$2" up
	ip -n "$4" link set "$5" up
}

# close_inwards lets nobody dial into the private network. Without nft, having no way in has to do.
close_inwards() {
	inwards="no way in: install nftables for a firewall, too"
	command -v nft >/dev/null || return 0
	at $private nft "table inet demo { chain input { type filter hook input priority 0; policy drop; iif lo accept; ct state established,related accept; }; }"
	inwards="whose firewall lets nobody in"
}

# running tells whether the process in a pid file is the one that this demo started, not a later one that got the same
# number.
running() {
	local pid
	pid=$(cat "$demo/$1.pid" 2>/dev/null) || return 1
	kill -0 "$pid" 2>/dev/null || return 1
	[[ $(tr '\0' ' ' <"/proc/$pid/cmdline") == "$bin/"* ]]
}

# start runs a program in a namespace in the background: its name, the namespace, the program and its arguments.
start() {
	local name=$1 place=$2
	shift 2
	running "$name" && return
	nohup ip netns exec "$place" "$@" >>"$demo/$name.log" 2>&1 </dev/null &
	echo $! >"$demo/$name.pid"
}

# wait_for waits until a command succeeds, as long as a process runs.
wait_for() {
	local name=$1 waited=0
	shift
	until "$@" >/dev/null 2>&1; do
		# The process has its own name only when "ip netns exec" has become it.
		[ "$waited" -lt 10 ] || running "$name" || die "$name did not start. It said:
$(tail -n 20 "$demo/$name.log")"
		[ "$waited" -lt "$((start_seconds * 10))" ] || die "$name is not ready after $start_seconds s, see $demo/$name.log"
		sleep 0.1
		waited=$((waited + 1))
	done
}

stop() {
	running "$1" || return 0
	local pid waited=0
	pid=$(cat "$demo/$1.pid")
	kill "$pid"
	while running "$1"; do
		[ "$waited" -lt 150 ] || die "$1, process $pid, does not end"
		sleep 0.1
		waited=$((waited + 1))
	done
}

# dials tells whether an address can be dialled from a namespace.
dials() { at "$1" timeout 2 bash -c "exec 3<>/dev/tcp/$2/$3"; }

# ready prints a string of the vCenter's ready file as it stands there: quoted and escaped, as a variables file takes it.
ready() {
	tr -d '\n' <"$demo/vcsim.json" | sed -En 's/.*"'"$1"'"[[:space:]]*:[[:space:]]*("([^"\\]|\\.)*").*/\1/p'
}

build() {
	mkdir -p "$bin"
	(
		cd "$root"
		go build -o "$palette" .
		go build -o "$bin/vcsim" ./internal/testkit/cmd/vcsim
	)
}

start_vcenter() {
	if ! running vcsim; then
		# What a simulator that is gone had in it is gone, too.
		rm -rf "$demo/vcsim.json" "$demo/cluster"
	fi
	start vcsim $private "$bin/vcsim" -listen $vcenter_address:443 -ready-file "$demo/vcsim.json"
	wait_for vcsim test -s "$demo/vcsim.json"
	echo "It answers at $(ready url | tr -d '"') in $private."
}

start_hub() {
	start hub $middle "$palette" hub run --listen $hub_address:8443 --data-dir "$demo/hub" --advertise-url $hub_url
	wait_for hub dials $outside $hub_address 8443
	if [ ! -s "$demo/token" ]; then
		(umask 077 && at $middle "$palette" hub token create --project default --role admin --name demo --data-dir "$demo/hub" \
			>"$demo/token" 2>/dev/null)
	fi
	echo "It answers at $hub_url in $middle."
}

write_configurations() {
	local name
	for name in gateway cluster; do
		mkdir -p "$demo/$name"
		cp "$root/examples/remote/$name"/*.tf "$demo/$name/"
	done
	(
		umask 077
		cat >"$demo/cluster/demo.auto.tfvars.json" <<-EOT
			{
			  "vcenter": $(ready url),
			  "vcenter_username": $(ready username),
			  "vcenter_password": $(ready password),
			  "vcenter_ca_file": $(ready ca_file)
			}
		EOT
		# The provider that was just built stands in for the registry's, so nothing has to be installed by "init".
		cat >"$demo/cli.tfrc" <<-EOT
			provider_installation {
			  dev_overrides {
			    "terraform-provider-palette/palette" = "$bin"
			  }
			  direct {}
			}
		EOT
		cat >"$demo/env" <<-EOT
			# Source this to look around: . .demo-remote/env
			export TF_CLI_CONFIG_FILE='$demo/cli.tfrc'
			export PALETTE_ENDPOINT='$hub_url'
			export PALETTE_TOKEN='$(cat "$demo/token")'
			export PALETTE_CA_CERTIFICATE="\$(cat '$demo/hub/tls.crt')"
			export TF_IN_AUTOMATION=1 CHECKPOINT_DISABLE=1
			tf() { ip netns exec $outside '$cli' "\$@"; }
			cd '$demo/cluster'
		EOT
	)
}

# tf runs the command line outside, on one of the two configurations.
tf() {
	local name=$1
	shift
	(
		. "$demo/env"
		at $outside "$cli" -chdir="$demo/$name" "$@"
	)
}

start_gateway() {
	local policy=$demo/policy.yaml
	if [ ! -d "$demo/identity" ]; then
		# The token passes from Terraform to the private network by hand; here by a pipe.
		tf gateway output -raw pairing_token |
			at $private "$palette" gateway pair --hub $hub_url --ca-file "$demo/hub/tls.crt" --name gateway-1 \
				--data-dir "$demo/identity" --token-file -
	fi
	printf 'allow_cidrs:\n  - %s/32\n' $vcenter_address >"$policy"
	start gateway $private "$palette" gateway run --data-dir "$demo/identity" --policy "$policy" --health-listen 127.0.0.1:9400
	echo "It runs in $private and has dialled the hub; its log is $demo/gateway.log."
}

# show_walls prints who can dial whom, and ends the demo when that is not as it should be.
show_walls() {
	wall $outside $hub_address 8443 yes "from outside to the hub"
	wall $private $hub_address 8443 yes "from the private network to the hub"
	wall $outside $vcenter_address 443 no "from outside to the vCenter"
	wall $middle $vcenter_address 443 no "from the hub to the vCenter"
	wall $middle $gateway_address 9400 no "from the hub to the gateway"
}

wall() {
	local got=no
	if dials "$1" "$2" "$3" 2>/dev/null; then
		got=yes
	fi
	printf '  %-36s %s\n' "$5" "$got"
	[ $got = "$4" ] || die "it should be $4"
}

up() {
	need
	cli=$("$root/scripts/cli.sh")
	say "Building"
	build
	say "Making three network namespaces"
	make_networks
	say "Starting a simulated vCenter in the private network"
	start_vcenter
	say "Starting the hub in the middle"
	start_hub
	write_configurations
	say "Making the gateway known to the hub, from outside, with $("$cli" version | sed -n 1p)"
	tf gateway apply -auto-approve -input=false $colour
	say "Pairing and starting the gateway in the private network"
	start_gateway
	say "Who can dial whom"
	show_walls
	say "Applying examples/remote/cluster from outside"
	tf cluster apply -auto-approve -input=false $colour
	say "What it made, on a vCenter that Terraform cannot reach"
	tf cluster output -raw machines
	printf '\n'
	look
}

look() {
	say "How to look (as root)"
	cat <<-EOT
		  . .demo-remote/env            # in a shell of its own: sets the provider, goes to the configuration; "tf" runs outside
		  tf output
		  tf apply -var workers=4
		  tail -f $demo/gateway.log
		  ip netns exec $private curl -s http://127.0.0.1:9400/metrics
		  kill -9 \$(cat $demo/gateway.pid) && make demo-remote     # goes on where it was

		The simulated vCenter is at $(ready url | tr -d '"') in $private, user $(ready username | tr -d '"'), password $(ready password | tr -d '"').
	EOT
	say "How to clean up"
	echo "  make demo-remote-clean"
}

clean() {
	local name
	need
	if running vcsim && running hub && running gateway && [ -f "$demo/cluster/terraform.tfstate" ]; then
		cli=$("$root/scripts/cli.sh")
		# What somebody has broken in the simulator goes with it, destroyed or not.
		tf cluster destroy -auto-approve -input=false $colour ||
			echo "The destroy failed; what is left goes with the simulated vCenter."
	fi
	for name in gateway hub vcsim; do
		stop $name
	done
	for name in $outside $middle $private; do
		if ip netns list | grep -qw $name; then
			ip netns del $name
		fi
	done
	rm -rf "$demo"
	echo "The demo is gone."
}

case ${1:-} in
up) up ;;
clean) clean ;;
*) die "say up or clean" ;;
esac
