"""Real container engines, dockerd and `podman system service`, each with a
data directory of its own, and root file systems made from this machine's
busybox. Nothing is downloaded; containers have no network."""
import http.client
import io
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import tarfile
import tempfile
import time

import pytest

PATH = os.environ["PATH"] + ":/usr/sbin:/sbin"
IMAGE = "localhost/sandmount:latest"


class Connection(http.client.HTTPConnection):
    def __init__(self, path):
        super().__init__("localhost", timeout=120)
        self.path = str(path)

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


class Engine:
    def __init__(self, kind):
        program = shutil.which({"docker": "dockerd"}.get(kind, kind), path=PATH)
        if not program or not shutil.which("busybox"):
            pytest.skip(f"no {kind} or no busybox here")
        self.kind = kind
        self.top = pathlib.Path(tempfile.mkdtemp(prefix="sm-", dir="/tmp"))
        self.socket = self.top / "s"
        self.log = self.top / "log"
        env = dict(os.environ, PATH=PATH)
        (self.top / "containers.conf").write_text(
            '[containers]\ndefault_ulimits = ["nofile=1024:1024", '
            '"nproc=1024:1024"]\nnetns = "none"\n[engine]\n'
            'runtime = "runc"\ncgroup_manager = "cgroupfs"\n'
            'events_logger = "none"\n')
        (self.top / "daemon.json").write_text("{}")
        if kind == "docker":
            argv = [program, "--config-file", self.top / "daemon.json",
                    "--data-root", self.top / "data", "--exec-root",
                    self.top / "exec", "--pidfile", self.top / "pid", "-H",
                    f"unix://{self.socket}", "--bridge", "none",
                    "--iptables=false", "--ip6tables=false",
                    "--storage-driver", "vfs", "--log-driver", "none"]
        else:
            env["CONTAINERS_CONF"] = str(self.top / "containers.conf")
            argv = [program, "--root", self.top / "data", "--runroot",
                    self.top / "run", "--storage-driver", "vfs", "system",
                    "service", "--time=0", f"unix://{self.socket}"]
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(
                list(map(str, argv)), stdin=subprocess.DEVNULL, stdout=log,
                stderr=log, env=env, start_new_session=True)
        try:
            self.wait_ready()
            self.import_image(IMAGE, root_file_system())
            self.run("probe")
            self.remove("probe")
        except EngineError as e:
            words = self.log.read_text(errors="replace")[-600:]
            self.stop()
            pytest.skip(f"{kind} does not work here: {e}: {words}")

    def wait_ready(self):
        end = time.monotonic() + 60
        while time.monotonic() < end:
            if self.process.poll() is not None:
                raise EngineError("it ended")
            try:
                if self.ask("GET", "/_ping")[0] == 200:
                    return
            except OSError:
                time.sleep(0.05)
        raise EngineError("it does not answer")

    def ask(self, method, path, body=None, kind="application/json"):
        c = Connection(self.socket)
        data = json.dumps(body) if isinstance(body, dict) else body
        c.request(method, path, data, {"Content-Type": kind})
        answer = c.getresponse()
        text = answer.read()
        c.close()
        return answer.status, text

    def must(self, *args, **kw):
        status, text = self.ask(*args, **kw)
        if status >= 400:
            raise EngineError(f"{args[:2]}: {status} {text[:300]!r}")
        return text

    def import_image(self, name, archive):
        repo, tag = name.rsplit(":", 1)
        self.must("POST", f"/v1.41/images/create?fromSrc=-&repo={repo}"
                  f"&tag={tag}", archive, kind="application/x-tar")

    def run(self, name, image=IMAGE, cmd=("/bin/sleep", "36000"), binds=()):
        """Makes and starts a container; its id."""
        text = self.must("POST", f"/v1.41/containers/create?name={name}", {
            "Image": image, "Cmd": list(cmd), "WorkingDir": "/",
            "HostConfig": {"NetworkMode": "none", "Binds": list(binds)}})
        self.must("POST", f"/v1.41/containers/{name}/start")
        return json.loads(text)["Id"]

    def remove(self, name):
        self.ask("DELETE", f"/v1.41/containers/{name}?force=true&v=true")

    def act(self, name, verb):
        self.must("POST", f"/v1.41/containers/{name}/{verb}"
                  + ("?t=0" if verb in ("stop", "restart") else ""))

    def sh(self, name, script, stdin=None):
        """The standard output of SCRIPT in a container, which must succeed.
        STDIN goes by a file, so that no stream is needed."""
        if stdin is not None:
            self.put(name, "/tmp", {".stdin": stdin})
            script = f"exec </tmp/.stdin\n{script}"
        text = self.must("POST", f"/v1.41/containers/{name}/exec", {
            "AttachStdout": True, "AttachStderr": True,
            "Cmd": ["sh", "-c", script]})
        exec_id = json.loads(text)["Id"]
        raw = self.must("POST", f"/v1.41/exec/{exec_id}/start",
                        {"Detach": False, "Tty": False})
        streams = {1: b"", 2: b""}
        while raw:
            n = int.from_bytes(raw[4:8], "big")
            streams[raw[0]] += raw[8:8 + n]
            raw = raw[8 + n:]
        end = time.monotonic() + 30
        while time.monotonic() < end:
            state = json.loads(self.must("GET", f"/v1.41/exec/{exec_id}/json"))
            if not state["Running"]:
                break
            time.sleep(0.02)
        if state["ExitCode"] != 0:
            raise EngineError(f"{script!r}: exit {state['ExitCode']}: "
                              f"{streams[2]!r}")
        return streams[1]

    def put(self, name, where, files):
        out = io.BytesIO()
        with tarfile.open(fileobj=out, mode="w") as tar:
            for path, data in files.items():
                member = tarfile.TarInfo(path)
                member.size = len(data)
                tar.addfile(member, io.BytesIO(data))
        self.must("PUT", f"/v1.41/containers/{name}/archive?path={where}",
                  out.getvalue(), kind="application/x-tar")

    def names(self):
        if not self.socket.exists():
            return []
        text = self.must("GET", "/v1.41/containers/json?all=true")
        return [c["Names"][0].lstrip("/") for c in json.loads(text)]

    def stop(self):
        try:
            for name in self.names():
                self.remove(name)
        except (EngineError, OSError):
            pass
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(60)
            except subprocess.TimeoutExpired:
                os.killpg(self.process.pid, signal.SIGKILL)
                self.process.wait()
        unmount_below(self.top)
        shutil.rmtree(self.top, ignore_errors=True)


class EngineError(Exception):
    pass


def unmount_below(top):
    for _ in range(5):
        mounts = re.findall(r"^\S+ \S+ \S+ \S+ (\S+)",
                            pathlib.Path("/proc/self/mountinfo").read_text(),
                            re.M)
        ours = [m for m in mounts if m.startswith(str(top) + "/")]
        if not ours:
            return
        for m in sorted(ours, reverse=True):
            subprocess.run(["umount", m], capture_output=True)


def root_file_system(without=(), links=True):
    """A tar with busybox and its libraries. WITHOUT: tools to leave out;
    LINKS false: only the program, as /busybox."""
    box = os.path.realpath(shutil.which("busybox"))
    ldd = subprocess.run(["ldd", box], capture_output=True, text=True).stdout
    tools = subprocess.run([box, "--list"], capture_output=True,
                           text=True).stdout.split()
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for d in ("bin", "etc", "tmp", "root", "proc", "dev", "sys"):
            member = tarfile.TarInfo(d)
            member.type, member.mode = tarfile.DIRTYPE, 0o755
            tar.addfile(member)
        for lib in re.findall(r"(/\S+) \(", ldd):
            tar.add(os.path.realpath(lib), lib.lstrip("/"))
        tar.add(box, "bin/busybox" if links else "busybox")
        for tool in set(tools) - {"busybox"} - set(without) if links else ():
            member = tarfile.TarInfo(f"bin/{tool}")
            member.type, member.linkname = tarfile.SYMTYPE, "busybox"
            tar.addfile(member)
        for name, text in (("passwd", b"root:x:0:0:root:/root:/bin/sh\n"),
                           ("group", b"root:x:0:\n")):
            member = tarfile.TarInfo(f"etc/{name}")
            member.size = len(text)
            tar.addfile(member, io.BytesIO(text))
    return out.getvalue()


_engines = {}


def get(kind):
    """The engine, started once a run; a skip says why it cannot be."""
    if kind not in _engines:
        try:
            _engines[kind] = Engine(kind)
        except pytest.skip.Exception as e:
            _engines[kind] = e
    if isinstance(_engines[kind], BaseException):
        pytest.skip(str(_engines[kind]))
    return _engines[kind]


def stop_all():
    for engine in _engines.values():
        if isinstance(engine, Engine):
            engine.stop()
    _engines.clear()
