"""Provider e2b against a server that speaks its protocol and runs real
processes; also with every kind of fault."""
import json
import os
import pathlib
import shutil
import subprocess
import time

import pytest

import clouds
from clouds import flush_until_sent
from conftest import SANDMOUNT, World, remove, tree, wait_for, write

class CloudWorld(World):
    def __init__(self, top, *options):
        super().__init__(top)
        self.remote.rmdir()
        self.service = clouds.E2b(top / "service", *options)
        self.env.update(self.service.env())
        self.service.do("make")

    @property
    def spec(self):
        return f"e2b:box:{self.remote}"


@pytest.fixture
def make_world(tmp_path):
    made = []

    def make(*options):
        made.append(CloudWorld(tmp_path, *options))
        return made[-1]

    yield make
    for w in made:
        w.clean()
        w.service.stop()


@pytest.fixture
def cloud(make_world):
    return make_world()


def fill(world):
    write(world.local / "a.txt", "one\ntwo\nthree\n")
    write(world.local / "run.sh", "#!/bin/sh\necho hi\n", 0o755)
    write(world.local / "sub" / "b.bin", bytes(range(256)) * 64)
    os.symlink("a.txt", world.local / "link")
    for name in (b"sp ace", b"new\nline", b"\xff\xfe", b"q'uo\"te", b"a#?%+&"):
        with open(os.path.join(os.fsencode(world.local), name), "wb") as f:
            f.write(name)


def test_main_job(cloud):
    fill(cloud)
    write(cloud.local / "big", os.urandom(3 << 20))
    r = cloud.prepare().json
    assert r["identity"]["provider"] == "e2b"
    assert tree(cloud.local) == tree(cloud.remote)
    cloud.mount()
    write(cloud.mnt / "a.txt", "one\nTWO\nthree\n")
    write(cloud.mnt / "new" / "file", "new\n")
    remove(cloud.mnt / "run.sh")
    os.rename(cloud.mnt / "sub", cloud.mnt / "moved")
    cloud.run("flush", "box", check=0)
    assert tree(cloud.mnt) == tree(cloud.remote)
    # The sandbox works.
    write(cloud.remote / "from-sandbox", b"\x00\xff" * 70000)
    write(cloud.remote / "a.txt", "one\nTWO\nthree\nfour\n")
    cloud.run("refresh", "box", check=0)
    assert tree(cloud.mnt) == tree(cloud.remote)
    cloud.umount()
    assert tree(cloud.local) == tree(cloud.remote)
    # The key went to the control plane only, the token to envd only.
    for request in cloud.service.call("log"):
        is_control = "/sandboxes" in request["path"]
        assert request["key"] == is_control, request
        assert request["token"] != is_control, request


START = "POST /process.Process/Start"
FAULTS = [
    dict(kind="reset"),
    dict(kind="status", status=500, body="oops"),
    dict(kind="status", status=502, body="<html>bad gateway</html>"),
    dict(kind="status", status=503),
    dict(kind="status", status=429, headers={"Retry-After": "1"}),
    dict(kind="status", status=429, body='{"code":429,"message":"x"}'),
    dict(kind="status", status=401, body='{"code":401,"message":"x"}'),
    dict(kind="status", status=409, body='{"code":409,"message":"x"}'),
    dict(kind="status", status=200, body="not a stream at all"),
    dict(kind="cut", bytes=0), dict(kind="cut", bytes=3),
    dict(kind="cut", bytes=60), dict(kind="cut", bytes=200),
    dict(kind="cut-before-end"), dict(kind="half-frame"),
    dict(kind="garbage"), dict(kind="no-end-frame"), dict(kind="duplicate"),
    dict(kind="split"), dict(kind="late", seconds=1),
    dict(kind="drip", seconds=0.0005),
    dict(kind="end-error", code="unavailable"),
    dict(kind="end-error", code="internal"),
]


def test_faults_while_sending(cloud):
    """Whatever happens to the answer of a batch, it is applied once."""
    write(cloud.local / "log", "0\n")
    cloud.mount()
    for i, fault in enumerate(FAULTS):
        for skip in (0, 1):
            cloud.service.fault(START, skip=skip, **fault)
        write(cloud.mnt / "log", f"{fault}\n")
        write(cloud.mnt / f"file{i}", os.urandom(100))
        (cloud.mnt / f"file{i}").rename(cloud.mnt / f"moved{i}")
        if i:
            remove(cloud.mnt / f"moved{i - 1}")
        flush_until_sent(cloud)
        assert tree(cloud.mnt) == tree(cloud.remote), fault
        cloud.service.call("reset")
    cloud.umount()
    assert tree(cloud.local) == tree(cloud.remote)


def test_faults_while_uploading(cloud):
    """Large batches go as a file first."""
    write(cloud.local / "big", os.urandom(300000))
    cloud.mount()
    for fault in FAULTS[:8]:
        cloud.service.fault("POST /files", **fault)
        write(cloud.mnt / "big", os.urandom(300000))
        flush_until_sent(cloud)
        assert tree(cloud.mnt) == tree(cloud.remote), fault
        cloud.service.call("reset")
    cloud.umount()


def test_faults_while_fetching(cloud):
    """A broken answer is never taken for content or for absence."""
    write(cloud.local / "a", "a\n")
    cloud.mount()
    faults = [f for f in FAULTS if f["kind"] not in ("status", "drip")]
    for i, fault in enumerate(faults):
        write(cloud.remote / f"s{i}", os.urandom(200000))
        for skip in (0, 1, 2):
            cloud.service.fault(START, skip=skip, **fault)
        end = time.monotonic() + 60
        while cloud.run("refresh", "box").code != 0:
            assert time.monotonic() < end, fault
            assert (cloud.mnt / "a").exists()
        cloud.service.call("reset")
        cloud.run("refresh", "box", check=0)
        assert tree(cloud.mnt) == tree(cloud.remote), fault
    cloud.umount()
    assert tree(cloud.local) == tree(cloud.remote)


def test_pause(cloud):
    write(cloud.local / "a", "a\n")
    cloud.mount()
    cloud.service.do("pause")
    write(cloud.mnt / "a", "b\n")
    flush_until_sent(cloud)
    assert (cloud.remote / "a").read_text() == "b\n"
    cloud.umount()


def test_token_changes(cloud):
    write(cloud.local / "a", "a\n")
    cloud.mount()
    cloud.service.do("new-token")
    write(cloud.mnt / "a", "b\n")
    cloud.run("flush", "box", check=0)
    assert (cloud.remote / "a").read_text() == "b\n"
    cloud.umount()


def test_expiry(cloud):
    """The sandbox ends: what was not sent goes home from the mirror."""
    write(cloud.local / "a", "a\n")
    cloud.mount()
    cloud.service.do("expire")
    write(cloud.mnt / "a", "b\n")
    write(cloud.mnt / "new", "new\n")
    r = cloud.run("flush", "box")
    assert r.code != 0 and "has ended" in r.err, r
    cloud.wait_state("offline")
    r = cloud.umount(check=None)
    assert (cloud.local / "a").read_text() == "b\n", r
    assert (cloud.local / "new").read_text() == "new\n"
    r = cloud.run("mount", "--name", "other", cloud.spec, cloud.mnt)
    assert r.code == 1 and "has ended" in r.err, r
    assert "\n" not in r.err.strip()


def test_keys(cloud):
    """Where the key may come from, and that it goes nowhere else."""
    write(cloud.local / "a", "a\n")
    spec = {"transport": "sandbox", "provider": "e2b", "sandboxId": "box",
            "remoteCwd": str(cloud.remote), "timeoutMs": 60000}
    file = cloud.top / "spec.json"

    def prepare(**more):
        write(file, json.dumps({**spec, **more}))
        return cloud.run("prepare", "--name", "box", "--local", cloud.local,
                         file, env={"E2B_API_KEY": ""})

    r = prepare()
    assert r.code == 2 and "E2B_API_KEY" in r.err, r
    key = cloud.top / "key"
    write(key, clouds.E2b.KEY + "\n", 0o644)
    r = prepare(apiKeyFile=str(key))
    assert r.code == 2 and "chmod 600" in r.err, r
    key.chmod(0o600)
    assert prepare(apiKeyFile=str(key)).code == 0
    assert prepare(apiKeyCommand=["cat", str(key)]).code == 0
    r = prepare(apiKeyCommand=["false"])
    assert r.code == 1 and "exit code 1" in r.err, r
    assert prepare(apiKey=f" {clouds.E2b.KEY} ").code == 0
    r = prepare(apiKey="e2b_wrong")
    assert r.code == 1 and "HTTP 401" in r.err, r
    assert "e2b_wrong" not in r.err
    r = prepare(apiKey=clouds.E2b.KEY, baseUrl="http://sandbox.example")
    assert r.code == 2 and "in the clear" in r.err, r
    key.unlink()
    file.unlink()
    found = subprocess.run(["grep", "-rlF", clouds.E2b.KEY, str(cloud.top)],
                           capture_output=True, text=True)
    assert found.stdout == "", found.stdout


def test_no_core_file_has_the_key(cloud):
    write(cloud.local / "a", "a\n")
    cloud.mount()
    proc = pathlib.Path(f"/proc/{cloud.daemon_pid()}")
    assert int((proc / "coredump_filter").read_text(), 16) == 0
    [line] = [line for line in (proc / "limits").read_text().splitlines()
              if line.startswith("Max core file size")]
    assert line.split()[4:6] == ["0", "0"]
    assert clouds.E2b.KEY.encode() not in (proc / "cmdline").read_bytes()
    cloud.umount()


def new_spec(world):
    return f"e2b:new:{world.remote}"


def made(world):
    return [b for b in world.service.call("sandboxes")
            if b["sandboxID"] != "box"]


@pytest.mark.parametrize("routes", ["v1", "v2"])
def test_template(make_world, routes):
    """A new sandbox, found again by the session's name; both generations of
    the control plane."""
    cloud = make_world("--routes", routes)
    write(cloud.local / "a", "a\n")
    args = ["prepare", "--json", "--name", "n", "--local", cloud.local]
    r = cloud.run(*args, new_spec(cloud))
    assert r.code == 2 and "--template" in r.err, r
    r = cloud.run(*args, "--template", "base", cloud.spec)
    assert r.code == 2 and "e2b:new:" in r.err, r
    r = cloud.run(*args, "--template", "missing", new_spec(cloud))
    assert r.code == 1 and "'missing' not found" in r.err, r
    r = cloud.run(*args, "--template", "base", new_spec(cloud), check=0)
    [box] = made(cloud)
    assert r.json["identity"]["sandboxId"] == box["sandboxID"]
    assert box["lifecycle"]["onTimeout"] == "pause"
    assert (cloud.remote / "a").read_text() == "a\n"
    cloud.run(*args, "--template", "base", new_spec(cloud), check=0)
    assert len(made(cloud)) == 1


def test_template_answer_lost(cloud):
    """The sandbox was made, the answer did not come: it is found."""
    write(cloud.local / "a", "a\n")
    cloud.service.fault("POST /sandboxes", "lost")
    cloud.run("prepare", "--name", "n", "--local", cloud.local, "--template",
              "base", new_spec(cloud), check=0)
    assert len(made(cloud)) == 1


def mount_short_lived(cloud):
    spec = {"transport": "sandbox", "provider": "e2b", "sandboxId": "box",
            "remoteCwd": str(cloud.remote), "timeoutMs": 60000,
            "lifetimeMs": 4000}
    write(cloud.top / "spec.json", json.dumps(spec))
    write(cloud.local / "a", "a\n")
    cloud.run("mount", "--name", "box", "--local", cloud.local,
              cloud.top / "spec.json", cloud.mnt, check=0)


def test_life_is_renewed(cloud):
    """A mount that nobody uses keeps its sandbox past its first end."""
    cloud.service.do("make", life=5)
    mount_short_lived(cloud)
    first = cloud.status()["expires_at"]
    assert first
    cloud.service.call("reset")
    wait_for(lambda: len(cloud.service.requests("/timeout")) >= 4)
    [box] = cloud.service.call("sandboxes")
    assert box["state"] == "running"
    status = cloud.status()
    assert status["expires_at"] > first and status["last_error"] is None
    cloud.umount()


def test_long_life_is_not_shortened(cloud):
    [before] = cloud.service.call("sandboxes")
    mount_short_lived(cloud)
    cloud.service.call("reset")

    def used():
        write(cloud.mnt / "a", str(time.monotonic()))
        cloud.run("flush", "box", check=0)
        return len(cloud.service.requests("/sandboxes/box")) >= 2

    wait_for(used)
    [box] = cloud.service.call("sandboxes")
    assert box["endAt"] == before["endAt"]
    assert cloud.service.requests("/timeout") == []
    cloud.umount()


def test_renewal_fails(cloud):
    """Loud, and over when it works again."""
    cloud.service.do("make", life=60)
    mount_short_lived(cloud)
    cloud.service.fault("GET /sandboxes/box", "status", status=500, times=-1)
    wait_for(lambda: "cannot be renewed" in (cloud.status()["last_error"] or
                                             ""))
    assert "cannot be renewed" in cloud.run("log", "box", check=0).out
    cloud.service.call("reset")
    wait_for(lambda: cloud.status()["last_error"] is None)
    cloud.umount()


def test_exec(cloud):
    write(cloud.local / "a", "a\n")
    cloud.mount()
    r = cloud.run("exec", "box", "--", "sh", "-c",
                  "cat a; printf '\\377' >b; echo no >&2; exit 7", check=7)
    assert r.out == "a\n" and r.err == "no\n"
    assert (cloud.mnt / "b").read_bytes() == b"\xff"
    cloud.umount()


def exec_in(world, *argv, **more):
    return subprocess.Popen(
        [SANDMOUNT, "exec", "box", "--", *argv], env=world.env,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, **more)


def test_input_comes_as_it_is_typed(cloud):
    cloud.mount()
    p = exec_in(cloud, "cat")
    for line in (b"one\n", b"\xff\x00two\n"):
        p.stdin.write(line)
        p.stdin.flush()
        assert p.stdout.readline() == line
    # Its end is told again when nobody answered.
    cloud.service.fault("POST /process.Process/CloseStdin", "reset", times=2)
    assert p.communicate(timeout=120) == (b"", b"")
    assert p.returncode == 0
    # A command need not read all of it.
    p = exec_in(cloud, "head", "-c", "3")
    out, err = p.communicate(b"abc" * 200000, timeout=120)
    assert (out, err, p.returncode) == (b"abc", b"", 0)
    p = exec_in(cloud, "sh", "-c", "exec <&-; echo no; exit 5")
    assert p.communicate(timeout=120) == (b"no\n", b"")
    assert p.returncode == 5
    cloud.umount()


def test_input_with_a_hole(cloud):
    """A command never goes on as if it had read everything."""
    cloud.mount()
    cloud.service.fault("POST /process.Process/SendInput", "lost-input",
                        skip=1)
    p = exec_in(cloud, "sh", "-c", "cat >got; echo done >done")
    out, err = p.communicate(b"0123456789abcdef" * 20000, timeout=120)
    assert p.returncode == 255 and b"standard input" in err, (out, err)
    assert not (cloud.remote / "done").exists()
    cloud.umount()


def test_input_of_old_daemons(make_world):
    """They cannot tell its end: it is sent before the command begins."""
    cloud = make_world("--envd-version", "0.5.0")
    cloud.mount()
    p = exec_in(cloud, "wc", "-c")
    out, err = p.communicate(b"x" * 100000, timeout=120)
    assert (out.strip(), err, p.returncode) == (b"100000", b"", 0)
    assert cloud.service.requests("SendInput") == []
    cloud.umount()


def node_is_new_enough():
    try:
        text = subprocess.run(["node", "--version"], capture_output=True,
                              text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return False
    parts = [int(n) for n in text.strip().lstrip("v").split(".")]
    return parts >= [20, 18, 1]


def test_official_sdk(tmp_path):
    """The server is right where the vendor's own client is content with it."""
    if not node_is_new_enough() or not shutil.which("npm"):
        pytest.skip("no node >= 20.18.1 with npm here")
    sdk = tmp_path / "sdk"
    sdk.mkdir()
    got = subprocess.run(
        ["npm", "install", "--no-audit", "--no-fund", "--ignore-scripts",
         "--prefix", str(sdk), "e2b@2.51.0"], capture_output=True, text=True,
        stdin=subprocess.DEVNULL, timeout=240)
    if got.returncode != 0:
        pytest.skip(f"the SDK cannot be had: {got.stderr[-300:]}")
    service = clouds.E2b(tmp_path / "service")
    try:
        done = subprocess.run(
            ["node", str(clouds.PROVIDERS / "e2b_sdk_check.mjs"), str(sdk)],
            capture_output=True, text=True, timeout=240,
            env=dict(os.environ, **service.env()))
    finally:
        service.stop()
    assert done.returncode == 0 and done.stdout.endswith("done\n"), (
        done.stdout + done.stderr)
