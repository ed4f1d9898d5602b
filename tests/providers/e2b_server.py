#!/usr/bin/env python3
"""An E2B service for tests: the control plane and, for each sandbox, envd.

Both are on one port: a request that carries E2b-Sandbox-Id (or whose host name
says 49983-ID) goes to that sandbox's envd, any other to the control plane. A
sandbox is a directory; its processes are real children of this server, led
through `sh` as the real daemon does. Only Python's standard library is used.

    e2b_server.py --dir DIR [--port N] [--key KEY] [--envd-version 0.6.13]
                  [--routes v1|v2|both]

prints "ready PORT" and serves until its standard input ends. Sandbox paths are
real paths of this machine: the home of every user is DIR/ID/home.

Faults and inspection, on /_test/ (no key):
    POST /_test/fault   {"match": "POST /process.Process/Start", "times": 1,
                         "skip": 0, "kind": K, ...}  see class Fault
    POST /_test/sandbox {"id": ID, "do": "pause"|"kill"|"resume"|"forget-token"}
    GET  /_test/log     the requests so far, as a list of {method, path, ...}
    POST /_test/reset   no faults, an empty log
    POST /_test/cut     every connection breaks
"""
import argparse
import base64
import gzip
import hashlib
import hmac
import http.server
import json
import os
import re
import select
import shutil
import signal
import socket
import stat
import struct
import subprocess
import sys
import threading
import time
import urllib.parse
import uuid
from datetime import datetime, timezone

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import e2b_files  # noqa: E402
import e2b_process  # noqa: E402
from e2b_wire import (Answer, Cut, Fault, RpcError, connect_status,  # noqa: E402
                      envelope, iso)


class Sandbox:
    def __init__(self, server, sid, body):
        self.server = server
        self.id = sid
        self.lock = threading.RLock()
        self.top = os.path.join(server.top, sid)
        self.home = os.path.join(self.top, "home")
        os.makedirs(self.home, exist_ok=True)
        self.template = body.get("templateID")
        self.metadata = body.get("metadata") or {}
        self.envs = body.get("envVars") or {}
        self.auto_pause = bool(body.get("autoPause"))
        self.network = body.get("network")
        self.internet = body.get("allow_internet_access")
        self.state = "running"
        self.started = time.time()
        self.end = self.started
        self.secure = True
        self.token = hashlib.sha256(
            (server.seed + sid).encode()).hexdigest()
        self.processes = {}
        self.streams = set()
        self.watchers = {}

    def created(self):
        return {"templateID": self.template, "sandboxID": self.id,
                "alias": self.template, "clientID": "6532622b",
                "envdVersion": self.server.envd_version,
                "envdAccessToken": self.token if self.secure else None,
                "trafficAccessToken": None, "domain": None}

    def listed(self):
        return {"templateID": self.template, "sandboxID": self.id,
                "clientID": "6532622b", "startedAt": iso(self.started),
                "endAt": iso(self.end), "state": self.state, "cpuCount": 2,
                "memoryMB": 512, "diskSizeMB": 1024,
                "envdVersion": self.server.envd_version,
                "metadata": self.metadata}

    def detail(self):
        return {**self.listed(),
                "envdAccessToken": self.token if self.secure else None,
                "domain": None, "allowInternetAccess": self.internet,
                "network": self.network or {},
                "lifecycle": {"onTimeout":
                              "pause" if self.auto_pause else "kill",
                              "autoResume": False},
                "volumeMounts": []}

    def cut_streams(self):
        for sock in list(self.streams):
            try:
                sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def signal_all(self, number):
        for p in list(self.processes.values()):
            p.signal_group(number)

    def pause(self):
        self.state = "paused"
        self.end = time.time()
        self.signal_all(signal.SIGSTOP)
        self.cut_streams()

    def resume(self):
        self.state = "running"
        self.started = time.time()
        self.signal_all(signal.SIGCONT)

    def kill(self):
        self.state = "killed"
        self.signal_all(signal.SIGKILL)
        self.signal_all(signal.SIGCONT)
        self.cut_streams()

    def expire(self):
        """What the clock does at the end of a life."""
        with self.lock:
            if self.state == "running" and time.time() >= self.end:
                if self.auto_pause:
                    self.pause()
                else:
                    self.kill()


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, args):
        self.top = os.path.abspath(args.dir)
        self.key = args.key
        self.envd_version = args.envd_version
        self.routes = args.routes
        self.max_life = args.max_life
        self.seed = uuid.uuid4().hex
        self.sandboxes = {}
        self.lock = threading.RLock()
        self.faults = []
        self.log = []
        self.connections = set()
        super().__init__(("127.0.0.1", args.port), Handler)

    def cut(self, but):
        """Every connection breaks, except the one that asks for it."""
        for c in list(self.connections):
            if c is not but:
                try:
                    c.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass

    def handle_error(self, request, client_address):
        if not isinstance(sys.exc_info()[1], (Cut, OSError)):
            super().handle_error(request, client_address)

    def live(self, sid):
        box = self.sandboxes.get(sid)
        if box:
            box.expire()
        if not box or box.state == "killed":
            return None
        return box

    def version(self):
        return tuple(int(n) for n in self.envd_version.split("."))

    def take_fault(self, line):
        with self.lock:
            for f in self.faults:
                if f.applies(line):
                    return f
        return None


def missing(sid):
    return Answer(404, {"code": 404, "message":
                        f'Sandbox "{sid}" doesn\'t exist or you don\'t have '
                        "access to it"})


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_version = "e2b-test"

    def log_message(self, *args):
        pass

    def setup(self):
        super().setup()
        self.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.server.connections.add(self.connection)

    def finish(self):
        self.server.connections.discard(self.connection)
        super().finish()

    # --- bodies ---------------------------------------------------------

    def chunks(self):
        """The request's body as it comes, whatever its framing."""
        if "chunked" in self.headers.get("Transfer-Encoding", "").lower():
            while True:
                size = int(self.rfile.readline().split(b";")[0], 16)
                if size == 0:
                    while self.rfile.readline() not in (b"\r\n", b"\n", b""):
                        pass
                    break
                left = size
                while left:
                    data = self.rfile.read(min(left, 1 << 16))
                    if not data:
                        raise Cut()
                    left -= len(data)
                    yield data
                self.rfile.readline()
        else:
            left = int(self.headers.get("Content-Length") or 0)
            while left:
                data = self.rfile.read(min(left, 1 << 16))
                if not data:
                    raise Cut()
                left -= len(data)
                yield data
        self.body_read = True

    def body(self):
        data = b"".join(self.chunks())
        if self.headers.get("Content-Encoding") == "gzip":
            data = gzip.decompress(data)
        return data

    def json_body(self):
        data = self.body()
        if not data:
            return {}
        value = json.loads(data)
        if not isinstance(value, dict):
            raise ValueError("not an object")
        return value

    # --- answers ---------------------------------------------------------

    def send(self, a):
        data = a.data
        self.send_response(a.status)
        for name, value in a.headers.items():
            self.send_header(name, value)
        if a.status not in (204, 304):
            self.send_header("Content-Length", str(len(data)))
        if not self.body_read:
            self.send_header("Connection", "close")
            self.close_connection = True
        self.end_headers()
        if self.command != "HEAD" and a.status not in (204, 304):
            self.put(data)

    def begin_chunks(self, status, headers):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()

    def put_chunk(self, data):
        if data:
            self.put(b"%x\r\n%s\r\n" % (len(data), data))

    def end_chunks(self):
        self.put(b"0\r\n\r\n")

    def put(self, data):
        """All bytes of bodies go through here, where faults cut them."""
        f = self.fault
        if f and f.kind == "cut" and f.left is not None:
            data, f.left = data[:f.left], f.left - len(data)
            if f.left <= 0:
                self.wfile.write(data)
                raise Cut()
        if f and f.kind == "drip":
            for i in range(len(data)):
                self.wfile.write(data[i:i + 1])
                time.sleep(f.seconds)
            return
        self.wfile.write(data)

    # --- one request -------------------------------------------------------

    def handle_one_request(self):
        self.fault = None
        self.body_read = False
        try:
            super().handle_one_request()
        except Cut:
            self.close_connection = True
            try:
                self.connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True

    def serve(self):
        url = urllib.parse.urlsplit(self.path)
        self.route = url.path
        self.query = dict(urllib.parse.parse_qsl(
            url.query, keep_blank_values=True))
        if self.route.startswith("/_test/"):
            return self.send(self.test_call())
        line = f"{self.command} {self.route}"
        with self.server.lock:
            self.server.log.append({
                "method": self.command, "path": self.path,
                "key": "X-API-Key" in self.headers,
                "token": "X-Access-Token" in self.headers})
        fault = self.server.take_fault(line)
        if fault:
            if fault.before(self):
                return None
            self.fault = fault
        sid = self.sandbox_id()
        if sid is not None:
            return self.envd(sid)
        answer = self.control()
        if fault and fault.kind == "lost":
            self.fault = None
            raise Cut()
        return self.send(answer)

    do_GET = do_POST = do_DELETE = do_PUT = do_HEAD = serve

    def sandbox_id(self):
        host = self.headers.get("Host", "")
        m = re.match(r"(\d+)-([a-z0-9]+)[.-]", host)
        if m:
            return m[2]
        sid = self.headers.get("E2b-Sandbox-Id")
        return sid

    # --- test calls --------------------------------------------------------

    def test_call(self):
        s = self.server
        what = self.route[len("/_test/"):]
        body = self.json_body() if self.command == "POST" else {}
        self.body_read = True
        with s.lock:
            if what == "fault":
                s.faults.append(Fault(**body))
            elif what == "reset":
                s.faults.clear()
                s.log.clear()
            elif what == "cut":
                s.cut(self.connection)
            elif what == "log":
                return Answer(200, list(s.log))
            elif what == "faults":
                return Answer(200, [f.times for f in s.faults])
            elif what == "sandboxes":
                return Answer(200, [b.detail() for b in s.sandboxes.values()])
            elif what == "sandbox":
                return self.test_sandbox(body)
            else:
                return Answer(404, {})
        return Answer(200, {})

    def test_sandbox(self, body):
        s = self.server
        box = s.sandboxes.get(body["id"])
        do = body["do"]
        if do == "make":
            box = Sandbox(s, body["id"], {"templateID": "base", **body})
            box.end = time.time() + body.get("life", 3600)
            s.sandboxes[box.id] = box
        elif do == "expire":
            box.end = time.time()
            box.expire()
        elif do == "new-token":
            box.token = uuid.uuid4().hex * 2
        elif do == "wipe":
            shutil.rmtree(body["path"])
        else:
            getattr(box, do)()
        return Answer(200, box.detail())

    # --- control plane -------------------------------------------------------

    def control(self):
        s = self.server
        if self.route == "/health":
            return Answer(200, {})
        key = self.headers.get("X-API-Key")
        if s.key and not hmac.compare_digest(key or "", s.key):
            self.drop_body()
            return Answer(401, {"code": 401, "message":
                                "Invalid API key, please visit\nthe docs"})
        try:
            body = self.json_body() if self.command == "POST" else {}
        except ValueError as e:
            return Answer(400, {"code": 400,
                                "message": f"validation error: {e}"})
        self.body_read = True
        route = self.route
        v2 = route.startswith("/v2/")
        if v2:
            route = route[3:]
        no_route = Answer(404, {"code": 404, "message": "validation error: no "
                                "matching operation was found"})
        if route == "/sandboxes":
            if self.command == "GET":
                return self.list_sandboxes(v2)
            if self.command == "POST":
                if s.routes not in ("both", "v2" if v2 else "v1"):
                    return no_route if not v2 else Answer(
                        400, {"code": 400, "message": "method not allowed"})
                return self.create(body, v2)
        m = re.fullmatch(r"/sandboxes/([^/]+)(/[a-z]+)?", route)
        if not m:
            return no_route
        sid = m[1].split("-")[0]
        if not re.fullmatch(r"[a-z0-9]+", sid) or m[1].count("-") > 1:
            return Answer(400, {"code": 400, "message": "Invalid sandbox ID"})
        call = (self.command, m[2] or "")
        if call == ("POST", "/connect"):
            if s.routes not in ("both", "v2" if v2 else "v1"):
                return no_route
            return self.connect(sid, body, v2)
        if v2:
            return no_route
        handlers = {
            ("GET", ""): self.get, ("DELETE", ""): self.delete,
            ("POST", "/timeout"): self.set_timeout,
            ("POST", "/refreshes"): self.refreshes,
            ("POST", "/pause"): self.pause,
            ("POST", "/resume"): self.resume,
        }
        handler = handlers.get(call)
        if not handler:
            return no_route
        with s.lock:
            return handler(sid, body)

    def drop_body(self):
        for _ in self.chunks():
            pass

    def check_timeout(self, n, least=1):
        if not isinstance(n, int) or n < 0:
            return Answer(400, {"code": 400, "message":
                                "validation error: timeout"})
        if n < least:
            return Answer(400, {"code": 400, "message":
                                "Timeout must be greater than 0"})
        if n > self.server.max_life:
            return Answer(400, {"code": 400, "message":
                                "Timeout cannot be greater than "
                                f"{self.server.max_life // 3600} hours"})
        return None

    def create(self, body, v2):
        s = self.server
        if not isinstance(body.get("templateID"), str):
            return Answer(400, {"code": 400, "message":
                                "validation error: templateID"})
        if body["templateID"] == "missing":
            return Answer(404, {"code": 404, "message":
                                "template 'missing' not found"})
        life = body.get("timeout", 300 if v2 else 15)
        bad = self.check_timeout(life)
        if bad:
            return bad
        with s.lock:
            sid = "i" + uuid.uuid4().hex[:20]
            box = Sandbox(s, sid, body)
            box.secure = v2 or bool(body.get("secure"))
            box.end = time.time() + life
            s.sandboxes[sid] = box
        return Answer(201, box.created())

    def connect(self, sid, body, v2):
        s = self.server
        if "timeout" not in body and not v2:
            return Answer(400, {"code": 400, "message":
                                "validation error: timeout"})
        life = body.get("timeout", 300)
        bad = self.check_timeout(life)
        if bad:
            return bad
        with s.lock:
            box = s.live(sid)
            if not box:
                return missing(sid)
            resumed = box.state == "paused"
            if resumed:
                box.resume()
                box.end = 0
            box.end = max(box.end, time.time() + life)
        return Answer(201 if resumed else 200, box.created())

    def get(self, sid, body):
        box = self.server.live(sid)
        return Answer(200, box.detail()) if box else missing(sid)

    def delete(self, sid, body):
        box = self.server.live(sid)
        if not box:
            return missing(sid)
        box.kill()
        return Answer(204)

    def set_timeout(self, sid, body):
        box = self.server.live(sid)
        if not box or box.state != "running":
            return missing(sid)
        n = body.get("timeout")
        if not isinstance(n, int) or n < 0:
            return self.check_timeout(n)
        box.end = min(time.time() + n, box.started + self.server.max_life)
        box.expire()
        return Answer(204)

    def refreshes(self, sid, body):
        box = self.server.live(sid)
        if not box or box.state != "running":
            return missing(sid)
        box.end = max(box.end, time.time() + body.get("duration", 15))
        return Answer(204)

    def pause(self, sid, body):
        box = self.server.live(sid)
        if not box:
            return missing(sid)
        if box.state == "paused":
            return Answer(409, {"code": 409, "message":
                                "Sandbox is already paused"})
        box.pause()
        return Answer(204)

    def resume(self, sid, body):
        box = self.server.live(sid)
        if not box:
            return missing(sid)
        if box.state == "running":
            return Answer(409, {"code": 409, "message":
                                "Sandbox is already running"})
        box.resume()
        box.end = time.time() + body.get("timeout", 15)
        return Answer(201, box.created())

    def list_sandboxes(self, v2):
        s = self.server
        want = dict(urllib.parse.parse_qsl(self.query.get("metadata", "")))
        want = {urllib.parse.unquote(k): urllib.parse.unquote(v)
                for k, v in want.items()}
        states = self.query.get(
            "state", "running,paused" if v2 else "running").split(",")
        limit = int(self.query.get("limit", 100))
        start = int(self.query.get("nextToken", 0) or 0)
        with s.lock:
            boxes = [b for b in s.sandboxes.values() if s.live(b.id)
                     and b.state in states
                     and all(b.metadata.get(k) == v for k, v in want.items())]
        boxes.sort(key=lambda b: (-b.started, b.id))
        page = boxes[start:start + limit]
        headers = {"X-Total-Running": str(sum(
            b.state == "running" for b in boxes))}
        if start + limit < len(boxes):
            headers["X-Next-Token"] = str(start + limit)
        return Answer(200, [b.listed() for b in page], headers)

    # --- envd ------------------------------------------------------------------

    def envd(self, sid):
        s = self.server
        sid = sid.split("-")[0]
        with s.lock:
            box = s.live(sid)
            running = box and box.state == "running"
        if not running:
            if self.headers.get("Content-Length") or \
                    "chunked" in self.headers.get("Transfer-Encoding", ""):
                self.close_connection = True
            return self.send(Answer(502, {
                "sandboxId": sid, "message": "The sandbox was not found",
                "code": 502}))
        self.box = box
        box.streams.add(self.connection)
        try:
            return self.envd_call(box)
        finally:
            box.streams.discard(self.connection)

    def envd_call(self, box):
        if self.route == "/health":
            return self.send(Answer(204))
        signed = self.route == "/files" and self.command in ("GET", "POST")
        token = self.headers.get("X-Access-Token")
        if box.secure and token != box.token:
            if not (signed and token is None):
                return self.unauthorized("unauthorized access, please provide "
                                         "a valid access token or method "
                                         "signing if supported")
            why = e2b_files.check_signature(self, box)
            if why:
                return self.unauthorized(why)
        if self.route == "/files" and self.command == "GET":
            return e2b_files.download(self, box)
        if self.route == "/files" and self.command == "POST":
            return self.send(e2b_files.upload(self, box))
        if self.route == "/files":
            self.drop_body()
            return self.send(Answer(405, None))
        if self.route == "/files/compose" and self.command == "POST":
            return self.send(e2b_files.compose(self, box))
        if self.route == "/envs":
            return self.send(Answer(200, box.envs))
        if self.route == "/metrics":
            return self.send(Answer(200, {"cpu_count": 2, "cpu_used_pct": 1.5,
                                          "mem_total": 1 << 29, "mem_used":
                                          1 << 27, "ts": int(time.time())}))
        return self.rpc(box)

    def unauthorized(self, message):
        self.close_connection = True
        return self.send(Answer(401, {"code": 401, "message": message}))

    def rpc(self, box):
        name = self.route.lstrip("/")
        unary = {**e2b_files.UNARY, **e2b_process.UNARY}
        streams = {**e2b_files.STREAMS, **e2b_process.STREAMS}
        if name not in unary and name not in streams:
            self.drop_body()
            return self.send(Answer(404, text="404 page not found\n"))
        if self.command != "POST":
            self.drop_body()
            return self.send(Answer(405, None))
        kind = self.headers.get("Content-Type", "").split(";")[0].strip()
        want = "application/json" if name in unary else \
            "application/connect+json"
        if kind != want:
            self.drop_body()
            return self.send(Answer(415, None, {"Accept-Post": want}))
        self.user = self.basic_user()
        if name in unary:
            return self.send(self.unary(unary[name], box))
        return self.stream(name, streams[name], box)

    def basic_user(self):
        auth = self.headers.get("Authorization", "")
        if not auth.startswith("Basic "):
            return "user"
        return base64.b64decode(auth[6:]).decode().split(":")[0] or "user"

    def unary(self, method, box):
        try:
            data = self.body()
            if not data:
                raise RpcError("invalid_argument", "empty body")
            if self.user not in ("user", "root"):
                raise RpcError("unauthenticated",
                               f"invalid username: '{self.user}'")
            value = method(self, box, json.loads(data))
            if self.fault and self.fault.kind == "lost-input":
                raise Cut()
            return Answer(200, value)
        except ValueError as e:
            why = RpcError("invalid_argument", str(e))
        except RpcError as e:
            why = e
        return Answer(connect_status(why.code),
                      {"code": why.code, "message": why.message})

    def stream(self, name, method, box):
        """A server stream: one message in, messages out, then the end."""
        if name == "process.Process/StreamInput":
            return e2b_process.stream_input(self, box)
        data = self.body()
        self.begin_chunks(200, {"Content-Type": "application/connect+json",
                                "Connect-Accept-Encoding": "gzip"})
        end = {}
        try:
            if len(data) < 5 or len(data) != 5 + struct.unpack(
                    ">I", data[1:5])[0] or data[0]:
                raise RpcError("invalid_argument", "protocol error: "
                               "incomplete envelope")
            if self.user not in ("user", "root"):
                raise RpcError("unauthenticated",
                               f"invalid username: '{self.user}'")
            method(self, box, json.loads(data[5:]))
        except ValueError as e:
            end = {"error": {"code": "invalid_argument", "message": str(e)}}
        except RpcError as e:
            end = {"error": {"code": e.code, "message": e.message}}
        self.end_stream(end)

    def message(self, value):
        f = self.fault
        data = envelope(0, value)
        if f and f.kind == "cut-before-end" and "end" in value.get(
                "event", {}):
            raise Cut()
        if f and f.kind == "duplicate":
            data += data if "data" in value.get("event", {}) else b""
        if f and f.kind == "split":
            for i in range(0, len(data), 3):
                self.put_chunk(data[i:i + 3])
            return
        if f and f.kind == "half-frame":
            self.put_chunk(data[:len(data) // 2])
            raise Cut()
        if f and f.kind == "garbage":
            self.put_chunk(b"\xff" + data)
            raise Cut()
        self.put_chunk(data)

    def end_stream(self, end):
        f = self.fault
        if f and f.kind == "no-end-frame":
            return self.end_chunks()
        if f and f.kind == "end-error":
            end = {"error": {"code": f.code, "message": "as asked"}}
        self.put_chunk(envelope(2, end))
        self.end_chunks()


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--dir", required=True)
    p.add_argument("--port", type=int, default=0)
    p.add_argument("--key", default="e2b_" + "0" * 40)
    p.add_argument("--envd-version", default="0.6.13")
    p.add_argument("--routes", choices=["v1", "v2", "both"], default="both")
    p.add_argument("--max-life", type=int, default=24 * 3600)
    server = Server(p.parse_args())
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print("ready", server.server_address[1], flush=True)
    # The test that started us ends us by closing this, also when it crashes.
    while select.select([0], [], [])[0] and os.read(0, 1024):
        pass
    for box in list(server.sandboxes.values()):
        box.kill()


if __name__ == "__main__":
    main()
