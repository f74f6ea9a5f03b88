"""Real Redis servers for tests, each with a port, a folder and a log of its own.

with RedisServer(tmp_path) as server:
    server.url                      # redis://127.0.0.1:34567/0
    server.ask("CLIENT", "KILL", "TYPE", "pubsub")
    server.kill(); server.start()   # at the same address; what was kept is gone, unless it is durable
    server.stall(); server.resume() # SIGSTOP, SIGCONT
"""

import datetime as dt
import ipaddress
import os
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path

import pytest
import redis
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

PROGRAMS = ("redis-server", "valkey-server")
_PATIENCE = 20  # seconds for a start, on a busy machine


def program():
    """Return the server's program; where there is none, the test is skipped, and fails in CI."""
    found = next(filter(None, map(shutil.which, PROGRAMS)), None)
    if found is None:
        reason = "redis-server is missing: apt-get install redis-server"
        pytest.fail(reason) if os.environ.get("CI") else pytest.skip(reason)
    return found


class RedisServer:
    """A server; see above.

    Args:
        folder: of the test; the server gets one of its own in it.
        options: of redis-server, in place of ``--`` and dashes: ``maxmemory="2mb"``.
        user, password: that are asked for.
        unix: whether it listens on a unix socket alone.
        tls: whether it listens with TLS alone, with a certificate that `authority` has signed.
        durable: whether it survives a kill with all that it has answered.
        replica_of: another server.

    Attributes:
        options: of the next start, as redis-server has them.
        folder: where it has its files.
        port: that it listens on.
        socket: that it listens on instead.
        authority: a file with the certificate that signed its own, if it has one.
    """

    def __init__(
        self, folder, *, user="", password="", unix=False, tls=False, durable=False, replica_of=None, **options
    ):
        self.program = program()
        self.folder = Path(folder) / f"redis-{os.urandom(4).hex()}"
        self.folder.mkdir()
        self.process = None
        self.port = free_port()
        self.socket = self.folder / "socket" if unix else None
        self.authority = self.folder / "ca.pem" if tls else None
        self.options = {
            "enable-debug-command": "yes",
            "save": "",
            "appendonly": "yes" if durable else "no",
            "appendfsync": "always",
            "repl-diskless-sync-delay": "0",
            **{name.replace("_", "-"): value for name, value in options.items()},
        }
        self._credentials = f"{user}:{password}@" if password else ""
        if password and not user:
            self.options |= {"requirepass": password, "masterauth": password}
        elif password:
            self.options["user"] = f"{user} on >{password} ~* &* +@all"
        if unix:
            self.options |= {"unixsocket": str(self.socket), "port": "0"}
        elif tls:
            self.options |= {"port": "0", "tls-port": str(self.port), **_certificates(self.folder)}
        else:
            self.options["port"] = str(self.port)
        if replica_of is not None:
            self.options["replicaof"] = f"127.0.0.1 {replica_of.port}"

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.kill()

    @property
    def url(self):
        """The address, as ``backplane`` has it."""
        if self.socket is not None:
            return f"unix://{self._credentials}{self.socket}?db=0"
        if self.authority is not None:
            return f"rediss://{self._credentials}127.0.0.1:{self.port}/0?ssl_ca_certs={self.authority}"
        return f"redis://{self._credentials}127.0.0.1:{self.port}/0"

    @property
    def log(self):
        """What it has logged."""
        return (self.folder / "log").read_text(errors="replace")

    def start(self, *, wait=True):
        """Start the process; return when it answers, if only that it is loading."""
        lines = [f"{name} {_quoted(value)}" for name, value in self.options.items()]
        (self.folder / "conf").write_text("\n".join([*lines, "bind 127.0.0.1", "logfile log", ""]))
        self.process = subprocess.Popen([self.program, "conf"], cwd=self.folder, stdout=subprocess.DEVNULL)
        if wait:
            self.wait()

    def wait(self):
        """Return when it answers."""
        until = time.monotonic() + _PATIENCE
        while True:
            try:
                self.ask("PING")
            except redis.BusyLoadingError:
                return
            except (redis.ConnectionError, redis.TimeoutError):
                assert self.process.poll() is None, self.log
                assert time.monotonic() < until, self.log
                time.sleep(0.002)
            else:
                return

    def kill(self):
        """Kill the process, and return when it is gone; nothing if there is none."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    def restart(self):
        """Kill the process, and start it again."""
        self.kill()
        self.start()

    def stall(self):
        """Stop the process; its connections stay, and take bytes."""
        self.process.send_signal(signal.SIGSTOP)

    def resume(self):
        """Let it go on."""
        self.process.send_signal(signal.SIGCONT)

    def ask(self, *command):
        """Return the answer to a command, with texts for bytes."""
        with self.client() as client:
            return client.execute_command(*command)

    def client(self):
        """Return a client of redis-py; it gives texts for bytes."""
        return redis.Redis.from_url(self.url, decode_responses=True, protocol=2, retry=None)

    def promote(self):
        """Make a replica the master; what has not come from the other one is lost."""
        self.ask("REPLICAOF", "NO", "ONE")

    def catch_up(self, master):
        """Return when this replica has everything that its master has."""
        until = time.monotonic() + _PATIENCE
        while self._offset("slave_repl_offset") != master._offset("master_repl_offset"):
            assert time.monotonic() < until, self.log
            time.sleep(0.002)

    def _offset(self, name):
        return self.ask("INFO", "replication").get(name)

    def wait_for_replica(self):
        """Return when a replica has everything that is here."""
        with redis.Redis.from_url(self.url, protocol=2, retry=None) as client:
            client.set("waited for", "", px=1)  # WAIT is for what its own connection has written
            assert client.execute_command("WAIT", 1, _PATIENCE * 1000) >= 1


def free_port():
    """Return a port that nobody listens on."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]


def _quoted(value):
    return value or '""'


def _certificates(folder):
    """Write a certificate for 127.0.0.1 that an authority of this server alone has signed; return the options."""
    now = dt.datetime.now(dt.UTC)

    def sign(name, key, issuer, issuer_key, *, authority):
        names = [x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, each)]) for each in (name, issuer)]
        builder = (
            x509.CertificateBuilder()
            .subject_name(names[0])
            .issuer_name(names[1])
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - dt.timedelta(days=1))
            .not_valid_after(now + dt.timedelta(days=1))
            .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
            .add_extension(
                x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False
            )
        )
        return builder.sign(issuer_key, hashes.SHA256())

    ca_key, key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    pem = serialization.Encoding.PEM
    (folder / "ca.pem").write_bytes(sign("ca", ca_key, "ca", ca_key, authority=True).public_bytes(pem))
    (folder / "cert.pem").write_bytes(sign("redis", key, "ca", ca_key, authority=False).public_bytes(pem))
    (folder / "key.pem").write_bytes(
        key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return {
        "tls-cert-file": "cert.pem",
        "tls-key-file": "key.pem",
        "tls-ca-cert-file": "ca.pem",
        "tls-auth-clients": "no",
        "tls-replication": "no",
    }
