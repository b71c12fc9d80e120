#!/bin/sh
# The root folder of Sponge's image, from the Debian system that this runs on: rootfs.sh <application> <to>
#
# Node, what workers are started with (sh, setpriv, true) and pinned with (taskset), every shared library that one of them, ONNX Runtime or
# koffi needs, and of the packages that those are from the licence and the entry by which scanners of images find what has a known hole.
set -eu
app=$1
to=$2
[ -f "$app/bin/sponge.js" ] || { echo "rootfs.sh: $app is no installed Sponge (bin/sponge.js is missing)" >&2; exit 1; }

mkdir -p "$to/usr/bin" "$to/usr/lib" "$to/usr/lib64" "$to/usr/sbin" "$to/etc" "$to/opt" "$to/mnt/models" "$to/tmp" \
  "$to/proc" "$to/sys" "$to/dev" "$to/run" "$to/var/lib/dpkg/status.d"
chmod 1777 "$to/tmp"
for folder in bin lib lib64 sbin; do ln -s "usr/$folder" "$to/$folder"; done
cp -r "$app" "$to/opt/sponge"

copied=$(mktemp)
# To where it is found when /bin, /lib and /lib64 are in /usr, links resolved.
copy() { # file as it is called
  case $1 in /usr/*) name=$1 ;; *) name=/usr$1 ;; esac
  mkdir -p "$to$(dirname "$name")"
  cp -L "$1" "$to$name"
  realpath "$1" >>"$copied"
}
program() { # name: a program with the name it is called by
  # Not by "command -v", which may name what is built into this shell.
  for folder in /usr/local/bin /usr/bin /bin; do path=$folder/$1 && [ -x "$path" ] && break; done
  [ -x "$path" ] || { echo "rootfs.sh: $1 is missing here" >&2; exit 1; }
  cp -L "$path" "$to/usr/bin/$1"
  realpath "$path" >>"$copied"
}
for name in node sh true setpriv taskset; do program "$name"; done

{
  for name in node sh true setpriv taskset; do echo "$to/usr/bin/$name"; done
  find "$to/opt/sponge" -name '*.node' -o -name '*.so' -o -name '*.so.*'
} | while read -r file; do
  # Those of another libc or machine, which are there for others, are not loaded here.
  ldd "$file" 2>/dev/null || true
done | sed -n 's/^.* => \(\/[^ ]*\) .*$/\1/p; s/^[[:space:]]*\(\/[^ ]*ld-linux[^ ]*\) .*$/\1/p' | sort -u |
  while read -r library; do
    case $library in "$to"*) ;; *) copy "$library" ;; esac
  done

# Before Debian moved /bin and /lib into /usr its packages named their files without it.
sort -u "$copied" | while read -r file; do
  dpkg-query --search "$file" 2>/dev/null || dpkg-query --search "${file#/usr}" 2>/dev/null || true
done | sed 's/: .*$//; s/:.*$//' | sort -u | while read -r package; do
  dpkg-query --status "$package" >"$to/var/lib/dpkg/status.d/$package"
  mkdir -p "$to/usr/share/doc/$package"
  cp -L "/usr/share/doc/$package/copyright" "$to/usr/share/doc/$package/" 2>/dev/null ||
    echo "rootfs.sh: no licence text of $package here" >&2
done
rm -f "$copied"
# Node's own, of the image's base: it is from no package there.
if [ -f /usr/local/LICENSE ]; then mkdir -p "$to/usr/share/doc/node" && cp /usr/local/LICENSE "$to/usr/share/doc/node/copyright"; fi

cp -L /etc/os-release "$to/etc/os-release"
echo 'hosts: files dns' >"$to/etc/nsswitch.conf"
cat >"$to/etc/passwd" <<'END'
root:x:0:0:root:/:/usr/sbin/nologin
nobody:x:65534:65534:nobody:/:/usr/sbin/nologin
sponge:x:65532:65532:sponge:/tmp:/usr/sbin/nologin
END
cat >"$to/etc/group" <<'END'
root:x:0:
nogroup:x:65534:
sponge:x:65532:
END

# It is what it says: the programs run on these files alone.
for name in node taskset setpriv; do
  chroot "$to" "/usr/bin/$name" --version >/dev/null || { echo "rootfs.sh: $name does not run in $to" >&2; exit 1; }
done
