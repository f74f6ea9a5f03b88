# Makes a root of its own for what follows: this machine's files, of which nothing is changed; no network but its own
# loopback; its own processes. The arguments are a scratch folder and what to run. SHARED is seen as /opt/shared; PYTHON
# and PACKAGES, which may be in a home that others cannot read, as /opt/python and /opt/packages.
set -euo pipefail
scratch=$1
shift
mount --make-rprivate /
mount -t tmpfs tmpfs "$scratch"
mkdir "$scratch"/{upper,work,root}
mount -t overlay overlay -o "lowerdir=/,upperdir=$scratch/upper,workdir=$scratch/work" "$scratch/root"
cd "$scratch/root"
mount -t proc proc proc
mount --rbind /dev dev
mount -t sysfs -o ro sysfs sys
mount -t cgroup2 cgroup2 sys/fs/cgroup
mount -t tmpfs tmpfs run
mount -t tmpfs tmpfs tmp
mkdir -p opt/shared opt/python opt/packages before
mount --bind "$SHARED" opt/shared
mount --bind "$PYTHON" opt/python
mount --bind "$PACKAGES" opt/packages
pivot_root . before
umount -l before
cd /
export PATH=/opt/python/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
python3 - <<'PYTHON'
import fcntl, socket, struct
with socket.socket() as sock:  # SIOCSIFFLAGS: loopback is up
    fcntl.ioctl(sock, 0x8914, struct.pack("16sh14x", b"lo", 0x1 | 0x40))
PYTHON
exec "$@"
