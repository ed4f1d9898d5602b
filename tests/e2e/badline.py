"""Lines to a sandbox that fail by a schedule: on and off, one seed gives one
schedule. PipeLine is a provider's command (unsteady.py), HttpLine a proxy
before one of the servers in tests/providers.
"""
import json
import os
import pathlib
import random
import socket
import sys
import threading
import time

import clouds
from conftest import write

SHIM = pathlib.Path(__file__).with_name("unsteady.py")


class PipeLine:
    def __init__(self, w):
        self.top = w.top / "line"
        self.top.mkdir()
        write(w.top / "config" / "sandmount" / "config.json", json.dumps(
            {"commands": {"unsteady": [sys.executable, "-BS", str(SHIM),
                                       str(self.top)]}}))
        self.spec = f"command:unsteady:{w.remote}"

    def on(self, seed):
        (self.top / "seed").write_text(f"{seed}\n")

    def off(self):
        (self.top / "seed").unlink(missing_ok=True)

    def faults(self):
        log = self.top / "log"
        lines = log.read_text().splitlines() if log.exists() else []
        return sum(not line.endswith("none") for line in lines)

    def close(self):
        pass


# How often, and what happens to a connection.
FAULTS = [
    (14, "none"), (2, "late"), (2, "slow answer"), (2, "refused"),
    (2, "cut request"), (2, "lost answer"), (2, "cut answer"),
    (1, "short answer"), (1, "corrupt answer"), (2, "lie"),
    (2, "done twice"), (1, "done again later"), (1, "overtaken"),
]
LIES = [b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
        b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 3\r\n\r\n<p>",
        b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 4000000000\r\n\r\n{",
        b"SSH-2.0-OpenSSH\r\n"]


class Proxy:
    """Passes on what it gets, byte by byte as it is, until on(): then each
    connection has a fault of its own. Answers that are damaged get bytes that
    are neither text nor base64, so that it can be noticed; what is damaged
    unnoticeably, TLS keeps away."""

    def __init__(self, port):
        self.port = port
        self.lock = threading.Lock()
        self.rng = None
        self.count = 0
        self.again = []     # requests that will be sent a second time, late
        self.live = set()
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.url = f"http://127.0.0.1:{self.listener.getsockname()[1]}"
        threading.Thread(target=self.accept, daemon=True).start()

    def on(self, seed):
        with self.lock:
            self.rng = random.Random(seed)
        self.cut()      # new connections, with faults of their own

    def off(self):
        with self.lock:
            self.rng = None
        self.cut()

    def cut(self):
        with self.lock:
            live = list(self.live)
        for s in live:
            shut(s)

    def close(self):
        shut(self.listener)
        self.listener.close()
        self.off()

    def accept(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=(client,),
                             daemon=True).start()

    def choose(self):
        with self.lock:
            if not self.rng:
                return "none", random.Random(0)
            fault = self.rng.choices([f for _, f in FAULTS],
                                     [w for w, _ in FAULTS])[0]
            self.count += fault != "none"
            return fault, random.Random(self.rng.random())

    def connect(self):
        s = socket.create_connection(("127.0.0.1", self.port))
        with self.lock:
            self.live.add(s)
        return s

    def send_again(self, request):
        """A second time, by somebody who does not wait for the answer."""
        try:
            with self.connect() as s:
                s.sendall(request)
                s.settimeout(5)
                while s.recv(1 << 16):
                    pass
        except OSError:
            pass

    def serve(self, client):
        fault, rng = self.choose()
        with self.lock:
            self.live.add(client)
        try:
            self.with_fault(client, fault, rng)
        except OSError:
            pass
        finally:
            shut(client)
            client.close()
            with self.lock:
                self.live.discard(client)

    def with_fault(self, client, fault, rng):
        if fault == "refused":
            return
        if fault in ("late", "overtaken"):
            time.sleep(rng.uniform(0.02, 0.3 if fault == "late" else 1))
        if fault == "lie":
            client.recv(1 << 16)
            client.sendall(rng.choice(LIES))
            return
        Relay(self, client, fault, rng).run()


class Relay:
    """One connection, both ways."""

    def __init__(self, proxy, client, fault, rng):
        self.proxy, self.client = proxy, client
        self.fault, self.rng = fault, rng
        self.server = proxy.connect()
        self.request = b""
        # Bytes that pass before the fault; headers are a few hundred.
        self.left = rng.choice([0, rng.randrange(300), rng.randrange(4000),
                                rng.randrange(200000)])

    def run(self):
        there = threading.Thread(target=self.guard, args=(self.forth,),
                                 daemon=True)
        there.start()
        self.guard(self.back)
        there.join()
        self.server.close()
        with self.proxy.lock:
            self.proxy.live.discard(self.server)

    def guard(self, what):
        try:
            what()
        except OSError:
            pass
        shut(self.server)
        shut(self.client)

    def forth(self):
        while data := self.client.recv(1 << 16):
            if self.fault in ("done twice", "done again later"):
                self.request += data
            if self.fault == "cut request":
                if self.left < len(data):
                    self.server.sendall(data[:self.left])
                    return
                self.left -= len(data)
            self.server.sendall(data)
            if self.fault == "lost answer":
                # It arrives and is worked on; nobody hears of it.
                time.sleep(self.rng.uniform(0, 0.2))
                return

    def back(self):
        while data := self.server.recv(1 << 16):
            if self.fault == "lost answer":
                continue
            self.twice()
            if self.fault == "slow answer":
                time.sleep(self.rng.uniform(0.01, 0.1))
            if self.fault in ("cut answer", "short answer"):
                if self.left < len(data):
                    self.client.sendall(data[:self.left])
                    return
                self.left -= len(data)
            if self.fault == "corrupt answer":
                data = self.corrupt(data)
            self.client.sendall(data)

    def corrupt(self, data):
        if self.left >= len(data):
            self.left -= len(data)
            return data
        at, self.left = self.left, 1 << 62
        return data[:at] + b"\xff" * len(data[at:at + 3]) + data[at + 3:]

    def twice(self):
        request, self.request = self.request, b""
        if not request:
            return
        if self.fault == "done twice":
            self.proxy.send_again(request)
            return
        with self.proxy.lock:
            old, self.proxy.again = self.proxy.again, [request]
        for late in old:
            self.proxy.send_again(late)


def shut(s):
    try:
        s.shutdown(socket.SHUT_RDWR)
    except OSError:
        pass


class HttpLine:
    """KIND is "e2b" or "cloudflare"; gives the world its sandbox."""

    def __init__(self, w, kind):
        cls = {"e2b": clouds.E2b, "cloudflare": clouds.Bridge}[kind]
        self.service = cls(w.top / "service")
        self.proxy = Proxy(int(self.service.url.rsplit(":", 1)[1]))
        for name, value in self.service.env().items():
            w.env[name] = value.replace(self.service.url, self.proxy.url)
        if kind == "e2b":
            self.service.do("make")
            self.spec = f"e2b:box:{w.remote}"
        else:
            w.remote.rmdir()
            w.remote = self.service.workspace() / "p"
            os.makedirs(w.remote)
            self.spec = "cloudflare:box:/workspace/p"

    def on(self, seed):
        self.proxy.on(seed)

    def off(self):
        self.proxy.off()

    def faults(self):
        return self.proxy.count

    def close(self):
        self.proxy.close()
        self.service.stop()


def make(kind, w):
    return PipeLine(w) if kind == "pipe" else HttpLine(w, kind)
