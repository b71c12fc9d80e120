#!/bin/sh
# Fetches what the cgroup v2 guest needs and this machine lacks: QEMU (needs root), a Debian kernel and a static busybox
# (need the network). Debian on x86-64 only. Does nothing where all is there; says what is missing where it cannot help.
set -eu

cache=${SPONGE_GUEST_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/sponge-inference/cgroup-v2-guest}

lack() {
  echo "cgroup v2 guest: $1" >&2
  exit 1
}

[ "$(uname -m)" = x86_64 ] || lack 'only x86-64 machines are provided for'
mkdir -p "$cache"

if ! command -v qemu-system-x86_64 >/dev/null; then
  command -v apt-get >/dev/null || lack 'QEMU is missing: install qemu-system-x86_64'
  [ "$(id -u)" = 0 ] || lack 'QEMU is missing: as root, run apt-get install qemu-system-x86'
  apt-get update -qq || lack 'QEMU is missing and apt-get update failed: is there a network?'
  DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends qemu-system-x86 >/dev/null ||
    lack 'QEMU is missing and apt-get could not install it'
fi

# Prints the file that a package brings, unpacked from the package without installing it.
unpack() {
  package=$1
  pattern=$2
  target=$3
  scratch=$(mktemp -d)
  (cd "$scratch" && apt-get download -qq "$package" >/dev/null 2>&1) || lack "cannot download the package $package"
  dpkg-deb -x "$scratch"/*.deb "$scratch/files"
  # shellcheck disable=SC2086
  cp "$scratch"/files/$pattern "$target.partial"
  mv "$target.partial" "$target"
  rm -r "$scratch"
}

if [ ! -e "$cache/vmlinuz" ] || [ ! -e "$cache/busybox" ]; then
  command -v apt-get >/dev/null || lack "without apt-get, put a kernel at $cache/vmlinuz and a static busybox at $cache/busybox"
  # The cloud kernel is the smallest that Debian builds; the meta-package names the present version.
  kernel=$(apt-cache depends linux-image-cloud-amd64 | sed -n 's/^ *Depends: \(linux-image-[0-9].*\)/\1/p' | head -n 1)
  [ -n "$kernel" ] || lack 'apt knows no linux-image-cloud-amd64: run apt-get update on a Debian machine'
  unpack "$kernel" 'boot/vmlinuz-*' "$cache/vmlinuz"
  unpack busybox-static 'bin/busybox' "$cache/busybox"
fi

echo "cgroup v2 guest: ready in $cache"
