#!/bin/bash
# palette-bootstrap MODE VERSION HOST PORT
#
# Turns a freshly booted machine into a node of a cluster. cloud-init runs it once, after it has written the files
# that belong to it. MODE is init, join-control-plane or join-worker; VERSION is the cluster's Kubernetes version;
# HOST and PORT are where the cluster's API server answers.
#
# Each step is reported through VMware Tools, which needs no network, as "<time>|<phase>|run, ok or fail|<text>".
# When a step fails, the text is the end of the log. Output goes to the log only, and bootstrap tokens do not go
# there.
#
# A failed machine is left as it is: "kubeadm reset" would tear a member out of etcd. It is for the gateway to
# replace it.

set -Eeuo pipefail
# The last command of a pipeline runs in this shell, so that the phase it reaches is known here.
shopt -s lastpipe
umask 077

readonly mode=$1 version=$2 host=$3 port=$4
# root is empty on machines; a rehearsal sets it to a directory of its own.
readonly root=${PALETTE_ROOT:-}
readonly log=$root/var/log/palette-bootstrap.log
readonly sentinel=$root/var/lib/palette/bootstrap-success
readonly secrets=$root/run/palette
readonly next_kube_vip=$root/etc/palette/kube-vip.yaml
export PATH=$PATH:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin

phase=cloud-init
reported=

# report STATUS TEXT: tells the phase's status. Never fails: a machine may join although nobody hears of it.
report() {
  local value
  value="$(date -u +%Y-%m-%dT%H:%M:%SZ)|$phase|$1|$2"
  vmware-rpctool "info-set guestinfo.palette.progress $value" >/dev/null 2>&1 ||
    vmtoolsd --cmd "info-set guestinfo.palette.progress $value" >/dev/null 2>&1 ||
    true
}

# enter PHASE TEXT: says what is being done now.
enter() {
  [[ $reported != "$1|$2" ]] || return 0
  phase=$1 reported="$1|$2"
  echo "== $phase: $2"
  report run "$2"
}

die() {
  echo "$1"
  exit 1
}

# log_tail prints the end of the log as one line without the separator of reports.
log_tail() {
  tail -c 600 "$log" | LC_ALL=C tr -c '[:print:]' ' ' | tr '|' '/'
}

finish() {
  local code=$?
  trap - ERR EXIT
  ((code == 0)) || report fail "$(log_tail)"
  exit "$code"
}

# until_true TRIES SECONDS COMMAND...: repeats a command until it succeeds.
until_true() {
  local tries=$1 seconds=$2
  shift 2
  while ((tries-- > 0)); do
    if "$@" >/dev/null 2>&1; then return 0; fi
    sleep "$seconds"
  done
  return 1
}

# renew_machine_id replaces the machine-id that a template has handed to all its clones. One made at this boot stays,
# or the journal of this boot would be hard to find.
renew_machine_id() {
  local id=$root/etc/machine-id booted changed
  booted=$(awk '$1 == "btime" { print $2 }' /proc/stat)
  changed=$(stat -c %Y "$id" 2>/dev/null || echo 0)
  ((changed < booted)) || return 0
  rm -f "$id" "$root/var/lib/dbus/machine-id"
  systemd-machine-id-setup ${root:+--root="$root"}
  systemctl try-restart systemd-journald || true
}

has_address() { ip -o address show scope global | grep -q inet; }

endpoint_answers() {
  # shellcheck disable=SC2016 # the inner shell expands its own arguments
  timeout 5 bash -c 'exec 3<>"/dev/tcp/$0/$1"' "$host" "$port"
}

wait_for_network() {
  enter net "waiting for an address"
  until_true 60 5 has_address || die "no network card has got an address in 5 minutes"
  [[ $mode != init ]] || return 0
  enter net "waiting for the API server at $host port $port"
  until_true 120 5 endpoint_answers || die "the API server at $host port $port has not answered in 10 minutes"
}

runtime_answers() {
  systemctl is-active --quiet containerd && [[ -e $root/run/containerd/containerd.sock ]]
}

start_runtime() {
  enter containerd "starting the container runtime"
  systemctl enable --now containerd
  until_true 60 2 runtime_answers || die "containerd has not started in 2 minutes"
}

preflight() {
  local have
  enter preflight "checking the template"
  have=$(kubeadm version -o short)
  [[ ${have%%+*} == "${version%%+*}" ]] || die "the template has kubeadm $have, the cluster wants $version"
  swapoff -a
  systemctl enable kubelet
}

# kubeadm_phase TAG: reports the phase that kubeadm announces in brackets at the start of a line.
kubeadm_phase() {
  case $mode:$1 in
    init:certs | init:kubeconfig | init:etcd | init:control-plane | init:addons) enter "$1" "kubeadm init" ;;
    init:kubelet-start | init:kubelet-check) enter kubelet "kubeadm init" ;;
    init:*) ;;
    *) enter join "kubeadm join: $1" ;;
  esac
}

# follow copies kubeadm's output into the log without the tokens it prints.
follow() {
  local line
  while IFS= read -r line || [[ -n $line ]]; do
    while [[ $line =~ [a-z0-9]{6}\.[a-z0-9]{16} ]]; do
      line=${line//"${BASH_REMATCH[0]}"/(token)}
    done
    printf '%s\n' "$line"
    if [[ $line =~ ^\[([a-z-]+)\] ]]; then kubeadm_phase "${BASH_REMATCH[1]}"; fi
  done
}

run_kubeadm() {
  if [[ $mode == init ]]; then
    kubeadm init --config "$secrets/kubeadm.yaml" 2>&1 | follow
  else
    enter join "kubeadm join"
    kubeadm join --config "$secrets/kubeadm.yaml" 2>&1 | follow
  fi
}

# settle_kube_vip gives kube-vip the manifest with the ordinary rights, which work now, in one move: kubelet never
# sees half a file.
settle_kube_vip() {
  [[ $mode == init && -e $next_kube_vip ]] || return 0
  cp "$next_kube_vip" "$root/etc/kubernetes/.kube-vip.yaml"
  mv "$root/etc/kubernetes/.kube-vip.yaml" "$root/etc/kubernetes/manifests/kube-vip.yaml"
  until_true 60 5 endpoint_answers || die "the API server at $host port $port has not answered in 5 minutes"
}

# forget removes what has done its work: kubeadm's configuration with the token, and cloud-init's copies of the user
# data. cloud-init makes these anew at each boot from what the vCenter then holds.
forget() {
  local instance=$root/var/lib/cloud/instance
  rm -rf "$secrets"
  rm -f "$instance"/user-data.txt "$instance"/user-data.txt.i "$instance"/cloud-config.txt "$instance"/obj.pkl
}

main() {
  mkdir -p "${log%/*}" "${sentinel%/*}"
  exec >>"$log" 2>&1
  trap 'echo "line $LINENO: a command failed with status $?"' ERR
  trap finish EXIT
  if [[ -e $sentinel ]]; then
    phase=joined
    report ok "was a node already"
    return 0
  fi
  report ok "files are written"
  renew_machine_id
  wait_for_network
  start_runtime
  preflight
  run_kubeadm
  settle_kube_vip
  forget
  touch "$sentinel"
  phase=joined
  report ok "node has joined"
}

main
