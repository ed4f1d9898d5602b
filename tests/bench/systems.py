"""The file systems that are compared. Each has a directory `work` that holds a
copy of the same content, and is mounted afresh for a run."""
import getpass
import json
import os
import pathlib
import shutil
import socket
import subprocess
import sys
import time

DELAY = pathlib.Path(__file__).with_name("delay.py")


def run(*argv, **kw):
    kw.setdefault("stdout", subprocess.DEVNULL)
    return subprocess.run([str(a) for a in argv], check=True,
                          stdin=subprocess.DEVNULL, **kw)


def copy(source, target):
    """A copy whose inode numbers are new to git, as on every system here."""
    run("cp", "-a", f"{source}/.", target)


def wait_for(what, seconds=60):
    end = time.monotonic() + seconds
    while not what():
        if time.monotonic() > end:
            raise RuntimeError("did not become ready")
        time.sleep(0.02)


def is_mounted(path):
    return f" {path} " in pathlib.Path("/proc/self/mountinfo").read_text()


class Native:
    name = "native"

    def __init__(self, top, content):
        self.work = top / "native"
        self.work.mkdir()
        copy(content, self.work)

    def mount(self):
        pass

    def umount(self):
        pass

    def settle(self):
        """Lets nothing of what was done so far run on in the background; true
        when there was a sandbox to bring it to."""
        return False


class Ours(Native):
    """sandmount over a directory of this machine, with a delay before it."""

    def __init__(self, top, content, program, ms):
        self.name = f"sandmount {ms} ms"
        self.program, self.work = program, top / f"ours{ms}"
        self.local, self.box = top / f"local{ms}", top / f"box{ms}"
        for d in (self.work, self.local, self.box):
            d.mkdir()
        state = top / f"state{ms}"
        for d in ("config", "run"):
            (state / d).mkdir(parents=True, mode=0o700)
        self.env = dict(os.environ, XDG_STATE_HOME=str(state),
                        XDG_CONFIG_HOME=str(state / "config"),
                        XDG_RUNTIME_DIR=str(state / "run"))
        if content:
            copy(content, self.local)
        prefix = [sys.executable, str(DELAY), "pipe", str(ms)] if ms else []
        config = state / "config" / "sandmount"
        config.mkdir()
        (config / "config.json").write_text(
            json.dumps({"commands": {"there": prefix}}))

    def command(self, *args, **kw):
        return run(self.program, *args, env=self.env, **kw)

    def mount(self):
        self.command("mount", "--name", "bench", "--local", self.local,
                     f"command:there:{self.box}", self.work)

    def umount(self):
        self.command("umount", "bench")

    def settle(self):
        self.command("flush", "bench")
        return True

    def pid(self):
        lock = pathlib.Path(self.env["XDG_STATE_HOME"], "sandmount", "bench",
                            "lock")
        return int(lock.read_text())


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Sshd:
    """A server of our own on the loopback, and a delaying proxy before it."""

    def __init__(self, top):
        self.key, self.children, self.ports = top / "key", [], {}
        self.log = open(top / "sshd.log", "w")
        for key in (self.key, top / "hostkey"):
            run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key)
        self.ports[0] = free_port()
        config = top / "sshd_config"
        config.write_text("\n".join([
            f"Port {self.ports[0]}", "ListenAddress 127.0.0.1",
            f"HostKey {top}/hostkey", f"AuthorizedKeysFile {self.key}.pub",
            "StrictModes no", "PasswordAuthentication no",
            "PermitRootLogin yes", f"PidFile {top}/sshd.pid",
            "Subsystem sftp internal-sftp", ""]))
        if os.geteuid() == 0:
            os.makedirs("/run/sshd", exist_ok=True)
        self.start(shutil.which("sshd") or "/usr/sbin/sshd", "-D", "-e", "-f",
                   config)
        self.wait_for_port(self.ports[0])

    def start(self, *argv):
        self.children.append(subprocess.Popen(
            [str(a) for a in argv], stderr=self.log,
            stdin=subprocess.DEVNULL))

    def wait_for_port(self, port):
        def answers():
            with socket.socket() as s:
                return s.connect_ex(("127.0.0.1", port)) == 0
        wait_for(answers)

    def port(self, ms):
        if ms not in self.ports:
            self.ports[ms] = free_port()
            self.start(sys.executable, DELAY, "tcp", ms, self.ports[ms],
                       self.ports[0])
            self.wait_for_port(self.ports[ms])
        return self.ports[ms]

    def stop(self):
        for child in self.children:
            child.terminate()
            child.wait()
        self.log.close()


class Peer(Native):
    def __init__(self, top, content, sshd, ms):
        self.name = f"{self.program} {ms} ms"
        self.sshd, self.ms = sshd, ms
        self.work = top / f"{self.program}{ms}"
        self.served = top / f"{self.program}{ms}.served"
        self.cache = top / f"{self.program}{ms}.cache"
        for d in (self.work, self.served):
            d.mkdir()
        copy(content, self.served)

    def umount(self):
        subprocess.run(["fusermount3", "-u", "-z", str(self.work)])
        wait_for(lambda: not is_mounted(self.work))


class Sshfs(Peer):
    program = "sshfs"

    def mount(self):
        run("sshfs", "-p", self.sshd.port(self.ms), "-o",
            f"IdentityFile={self.sshd.key},StrictHostKeyChecking=no,"
            "UserKnownHostsFile=/dev/null,LogLevel=ERROR",
            f"{getpass.getuser()}@127.0.0.1:{self.served}", self.work)


class Rclone(Peer):
    program = "rclone"

    def mount(self):
        self.child = subprocess.Popen(
            ["rclone", "mount", f":sftp:{self.served}", str(self.work),
             "--config", "/dev/null", "--sftp-host", "127.0.0.1",
             "--sftp-port", str(self.sshd.port(self.ms)), "--sftp-user",
             getpass.getuser(), "--sftp-key-file", str(self.sshd.key),
             "--vfs-cache-mode", "full", "--cache-dir", str(self.cache)],
            stdin=subprocess.DEVNULL, stdout=self.sshd.log,
            stderr=self.sshd.log)
        wait_for(lambda: is_mounted(self.work))

    def umount(self):
        super().umount()
        self.child.terminate()
        try:
            self.child.wait(10)
        except subprocess.TimeoutExpired:
            self.child.kill()
            self.child.wait()
