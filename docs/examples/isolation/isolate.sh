#!/bin/sh
# A network for the shadow whose only way out is the stub (Linux, as root).
#
#   isolate.sh up               makes it
#   isolate.sh run COMMAND...   runs the candidate in it, in the foreground, as SHADOW_USER
#   isolate.sh down             ends what runs in it, and removes it
#
#   candidate [NAME] .2 ------ .1 [NAME-gate] .5 ------ .6 [this host] shadow-stub, replayer
#
# The gate is a network namespace of its own, so that no other firewall's reload opens it. It passes connections of the shadow to the
# stub's ports at .6, and those of this host to the shadow (the replayer's requests), and drops everything else. It has no IPv6.
#
#   SHADOW_NAMESPACE=shadow        names of the namespaces: at most 9 letters, digits and hyphens
#   SHADOW_NETWORK=10.231.77       its first three octets; only .0 to .7 are used
#   SHADOW_STUB_PORTS="8090"       TCP ports at which the stub listens on .6
#   SHADOW_HOSTS=""                names that mean the stub in the shadow, such as "api.stripe.com smtp.example"
#   SHADOW_USER=nobody             as whom commands run: nobody else may run as it
#   SHADOW_CAPABILITIES=""         what they may keep, such as "net_bind_service"; never sys_admin
set -eu

name=${SHADOW_NAMESPACE:-shadow}
network=${SHADOW_NETWORK:-10.231.77}
ports=${SHADOW_STUB_PORTS:-8090}
user=${SHADOW_USER:-nobody}
gate=$name-gate
shadow_ip=$network.2
stub_ip=$network.6
# Interfaces: in the shadow, at the gate's two sides, on this host.
link=$name-up inner=$name-in outer=$name-out host=$name-stub

die() {
  echo "isolate.sh: $*" >&2
  exit 1
}

usage() {
  sed -n '2,/^set/ { /^set/!s/^# \{0,1\}//p; }' "$0" >&2
  exit 64
}

in_gate() { nsenter --net="/run/netns/$gate" "$@"; }
in_shadow() { nsenter --net="/run/netns/$name" "$@"; }
is_up() { [ -e "/run/netns/$name" ] && [ -e "/run/netns/$gate" ]; }

# Settings below /proc/sys/net are those of the namespace that writes them.
no_ipv6() { echo "for f in /proc/sys/net/ipv6/conf/$1/disable_ipv6; do [ ! -e \"\$f\" ] || echo 1 > \"\$f\"; done"; }

check() {
  [ "$(id -u)" = 0 ] || die "must be root, for it makes network namespaces: sudo $0 $*"
  for tool in ip:iproute2 iptables:iptables nsenter:util-linux setpriv:util-linux unshare:util-linux; do
    command -v "${tool%:*}" > /dev/null || die "${tool%:*} is missing: install the package ${tool#*:}"
  done
  case $name in
    *[!a-zA-Z0-9-]* | -* | ??????????* | '') die "SHADOW_NAMESPACE=$name is no name of at most 9 letters, digits and hyphens" ;;
  esac
  for port in $ports; do
    case $port in *[!0-9]*) die "SHADOW_STUB_PORTS: $port is no port" ;; esac
  done
  case ,${SHADOW_CAPABILITIES:-}, in
    *sys_admin* | *sys_ptrace* | *all*) die "with SHADOW_CAPABILITIES=$SHADOW_CAPABILITIES the shadow could leave its network" ;;
  esac
}

remove() {
  for each in "$name" "$gate"; do
    [ ! -e "/run/netns/$each" ] || ip netns delete "$each"
  done
  [ ! -e "/sys/class/net/$host" ] || ip link delete "$host" 2> /dev/null || true
}

up() {
  ! is_up || die "$name is up already: $0 down"
  ip netns add "$gate" || die "no network namespace can be made; in a container this takes CAP_SYS_ADMIN and CAP_NET_ADMIN"
  trap 'remove; die "$name is not up; what was made of it is removed again"' EXIT
  ip netns add "$name"
  # Closed before anything is connected.
  in_gate sh -c "$(no_ipv6 all); $(no_ipv6 default); echo 1 > /proc/sys/net/ipv4/ip_forward"
  for chain in INPUT OUTPUT FORWARD; do in_gate iptables -P "$chain" DROP; done
  for port in $ports; do
    in_gate iptables -A FORWARD -i "$inner" -o "$outer" -s "$shadow_ip" -d "$stub_ip" -p tcp --dport "$port" -j ACCEPT
  done
  in_gate iptables -A FORWARD -i "$inner" -o "$outer" -m conntrack --ctstate ESTABLISHED --ctdir REPLY -j ACCEPT
  in_gate iptables -A FORWARD -i "$outer" -o "$inner" -s "$stub_ip" -d "$shadow_ip" -j ACCEPT

  ip link add "$link" netns "$name" type veth peer name "$inner" netns "$gate"
  ip link add "$host" type veth peer name "$outer" netns "$gate"
  in_shadow ip link set lo up
  in_shadow ip address add "$shadow_ip/30" dev "$link"
  in_gate ip address add "$network.1/30" dev "$inner"
  in_gate ip address add "$network.5/30" dev "$outer"
  ip address add "$stub_ip/30" dev "$host"
  # The shadow keeps IPv6 on its own loopback.
  in_shadow sh -c "$(no_ipv6 "$link")"
  sh -c "$(no_ipv6 "$host")"
  in_shadow ip link set "$link" up
  in_gate ip link set "$inner" up
  in_gate ip link set "$outer" up
  ip link set "$host" up
  in_shadow ip route add "$stub_ip/32" via "$network.1"
  ip route add "$shadow_ip/32" via "$network.5"
  trap - EXIT
  echo "$name is up: the stub belongs at $stub_ip (ports: $ports), the candidate will be at $shadow_ip"
}

# Whoever runs as the same user outside could be made to go elsewhere for the shadow.
alone() {
  own=" $(ip netns pids "$name" | tr '\n' ' ') "
  for status in /proc/[0-9]*/status; do
    pid=${status%/status} pid=${pid#/proc/}
    [ "$(sed -n 's/^Uid:\t\([0-9]*\).*/\1/p' "$status" 2> /dev/null)" != "$1" ] && continue
    case $own in *" $pid "*) ;; *) die "process $pid runs as $user too: give the shadow a user of its own, SHADOW_USER=..." ;; esac
  done
}

run() {
  [ $# -gt 0 ] || usage
  is_up || die "$name is not up: $0 up"
  uid=$(id -u "$user") && gid=$(id -g "$user") || die "there is no user $user: SHADOW_USER=..."
  [ "$uid" != 0 ] || die "as root the shadow could leave its network: SHADOW_USER=..."
  alone "$uid"
  keep=-all
  for capability in $(echo "${SHADOW_CAPABILITIES:-}" | tr , ' '); do keep=$keep,+$capability; done
  # A network namespace does not close sockets that are files: those of resolvers, container engines and data stores stand in /run.
  # shellcheck disable=SC2016
  exec nsenter --net="/run/netns/$name" unshare --mount sh -euc '
    names=$1 uid=$2 gid=$3 keep=$4; shift 4
    mount -t tmpfs -o mode=755 tmpfs /run
    if [ ! -L /var/run ] && [ -d /var/run ]; then mount -t tmpfs -o mode=755 tmpfs /var/run; fi
    { echo "127.0.0.1 localhost"; echo "::1 localhost"; echo "$names"; } > /run/hosts
    echo "# no name server: names are those of /etc/hosts" > /run/resolv.conf
    mount --bind /run/hosts /etc/hosts
    if [ -f /etc/resolv.conf ]; then mount --bind /run/resolv.conf /etc/resolv.conf; fi
    exec setpriv --reuid "$uid" --regid "$gid" --init-groups --no-new-privs \
      --inh-caps "$keep" --ambient-caps "$keep" --bounding-set "$keep" -- "$@"
  ' sh "${SHADOW_HOSTS:+$stub_ip $SHADOW_HOSTS}" "$uid" "$gid" "$keep" "$@"
}

down() {
  for signal in TERM KILL; do
    [ -e "/run/netns/$name" ] || break
    for pid in $(ip netns pids "$name"); do kill -"$signal" "$pid" 2> /dev/null || true; done
    for _ in 1 2 3 4 5 6 7 8 9 10; do
      [ -n "$(ip netns pids "$name")" ] || break 2
      sleep 0.3
    done
  done
  remove
}

case ${1:-} in
  up | down) [ $# = 1 ] || usage; check "$1"; "$1" ;;
  run) check run; shift; run "$@" ;;
  *) usage ;;
esac
