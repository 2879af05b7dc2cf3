#!/bin/busybox sh
# The first and only program of a guest: mounts what a machine has, says what this kernel can do,
# runs the tests and turns the machine off. The second serial line is for what they say.
export PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root NO_COLOR=1 RUST_BACKTRACE=0
/bin/busybox mkdir -p /bin /sbin /proc /sys /dev /tmp /run /root /usr/bin
/bin/busybox --install -s /bin
ln -s /bin/modprobe /sbin/modprobe
chmod 1777 /tmp
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
mkdir -p /dev/pts /dev/shm
mount -t devpts devpts /dev/pts
mount -t tmpfs tmpfs /dev/shm
mount -t tmpfs tmpfs /run
mount -t cgroup2 cgroup2 /sys/fs/cgroup
mount -t bpf bpf /sys/fs/bpf
mount -t tracefs tracefs /sys/kernel/tracing
# Who is known on every machine.
mkdir -p /etc
printf 'root:x:0:0::/root:/bin/sh\nnobody:x:65534:65534::/:/bin/false\n' >/etc/passwd
printf 'root:x:0:\nnogroup:x:65534:\n' >/etc/group
exec >/dev/ttyS1 2>&1
ip link set lo up

. /paths
"$daemon" doctor
set --
while read -r argument; do
    set -- "$@" "$argument"
done </arguments
cd "$directory"
# What the tests' children say would tear the lines of the tests apart.
"$tests" "$@" 2>/dev/ttyS0
echo "guest: the tests ended with $?"
poweroff -f
