# Runs systemd as process 1 of a sandbox, with no unit but those that a test installs, and the test's driver beside it.
set -euo pipefail
rm -rf /etc/systemd/system/*.wants /usr/lib/systemd/system/*.wants
mount -o remount,bind,ro /proc/sys 2>/dev/null || mount --bind -o ro /proc/sys /proc/sys
(until systemctl is-active --quiet multi-user.target 2>/dev/null; do sleep 0.1; done; exec python3 "$@") &
export container=test
exec /lib/systemd/systemd --system --unit=multi-user.target </dev/null >/dev/null 2>&1
