# Runs a command with a root of its own (this machine's files, of which nothing is changed), with a network that has
# nothing but its own loopback, and with its own processes and control groups. The arguments are a scratch folder and the
# command. SHARED is seen as /opt/shared; PYTHON and PACKAGES, which may be in a home that others cannot read, as
# /opt/python and /opt/packages. SIGTERM ends it all.
set -euo pipefail

if [[ $1 != inside ]]; then
    mount --make-rprivate /
    mkdir "$1/groups"
    mount -t cgroup2 cgroup2 "$1/groups"
    own="$1/groups/signalpost-sandbox-$$"
    mkdir "$own"
    clean() {
        kill -KILL "$child" 2>/dev/null || true
        wait "$child" 2>/dev/null || true
        for _ in {1..100}; do
            find "$own" -depth -type d -exec rmdir {} + 2>/dev/null && break
            sleep 0.05
        done
    }
    trap clean EXIT
    trap 'exit 143' TERM
    bash -c 'echo $$ >"$0/cgroup.procs"; exec unshare -m -n -p -u -C -f --kill-child bash "$@"' \
        "$own" "$0" inside "$@" &
    child=$!
    wait "$child"
    exit
fi

scratch=$2
shift 2
mount -t tmpfs tmpfs "$scratch"
mkdir "$scratch"/{upper,work,root}
mount -t overlay overlay -o "lowerdir=/,upperdir=$scratch/upper,workdir=$scratch/work" "$scratch/root"
cd "$scratch/root"
mount -t proc proc proc
mount -t sysfs -o ro sysfs sys
mount -t cgroup2 cgroup2 sys/fs/cgroup
mount -t tmpfs tmpfs run
mount -t tmpfs tmpfs tmp
mount -t tmpfs -o mode=755 tmpfs dev
for device in null zero full random urandom tty; do
    cp -a /dev/$device dev/
done
mkdir dev/{shm,pts,mqueue,hugepages}
mount -t devpts -o newinstance,ptmxmode=0666 devpts dev/pts
ln -s pts/ptmx dev/ptmx
ln -s /proc/self/fd dev/fd
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
