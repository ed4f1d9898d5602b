"""Provider cloudflare against a server of our own, written from the bridge's
description, that has the real one's traps and runs real processes."""
import os

import pytest

import clouds
from clouds import flush_until_sent
from conftest import World, tree, write

class BridgeWorld(World):
    def __init__(self, top):
        super().__init__(top)
        self.remote.rmdir()
        self.service = clouds.Bridge(top / "service")
        self.remote = self.service.workspace() / "p"
        self.env.update(self.service.env())

    @property
    def spec(self):
        return "cloudflare:box:/workspace/p"

    def stop(self):
        self.clean()
        self.service.stop()


@pytest.fixture
def cloud(tmp_path):
    w = BridgeWorld(tmp_path)
    yield w
    w.stop()


def test_main_job(cloud):
    write(cloud.local / "latin1.c", b"/* caf\xe9 */\n")
    write(cloud.local / "big", os.urandom(9 << 20))     # two parts
    write(cloud.local / "run.sh", "#!/bin/sh\n", 0o755)
    for name in (b"sp ace", b"new\nline", b"\xff\xfe", b"h#a?s%h", b"q'\"$"):
        with open(os.path.join(os.fsencode(cloud.local), name), "wb") as f:
            f.write(name)
    cloud.prepare()
    assert tree(cloud.local) == tree(cloud.remote)
    puts = [r for r in cloud.service.call("log") if r["method"] == "PUT"]
    assert len(puts) >= 2
    cloud.mount()
    assert cloud.status()["expires_at"]
    write(cloud.mnt / "new" / "file", "new\n")
    (cloud.mnt / "run.sh").unlink()
    cloud.run("flush", "box", check=0)
    assert tree(cloud.mnt) == tree(cloud.remote)
    write(cloud.remote / "from-sandbox", bytes(range(256)) * 500)
    cloud.run("refresh", "box", check=0)
    assert tree(cloud.mnt) == tree(cloud.remote)
    r = cloud.run("exec", "box", "--", "sh", "-c", "printf '\\377'>x; exit 3")
    assert r.code == 3, r
    cloud.umount()
    assert tree(cloud.local) == tree(cloud.remote)
    assert (cloud.local / "x").read_bytes() == b"\xff"


FAULTS = [
    dict(kind="reset"),
    dict(kind="status", status=502,
         body='{"error":"no","code":"pool_error"}'),
    dict(kind="status", status=200, body="no events at all"),
    dict(kind="cut", bytes=40), dict(kind="no-end-frame"),
    dict(kind="end-error"), dict(kind="split"),
]


def test_faults(cloud):
    """Whatever happens to the answer of a batch, it is applied once; what a
    broken listing or fetch lacks is not taken for absent."""
    write(cloud.local / "log", "0\n")
    cloud.mount()
    for i, fault in enumerate(FAULTS):
        cloud.service.fault("POST /v1/sandbox/box/exec", **fault)
        write(cloud.mnt / "log", f"{fault}\n")
        write(cloud.mnt / f"file{i}", os.urandom(50000))    # by parts
        flush_until_sent(cloud)
        cloud.service.call("reset")
        cloud.service.fault("POST /v1/sandbox/box/exec", **fault)
        write(cloud.remote / f"theirs{i}", os.urandom(1000))
        cloud.run("refresh", "box")
        assert (cloud.mnt / f"file{i}").exists()
        cloud.service.call("reset")
        cloud.run("refresh", "box", check=0)
        assert tree(cloud.mnt) == tree(cloud.remote), fault
    cloud.umount()
    assert tree(cloud.local) == tree(cloud.remote)


def test_silent_replacement(cloud):
    """A container that slept is empty: nothing counts as deleted."""
    write(cloud.local / "a", "a\n")
    cloud.mount()
    cloud.service.do("replace")
    r = cloud.run("refresh", "box")
    assert r.code != 0 and "gone" in r.err, r
    assert (cloud.mnt / "a").read_text() == "a\n"
    write(cloud.mnt / "b", "b\n")
    cloud.umount(check=None)
    assert (cloud.local / "a").read_text() == "a\n"
    assert (cloud.local / "b").read_text() == "b\n"


def test_usage(cloud):
    def prepare(spec, **env):
        return cloud.run("prepare", "--name", "box", "--local", cloud.local,
                         spec, env=env)

    write(cloud.local / "a", "a\n")
    r = prepare(cloud.spec, CLOUDFLARE_SANDBOX_URL="")
    assert r.code == 2 and "baseUrl" in r.err, r
    r = prepare(cloud.spec, CLOUDFLARE_SANDBOX_API_KEY="")
    assert r.code == 2 and "CLOUDFLARE_SANDBOX_API_KEY" in r.err, r
    r = prepare(cloud.spec, CLOUDFLARE_SANDBOX_API_KEY="wrong")
    assert r.code == 1 and "HTTP 401" in r.err and "wrong" not in r.err, r
    r = prepare("cloudflare:BOX:/workspace/p")
    assert r.code == 2 and "a-z" in r.err, r
    r = prepare(cloud.spec, CLOUDFLARE_SANDBOX_URL="http://bridge.example")
    assert r.code == 2 and "in the clear" in r.err, r
    r = cloud.run("prepare", "--json", "--name", "n", "--local", cloud.local,
                  "cloudflare:new:/workspace/p", check=0)
    sid = r.json["identity"]["sandboxId"]
    assert (cloud.top / "service" / sid / "workspace/p/a").exists()
