# Becomes systemd over a copy of this machine's files that is only in memory. In namespaces of its own
# for mounts, processes and cgroups, whose cgroup is the root of the hierarchy here.
set -eu
directory=$1 unit=$2 program=$3 policy=$4

mount --make-rprivate /
mount -t tmpfs tmpfs "$directory"
mkdir "$directory/upper" "$directory/work" "$directory/root"
root=$directory/root
mount -t overlay -o "lowerdir=/,upperdir=$directory/upper,workdir=$directory/work" overlay "$root"
mount -t proc proc "$root/proc"
mount --rbind /sys "$root/sys"
umount --lazy "$root/sys/fs/cgroup"
mount -t cgroup2 cgroup2 "$root/sys/fs/cgroup"
mount -t bpf bpf "$root/sys/fs/bpf"
mount --rbind /dev "$root/dev"
mount -t tmpfs tmpfs "$root/run"
mount -t tmpfs tmpfs "$root/tmp"

# What the unit expects, and a target that wants nothing.
touch "$root/usr/bin/shedder"
mount --bind "$program" "$root/usr/bin/shedder"
mkdir -p "$root/etc/shedder" "$root/etc/systemd/system/shedder.service.d"
cp "$policy" "$root/etc/shedder/shedder.toml"
cp "$unit" "$root/etc/systemd/system/shedder.service"
printf '[Service]\nWatchdogSec=2s\n' > "$root/etc/systemd/system/shedder.service.d/sooner.conf"
printf '[Unit]\nDefaultDependencies=no\nAllowIsolate=yes\n' > "$root/etc/systemd/system/nothing.target"

mkdir "$root/oldroot"
cd "$root"
pivot_root . oldroot
cd /
umount --lazy /oldroot
exec env --ignore-environment container=other PATH="$PATH" \
    /lib/systemd/systemd --system --unit=nothing.target --log-target=null
