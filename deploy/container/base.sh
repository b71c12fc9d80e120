#!/bin/sh
# A base for the Containerfile where no registry of images can be reached: Debian 12 by mmdebstrap, Node and npm from npm's registry.
#
#   sh deploy/container/base.sh localhost/sponge-base 24.21.0
#   buildah build --format docker --build-arg BASE=localhost/sponge-base -t sponge .
#
# Needs buildah, mmdebstrap and npm. DEBIAN (http://deb.debian.org/debian) and DEBIAN_SECURITY name the mirrors. As root, or in "buildah unshare".
set -eu
image=${1:-localhost/sponge-base}
node=${2:-24.21.0}
npm=11.19.1
debian=${DEBIAN:-http://deb.debian.org/debian}
security=${DEBIAN_SECURITY:-http://deb.debian.org/debian-security}
case $(uname -m) in
  x86_64) cpu=x64 ;;
  aarch64) cpu=arm64 ;;
  *) echo "base.sh: Node comes as a package for x86_64 and aarch64 alone, and this is $(uname -m)" >&2; exit 1 ;;
esac

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir "$work/root"
mmdebstrap --quiet --variant=minbase --include=ca-certificates \
  --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/locale/*' \
  --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-include=/usr/share/doc/*/copyright' \
  bookworm "$work/root" "deb $debian bookworm main" "deb $security bookworm-security main"

local=$work/root/usr/local
mkdir -p "$local/lib/node_modules/npm"
(cd "$work" && npm pack --silent "node-linux-$cpu@$node" "npm@$npm" >/dev/null)
tar xzf "$work/node-linux-$cpu-$node.tgz" --strip-components=1 -C "$local" package/bin/node package/LICENSE
tar xzf "$work/npm-$npm.tgz" --strip-components=1 -C "$local/lib/node_modules/npm"
for name in npm npx; do ln -s "../lib/node_modules/npm/bin/$name-cli.js" "$local/bin/$name"; done
chmod +x "$local/bin/node" "$local/lib/node_modules/npm/bin/npm-cli.js" "$local/lib/node_modules/npm/bin/npx-cli.js"

container=$(buildah from scratch)
buildah add --quiet "$container" "$work/root" / >/dev/null
buildah commit --quiet --rm "$container" "$image"
