#!/bin/busybox sh
# First process of the guest: a bare cgroup v2 machine, with the suite run in it twice.
export PATH=/bin
busybox mount -t proc proc /proc
busybox mount -t sysfs sysfs /sys
busybox mount -t devtmpfs devtmpfs /dev
busybox mount -t tmpfs -o mode=1777 tmpfs /tmp
busybox mount -t cgroup2 cgroup2 /sys/fs/cgroup
busybox ip link set lo up
echo "guest: kernel $(busybox uname -r)"

# In the root group, as root: the adapter enables the cpu controller itself.
node /guest.mjs root 0 1000

# As systemd does for User= with Delegate=cpu: a group whose files belong to the user, who enables the controller below it.
echo +cpu >/sys/fs/cgroup/cgroup.subtree_control
unit=/sys/fs/cgroup/unit
busybox mkdir "$unit"
busybox chown 65534:65534 "$unit" "$unit/cgroup.procs" "$unit/cgroup.threads" "$unit/cgroup.subtree_control"
echo $$ >"$unit/cgroup.procs"
echo '150000 100000' >"$unit/cpu.max"
node /guest.mjs delegated 65534 200

echo 'guest: end'
busybox poweroff -f
