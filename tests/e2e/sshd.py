"""A real ssh server on loopback, with keys and a configuration of its own."""
import getpass
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import time

import pytest

SSHD = shutil.which("sshd", path=os.environ["PATH"] + ":/usr/sbin:/sbin")


def keygen(path, comment=""):
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C",
                    comment, "-f", str(path)], check=True)


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Sshd:
    """`host` is what the client calls it; `env` makes sandmount use its
    configuration instead of the user's."""
    host = "box"

    def __init__(self, top, extra="", path=None):
        """EXTRA: more lines of sshd_config; PATH: of what it runs."""
        self.top = pathlib.Path(top)
        self.top.mkdir()
        # An empty home, so that nobody's .bashrc takes part.
        home = self.top / "home"
        home.mkdir()
        extra += f"\nSetEnv HOME={home} PATH={path or os.environ['PATH']}"
        if os.getuid() == 0:
            os.makedirs("/run/sshd", mode=0o755, exist_ok=True)
        keygen(self.top / "host_key")
        keygen(self.top / "user_key")
        shutil.copy(self.top / "user_key.pub", self.top / "authorized")
        self.process = None
        self.extra = extra
        self.start()

    def start(self):
        """Starts it on a free port (anew: on the same one)."""
        for _ in range(5):
            port = getattr(self, "port", None) or free_port()
            config = self.top / "sshd_config"
            config.write_text(
                f"Port {port}\nListenAddress 127.0.0.1\n"
                f"HostKey {self.top}/host_key\nPidFile none\n"
                f"AuthorizedKeysFile {self.top}/authorized\n"
                "StrictModes no\nUsePAM no\nPasswordAuthentication no\n"
                f"KbdInteractiveAuthentication no\nPermitRootLogin yes\n"
                f"LogLevel VERBOSE\n{self.extra}\n")
            self.log = open(self.top / "log", "ab")
            self.process = subprocess.Popen(
                [SSHD, "-D", "-e", "-f", str(config)], stdin=subprocess.DEVNULL,
                stdout=self.log, stderr=self.log)
            if self.answers(port):
                self.port = port
                self.write_client()
                return
            self.stop()
        pytest.skip("sshd does not start: " + self.text()[-300:])

    def answers(self, port):
        end = time.monotonic() + 30
        while time.monotonic() < end and self.process.poll() is None:
            try:
                with socket.create_connection(("127.0.0.1", port), 5) as s:
                    return s.recv(4) == b"SSH-"
            except OSError:
                time.sleep(0.02)
        return False

    def text(self):
        return (self.top / "log").read_text(errors="replace")

    def write_client(self, key="user_key", known=True):
        line = (self.top / "host_key.pub").read_text()
        (self.top / "known").write_text(
            f"[127.0.0.1]:{self.port} {line}" if known else "")
        (self.top / "ssh_config").write_text(
            f"Host {self.host}\nHostName 127.0.0.1\nPort {self.port}\n"
            f"User {getpass.getuser()}\nIdentitiesOnly yes\n"
            f"IdentityAgent none\nIdentityFile {self.top}/{key}\n"
            f"UserKnownHostsFile {self.top}/known\n"
            "GlobalKnownHostsFile /dev/null\n")

    @property
    def env(self):
        return {"SANDMOUNT_SSH": f"ssh -F {self.top}/ssh_config"}

    def connections(self):
        """Process ids of the server's open connections."""
        out = subprocess.run(["ps", "-o", "pid=", "--ppid",
                              str(self.process.pid)], capture_output=True,
                             text=True).stdout
        return [int(p) for p in out.split()]

    def signal_connections(self, sig):
        """All processes below the server's: every connection's."""
        for pid in self.connections():
            for p in [pid] + children(pid):
                try:
                    os.kill(p, sig)
                except ProcessLookupError:
                    pass

    def stop(self):
        if self.process and self.process.poll() is None:
            self.signal_connections(signal.SIGCONT)
            pids = self.connections()
            self.process.terminate()
            self.process.wait(30)
            for pid in pids:
                try:
                    os.kill(pid, signal.SIGTERM)
                except ProcessLookupError:
                    pass
        self.log.close()


def children(pid):
    """Only sshd's own: what it runs for the user goes on."""
    out = subprocess.run(["ps", "-o", "pid=,comm=", "--ppid", str(pid)],
                         capture_output=True, text=True).stdout
    return [int(line.split()[0]) for line in out.splitlines()
            if line.split()[1].startswith("sshd")]


def need():
    if not SSHD:
        pytest.skip("no sshd here: apt-get install openssh-server")
