#!/usr/bin/env bash
# First process of a sealed machine: in mount and process namespaces of its own, on a root file system that has a
# container engine. When it ends, the kernel ends every process of the machine and drops its mounts and networks.
#   machine.sh ROOT STORAGE PROJECT docker|podman [options of dockerd]
set -euo pipefail
root=$1 storage=$2 project=$3 engine=$4
shift 4

mount --bind "$root" "$root"
mount -t proc proc "$root/proc"
mount --rbind /sys "$root/sys"
mount --rbind /dev "$root/dev"
mount -t tmpfs -o mode=0755 tmpfs "$root/run"
mount -t tmpfs tmpfs "$root/tmp"
for folder in "$storage/docker:/var/lib/docker" "$storage/containers:/var/lib/containers" "$project:/doorward"; do
    mkdir -p "${folder%%:*}" "$root${folder##*:}"
    mount --bind "${folder%%:*}" "$root${folder##*:}"
done
mkdir -p "$root/outside"
cd "$root"
pivot_root . outside
export PATH=/usr/local/bin:/usr/sbin:/usr/bin HOME=/root
umount --lazy /outside
cd /doorward
ip link set lo up

case $engine in
docker)
    dockerd "$@" >/run/dockerd.log 2>&1 &
    for _ in $(seq 60); do
        docker version >/dev/null 2>&1 && break
        kill -0 $! 2>/dev/null || { tail -n 5 /run/dockerd.log >&2; exit 1; }
        sleep 0.5
    done
    docker version >/dev/null
    ;;
podman)
    # Podman leaves the timing of health checks to systemd, which does not run here.
    while sleep 1; do
        for container in $(podman ps --quiet); do podman healthcheck run "$container" || true; done
    done >/dev/null 2>&1 &
    ;;
esac
echo ready
# Bash waits for processes that lost their parent as well.
sleep infinity &
wait $!
