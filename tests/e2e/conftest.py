"""Fixtures of the end-to-end tests: a private home, a sandbox that is a
directory of this machine, and the program under test.

Every test has its own HOME and XDG directories; whatever it mounts is
unmounted at its end, and daemons it started are ended by their recorded pid.
"""
import json
import os
import pathlib
import shutil
import signal
import subprocess
import time

import pytest

import contract
import engines
import proof

SANDMOUNT = os.environ.get("SANDMOUNT", "build/gcc/sandmount")

# A suite that a shell started in the background ignores these, and so would all
# that it starts.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGQUIT, signal.SIG_DFL)


class Result:
    def __init__(self, done):
        self.code = done.returncode
        self.out = done.stdout
        self.err = done.stderr

    @property
    def json(self):
        return json.loads(self.out)

    def __repr__(self):
        return f"exit {self.code}\nout: {self.out!r}\nerr: {self.err!r}"


class World:
    """A person's machine: HOME, a local directory, a sandbox."""
    user = None	# the number of another user that runs it

    def __init__(self, top):
        self.top = top
        self.local = top / "local"
        self.remote = top / "sandbox"
        self.home = top / "home"
        self.mnt = top / "mnt"
        for d in (self.local, self.remote, self.home, self.mnt):
            d.mkdir()
        runtime = top / "run"
        runtime.mkdir(mode=0o700)
        self.env = dict(os.environ, HOME=str(self.home),
                        XDG_STATE_HOME=str(top / "state"),
                        XDG_CONFIG_HOME=str(top / "config"),
                        XDG_RUNTIME_DIR=str(runtime), LC_ALL="C.UTF-8")
        self.env.pop("XDG_CACHE_HOME", None)

    @property
    def spec(self):
        return f"local:{self.remote}"

    def session(self, name="box"):
        return self.top / "state" / "sandmount" / name

    def run(self, *args, check=None, env=None, cwd=None, timeout=300):
        done = subprocess.run(
            [SANDMOUNT, *map(str, args)], capture_output=True, text=True,
            errors="surrogateescape", env=dict(self.env, **(env or {})),
            cwd=cwd, timeout=timeout, stdin=subprocess.DEVNULL,
            user=self.user, group=self.user,
            extra_groups=None if self.user is None else [])
        result = Result(done)
        if check is not None:
            assert result.code == check, result
        return result

    def prepare(self, *options, name="box", check=0):
        return self.run("prepare", "--json", "--name", name, "--local",
                        self.local, *options, self.spec, check=check)

    def mount(self, *options, name="box", check=0):
        return self.run("mount", "--json", "--name", name, "--local",
                        self.local, *options, self.spec, self.mnt, check=check)

    def umount(self, check=0):
        return self.run("umount", "--json", self.mnt, check=check)

    def restore(self, *options, name="box", check=0):
        return self.run("restore", "--json", *options, name, check=check)

    def status(self, name="box"):
        return self.run("status", "--json", name, check=0).json

    def wait_state(self, *states, name="box", seconds=60):
        end = time.monotonic() + seconds
        while True:
            state = self.status(name)["state"]
            if state in states:
                return state
            assert time.monotonic() < end, f"still {state}, not {states}"
            time.sleep(0.02)

    def is_mounted(self):
        mounts = pathlib.Path("/proc/self/mountinfo").read_text()
        return f" {self.mnt} " in mounts

    def daemon_pid(self, name="box"):
        return int((self.session(name) / "lock").read_text())

    def clean(self):
        if self.is_mounted():
            subprocess.run(["fusermount3", "-u", "-z", str(self.mnt)],
                           capture_output=True)
        state = self.top / "state" / "sandmount"
        for lock in state.glob("*/lock"):
            try:
                pid = int(lock.read_text())
                exe = os.readlink(f"/proc/{pid}/exe")
                if "sandmount" in exe:
                    end = time.monotonic() + 10
                    while time.monotonic() < end:
                        os.kill(pid, 0)
                        time.sleep(0.05)
                    os.kill(pid, signal.SIGKILL)
            except (OSError, ValueError):
                pass


def pytest_sessionfinish():
    engines.stop_all()
    contract.save()
    proof.save()


def pytest_runtest_logreport(report):
    """The outcome of a test of the contract suite."""
    for key, value in report.user_properties:
        if key != "contract" or report.when == "teardown":
            continue
        if report.when == "call" or report.failed:
            contract.note(*value, report.outcome)
        elif report.skipped and isinstance(report.longrepr, tuple):
            feature, provider = value
            if provider not in contract.results.get(feature, {}):
                contract.note(*value, "skipped", report.longrepr[2])


@pytest.fixture
def world(tmp_path):
    w = World(tmp_path)
    yield w
    w.clean()


def tree(top, exclude=(".sandmount",), mtimes=False):
    """A directory as a dictionary: path -> (kind, mode, content)."""
    found = {}
    top = os.fsencode(str(top))
    for base, dirs, files in os.walk(top):
        if base == top:
            dirs[:] = [d for d in dirs if os.fsdecode(d) not in exclude]
        for name in dirs + files:
            path = os.path.join(base, name)
            st = os.lstat(path)
            rel = os.path.relpath(path, top)
            mode = st.st_mode & 0o777
            if os.path.islink(path):
                found[rel] = ("link", 0, os.readlink(path))
            elif os.path.isdir(path):
                found[rel] = ("dir", mode, b"")
            else:
                with open(path, "rb") as f:
                    found[rel] = ("file", mode, f.read(),
                                  *([int(st.st_mtime)] if mtimes else []))
    return found


def wait_for(what, why="waited in vain", seconds=60):
    """Until WHAT() holds: machines may be slow."""
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end, why
        time.sleep(0.02)


def write(path, text, mode=None):
    path = pathlib.Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    data = text if isinstance(text, bytes) else text.encode()
    path.write_bytes(data)
    if mode is not None:
        path.chmod(mode)


def paths(report, key):
    return sorted(line["path"] for line in report[key])


def remove(path):
    path = pathlib.Path(path)
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink()
