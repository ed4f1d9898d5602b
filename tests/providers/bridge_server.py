#!/usr/bin/env python3
"""The HTTP bridge of Cloudflare's sandboxes, for tests, with its traps: command
output decoded as UTF-8, no standard input, files over the limit refused, reads
that answer 200 with nothing for what is missing, and containers that come back
empty under the same id.

    bridge_server.py --dir DIR [--key KEY]

prints "ready PORT" and serves until its standard input ends. A sandbox is a
directory DIR/ID with workspace/ and tmp/; "/workspace" and "/tmp/.sandmount" in
the words of a command are those. Faults and inspection as in e2b_server.py.
"""
import argparse
import base64
import codecs
import http.server
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import urllib.parse
import uuid

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import e2b_server  # noqa: E402
from e2b_wire import Answer, Cut, Fault  # noqa: E402

PUT_LIMIT = 12_000_000


class Bridge(http.server.ThreadingHTTPServer):
    handler = None      # below
    daemon_threads = True
    request_queue_size = 128
    handle_error = e2b_server.Server.handle_error
    take_fault = e2b_server.Server.take_fault
    cut = e2b_server.Server.cut

    def __init__(self, args):
        self.top = os.path.abspath(args.dir)
        self.key = args.key
        self.lock = threading.RLock()
        self.faults = []
        self.log = []
        self.connections = set()
        super().__init__(("127.0.0.1", 0), self.handler)

    def box(self, sid):
        """Any id has a container as soon as it is asked for."""
        top = os.path.join(self.top, sid)
        for d in ("workspace", "tmp"):
            os.makedirs(os.path.join(top, d), exist_ok=True)
        return top


def error(status, code, text):
    return Answer(status, {"error": text, "code": code})


class Handler(e2b_server.Handler):
    def serve(self):
        url = urllib.parse.urlsplit(self.path)
        self.route = url.path
        if self.route.startswith("/_test/"):
            return self.send(self.test_call())
        line = f"{self.command} {self.route}"
        with self.server.lock:
            self.server.log.append({"method": self.command,
                                    "path": self.path})
        self.fault = self.server.take_fault(line)
        if self.fault and self.fault.before(self):
            return None
        if self.route == "/health":
            return self.send(Answer(200, {"ok": True}))
        if self.headers.get("Authorization") != f"Bearer {self.server.key}":
            self.drop_body()
            return self.send(error(401, "unauthorized", "Unauthorized"))
        m = re.fullmatch(r"/v1/sandbox(?:/([^/]+)(?:/([a-z]+)(/.*)?)?)?",
                         self.route)
        if not m:
            self.drop_body()
            return self.send(Answer(404, text="404 Not Found"))
        if m[1] is None:
            self.drop_body()
            sid = uuid.uuid4().hex.translate(str.maketrans("0189", "abcd"))
            return self.send(Answer(200, {"id": sid[:26]}))
        if not re.fullmatch(r"[a-z2-7]{1,128}", m[1]):
            self.drop_body()
            return self.send(error(400, "invalid_request", "Invalid id"))
        self.top = self.server.box(m[1])
        call = (self.command, m[2])
        if call == ("GET", "running"):
            return self.send(Answer(200, {"running": True}))
        if call == ("POST", "exec"):
            return self.exec()
        if call == ("PUT", "file"):
            return self.send(self.put_file(m[3]))
        if call == ("GET", "file"):
            return self.send(self.get_file(m[3]))
        if call == ("DELETE", None):
            shutil.rmtree(self.top)
            return self.send(Answer(204))
        self.drop_body()
        return self.send(Answer(404, text="404 Not Found"))

    do_GET = do_POST = do_DELETE = do_PUT = serve

    def test_sandbox(self, body):
        top = os.path.join(self.server.top, body["id"])
        if body["do"] == "replace":
            shutil.rmtree(top)
            self.server.box(body["id"])
        return Answer(200, {})

    # --- files -------------------------------------------------------------

    def real(self, path):
        """decodeURI, which leaves some escapes as they are."""
        keep = "".join("%23 %3F %26 %2B %2C %3A %3B %3D %40 %24 %2F %25"
                       .split()).upper()
        parts = re.split(r"(%[0-9A-Fa-f]{2})", path)
        text = "".join(p if p.upper() in keep and p.startswith("%")
                       else urllib.parse.unquote(p) for p in parts)
        if not text.startswith("/workspace/") or "/../" in text:
            return None
        return self.top + text

    def put_file(self, path):
        data = self.body()
        real = self.real(path)
        if not real:
            return error(403, "invalid_request", "outside /workspace")
        if len(data) > PUT_LIMIT:
            return error(502, "workspace_archive_write_error",
                         "OperationInterruptedError")
        os.makedirs(os.path.dirname(real), exist_ok=True)
        with open(real, "wb") as f:
            f.write(data)
        return Answer(200, {"ok": True})

    def get_file(self, path):
        real = self.real(path)
        data = b""
        if real and os.path.isfile(real):
            with open(real, "rb") as f:
                data = f.read()
            if b"\0" not in data:
                data = data.decode("utf-8", "replace").encode()
        a = Answer(200, None, {"Content-Type": "application/octet-stream"})
        a.data = data
        return a

    # --- commands -------------------------------------------------------------

    def inside(self, word):
        """WORD with the sandbox's places as they are here."""
        return re.sub(r"(?<![\w/])/(workspace|tmp/\.sandmount)",
                      self.top.replace("\\", "\\\\") + r"/\1", word)

    def exec(self):
        body = self.json_body()
        argv = body.get("argv")
        if not argv:
            return self.send(error(400, "invalid_request", "argv"))
        self.begin_chunks(200, {"Content-Type": "text/event-stream"})
        code, _ = self.run_child(
            [self.inside(w) for w in argv], subprocess.DEVNULL,
            lambda name, text: self.event(name, base64.b64encode(
                text.encode()).decode()))
        f = self.fault
        if f and f.kind == "no-end-frame":
            return self.end_chunks()
        if f and f.kind == "end-error":
            self.event("error", json.dumps({"error": "lost", "code":
                                            "exec_transport_error"}))
        else:
            self.event("exit", json.dumps({"exit_code": code}))
        return self.end_chunks()

    def run_child(self, argv, stdin, tell, seconds=None):
        """Its exit code and what it printed; None when it ran out of time.
        TELL gets each text as it comes."""
        child = subprocess.Popen(
            argv, stdin=stdin, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, start_new_session=True,
            cwd=self.top + "/workspace",
            env=dict(os.environ, TMPDIR=self.top + "/tmp"))
        lock = threading.Lock()
        broken = []
        said = {"stdout": [], "stderr": []}

        def pump(stream, name):
            decoder = codecs.getincrementaldecoder("utf-8")("replace")
            while True:
                data = os.read(stream.fileno(), 32768)
                text = decoder.decode(data, final=not data)
                with lock:
                    said[name].append(text)
                    try:
                        if text and not broken:
                            tell(name, text)
                    except (Cut, OSError) as e:
                        broken.append(e)
                if not data:
                    return

        pumps = [threading.Thread(target=pump, args=a, daemon=True)
                 for a in ((child.stdout, "stdout"), (child.stderr,
                                                      "stderr"))]
        for p in pumps:
            p.start()
        late = False
        try:
            code = child.wait(seconds)
        except subprocess.TimeoutExpired:
            late = True
            os.killpg(child.pid, signal.SIGKILL)
            code = child.wait()
        for p in pumps:
            p.join()
        child.stdout.close()
        child.stderr.close()
        if broken:
            raise Cut()
        return None if late else code, {n: "".join(t)
                                        for n, t in said.items()}

    def event(self, name, data):
        text = f"event: {name}\ndata: {data}\n\n".encode()
        if self.fault and self.fault.kind == "split":
            for i in range(0, len(text), 7):
                self.put_chunk(text[i:i + 7])
            return
        self.put_chunk(text)


Bridge.handler = Handler


def options():
    p = argparse.ArgumentParser()
    p.add_argument("--dir", required=True)
    p.add_argument("--key", default="bridge-key")
    return p


def main(server):
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print("ready", server.server_address[1], flush=True)
    while os.read(0, 1024):
        pass


if __name__ == "__main__":
    main(Bridge(options().parse_args()))
