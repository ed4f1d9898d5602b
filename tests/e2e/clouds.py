"""The servers in tests/providers as children of a test, and the settings that
lead sandmount to them."""
import json
import pathlib
import subprocess
import sys
import time
import urllib.request

PROVIDERS = pathlib.Path(__file__).parent.parent / "providers"


class Service:
    """A server as a child; ends with its standard input."""
    program = None

    def __init__(self, top, *options):
        top.mkdir()
        self.top = top
        self.child = subprocess.Popen(
            [sys.executable, str(PROVIDERS / self.program), "--dir", str(top),
             *options], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            text=True)
        word, port = self.child.stdout.readline().split()
        assert word == "ready"
        self.url = f"http://127.0.0.1:{port}"

    def call(self, what, **body):
        data = json.dumps(body).encode() if body else None
        method = "GET" if what in ("log", "sandboxes") else "POST"
        request = urllib.request.Request(f"{self.url}/_test/{what}", data,
                                         method=method)
        with urllib.request.urlopen(request, timeout=60) as r:
            return json.loads(r.read())

    def fault(self, match, kind, **more):
        self.call("fault", match=match, kind=kind, **more)

    def do(self, what, sid="box", **more):
        return self.call("sandbox", id=sid, do=what, **more)

    def requests(self, part):
        return [r for r in self.call("log") if part in r["path"]]

    def silence(self):
        """Nobody is reached until the next reset."""
        self.fault("", "reset", times=-1)
        self.call("cut")

    def stop(self):
        self.child.stdin.close()
        self.child.wait(60)
        self.child.stdout.close()


class E2b(Service):
    """Its sandboxes see the files of this machine as they are."""
    program = "e2b_server.py"
    KEY = "e2b_" + "0" * 40

    def env(self):
        return {"E2B_API_URL": self.url, "E2B_SANDBOX_URL": self.url,
                "E2B_API_KEY": self.KEY}


class Bridge(Service):
    """The sandbox ID's /workspace is workspace(ID)."""
    program = "bridge_server.py"
    KEY = "bridge-key"

    def env(self):
        return {"CLOUDFLARE_SANDBOX_URL": self.url,
                "CLOUDFLARE_SANDBOX_API_KEY": self.KEY}

    def workspace(self, sid="box"):
        return self.top / sid / "workspace"


class Leases(Bridge):
    """The older bridge; the sandbox of LEASE is one that sandmount acquired,
    as far as its id tells."""
    program = "lease_server.py"
    API = "/api/paperclip-sandbox/v1"
    LEASE = "pc-acq-sandmount-box"

    def env(self):
        return dict(super().env(), CLOUDFLARE_SANDBOX_URL=self.url + self.API)

    def do(self, what, sid=LEASE, **more):
        return super().do(what, sid, **more)

    def workspace(self, sid=LEASE):
        return super().workspace(sid)


def flush_until_sent(world, seconds=60):
    """A fault may end one flush; what is unsent is kept and sent then."""
    end = time.monotonic() + seconds
    while True:
        r = world.run("flush", "box")
        if r.code == 0:
            return
        assert r.code in (1, 4), r
        assert time.monotonic() < end, r
        time.sleep(0.1)
