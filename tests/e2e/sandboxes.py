"""Sandboxes of every provider, behind one interface, for the contract suite.

What a test does to a sandbox goes by other ways than sandmount's: its own file
system, the engine's archives, a shell. LIMITS names what cannot be asked of a
provider, and why; the table in the README shows it.
"""
import io
import os
import shutil
import signal
import subprocess
import tarfile

import pytest

import clouds
import engines
import sshd
from conftest import tree, wait_for, write


NO_END = {"expiry": "no end of its own"}


class Sandbox:
    """A directory of this machine, unless a provider says otherwise."""
    limits = NO_END

    def __init__(self, world):
        self.world = world
        self.root = str(world.remote)

    def close(self):
        pass

    def sh(self, script, stdin=b""):
        """What SCRIPT prints in the sandbox; it must succeed."""
        return subprocess.run(["sh", "-c", script], input=stdin, check=True,
                              stdout=subprocess.PIPE).stdout

    def put(self, files):
        """Files, path -> bytes; directories come as needed."""
        for path, data in files.items():
            path = os.path.join(os.fsencode(self.root), os.fsencode(path))
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(path, "wb") as f:
                f.write(data)

    def tree(self):
        return tree(self.root)

    def stop(self):
        """Nobody answers any more."""
        os.rename(self.root, self.root + ".away")

    def start(self):
        os.rename(self.root + ".away", self.root)

    def replace(self):
        """Another sandbox under the same name, empty."""
        shutil.rmtree(self.root)
        os.mkdir(self.root)

    def cut(self):
        """Whatever command runs in it loses its connection."""

    def expire(self):
        """Its life ends."""


class Local(Sandbox):
    limits = dict(NO_END, faults="no connection that could be cut")

    def __init__(self, world):
        super().__init__(world)
        self.spec = f"local:{self.root}"


class Command(Sandbox):
    """A prefix that behaves as `kubectl exec -i POD --` does."""

    def __init__(self, world):
        super().__init__(world)
        self.script = world.top / "kubectl"
        self.down = world.top / "down"
        write(self.script, '#!/bin/bash\n'
              f'if [ -e {self.down} ]; then echo "error: unable to upgrade '
              'connection: container not found" >&2; exit 1; fi\n'
              'while [ "$1" != -- ]; do shift; done; shift\n"$@"\n', 0o755)
        write(world.top / "config" / "sandmount" / "config.json",
              '{"commands": {"pod": ["%s", "exec", "-i", "pod", "--"]}}'
              % self.script)
        self.spec = f"command:pod:{self.root}"

    def stop(self):
        write(self.down, "")
        self.cut()

    def start(self):
        self.down.unlink()

    def cut(self):
        word = str(self.script).encode() + b"\0exec"
        for pid in filter(str.isdigit, os.listdir("/proc")):
            try:
                with open(f"/proc/{pid}/cmdline", "rb") as f:
                    if word in f.read():
                        os.kill(int(pid), signal.SIGKILL)
            except OSError:
                pass


class Ssh(Sandbox):
    def __init__(self, world):
        super().__init__(world)
        sshd.need()
        self.server = sshd.Sshd(world.top / "sshd")
        world.env.update(self.server.env)
        self.spec = f"ssh:box:{self.root}"

    def close(self):
        self.server.stop()

    def stop(self):
        self.server.stop()

    def start(self):
        self.server.start()

    def cut(self):
        self.server.signal_connections(signal.SIGKILL)


class Container(Sandbox):
    kind = "docker"

    def __init__(self, world):
        super().__init__(world)
        if os.getuid() != 0:
            pytest.skip("engines need root here")
        self.engine = engines.get(self.kind)
        world.env["DOCKER_HOST"] = f"unix://{self.engine.socket}"
        self.name = "ws"
        self.root = "/workspace"
        self.engine.run(self.name)
        self.spec = f"docker:{self.name}:{self.root}"

    def close(self):
        self.engine.remove(self.name)

    def sh(self, script, stdin=None):
        return self.engine.sh(self.name, script, stdin)

    def put(self, files):
        self.sh(f"mkdir -p {self.root}")
        self.engine.put(self.name, self.root,
                        {os.fsdecode(p): d for p, d in files.items()})

    def tree(self):
        found = {}
        raw = self.sh(f"cd {self.root} && tar -cf - .")
        with tarfile.open(fileobj=io.BytesIO(raw)) as tar:
            for m in tar:
                path = os.fsencode(m.name)[2:]
                if not path or path.split(b"/")[0] == b".sandmount":
                    continue
                if m.issym():
                    found[path] = ("link", 0, os.fsencode(m.linkname))
                elif m.isdir():
                    found[path] = ("dir", m.mode & 0o777, b"")
                else:
                    found[path] = ("file", m.mode & 0o777,
                                   tar.extractfile(m).read())
        return found

    def stop(self):
        self.engine.act(self.name, "stop")

    def start(self):
        self.engine.act(self.name, "start")

    def replace(self):
        self.engine.remove(self.name)
        self.engine.run(self.name)
        self.sh(f"mkdir -p {self.root}")

    def cut(self):
        self.engine.act(self.name, "restart")


class Podman(Container):
    kind = "podman"


class Cloud(Sandbox):
    """A server of tests/providers, whose sandboxes are directories here."""
    limits = {}
    kind = None

    def __init__(self, world):
        super().__init__(world)
        self.service = self.kind(world.top / "service")
        world.env.update(self.service.env())

    def close(self):
        self.service.stop()

    def stop(self):
        self.service.silence()

    def start(self):
        self.service.call("reset")

    def cut(self):
        self.service.call("cut")


class E2b(Cloud):
    kind = clouds.E2b

    def __init__(self, world):
        super().__init__(world)
        self.service.do("make")
        self.spec = f"e2b:box:{self.root}"

    def replace(self):
        """Its snapshot was lost: the disk is a new one."""
        super().replace()
        self.service.do("make")

    def expire(self):
        self.service.do("expire")


class Cloudflare(Cloud):
    kind = clouds.Bridge

    def __init__(self, world):
        super().__init__(world)
        self.root = str(self.service.workspace() / "p")
        os.makedirs(self.root)
        self.spec = "cloudflare:box:/workspace/p"

    def replace(self):
        """It slept, and is another under the same id."""
        self.service.do("replace")
        os.makedirs(self.root)

    def expire(self):
        self.service.do("replace")


class Lease(Cloud):
    """Provider cloudflare, its older dialect."""
    kind = clouds.Leases

    def __init__(self, world):
        super().__init__(world)
        self.replace()
        self.spec = f"cloudflare:{clouds.Leases.LEASE}:/workspace/p"

    def replace(self):
        self.service.do("replace")
        self.root = str(self.service.workspace() / "p")
        os.makedirs(self.root)

    def expire(self):
        self.service.do("expire")


PROVIDERS = {"local": Local, "command": Command, "ssh": Ssh,
             "docker": Container, "podman": Podman, "e2b": E2b,
             "cloudflare": Cloudflare, "lease": Lease}
