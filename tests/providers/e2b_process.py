"""Processes of the E2B test server: real children, as envd starts them."""
import base64
import os
import queue
import signal
import subprocess
import threading
import time

from e2b_wire import RpcError, connect_status, Answer, envelope
import json
import struct

LATE_SECONDS = 30
LAUNCH = 'exec "${@}"'


class Process:
    def __init__(self, box, request, user):
        p = request.get("process") or {}
        self.config = p
        self.box = box
        cwd = p.get("cwd") or box.home
        if cwd.startswith("~"):
            cwd = box.home + cwd[1:]
        if not os.path.isdir(cwd):
            raise RpcError("invalid_argument", f"cwd '{cwd}' does not exist")
        env = {"PATH": os.environ.get("PATH", "/usr/bin:/bin"),
               "HOME": box.home, "USER": user, "LOGNAME": user,
               "E2B_SANDBOX": "true", "E2B_SANDBOX_ID": box.id,
               "E2B_TEMPLATE_ID": box.template or "", **box.envs,
               **(p.get("envs") or {})}
        self.tag = request.get("tag")
        self.with_stdin = request.get("stdin", True)
        self.pty = "pty" in request
        self.stdin_lock = threading.Lock()
        self.lock = threading.Lock()
        self.subscribers = []
        self.end = None
        self.ended_at = None
        self.child = subprocess.Popen(
            ["/bin/sh", "-c", LAUNCH, "--", p.get("cmd", ""),
             *p.get("args", [])],
            stdin=subprocess.PIPE if self.with_stdin else subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=cwd, env=env)
        self.pid = self.child.pid

    def start(self):
        name = "pty" if self.pty else "stdout"
        readers = [threading.Thread(target=self.read, args=(f, n), daemon=True)
                   for f, n in ((self.child.stdout, name),
                                (self.child.stderr, "stderr"))]
        for r in readers:
            r.start()
        threading.Thread(target=self.wait, args=(readers,),
                         daemon=True).start()

    def publish(self, event):
        with self.lock:
            subscribers = list(self.subscribers)
        for q in subscribers:
            q.put(event)     # blocks: a slow reader holds the program back

    def read(self, stream, name):
        while True:
            data = os.read(stream.fileno(), 32768)
            if not data:
                return
            self.publish({"data": {name: base64.b64encode(data).decode()}})

    def wait(self, readers):
        for r in readers:
            r.join()
        code = self.child.wait()
        if code >= 0:
            end = {"exited": True, "status": f"exit status {code}"}
            if code:
                end.update(exitCode=code, error=f"exit status {code}")
        else:
            text = {9: "killed", 15: "terminated", 2: "interrupt",
                    1: "hangup"}.get(-code, f"signal {-code}")
            end = {"exitCode": -1, "status": f"signal: {text}",
                   "error": f"signal: {text}"}
        with self.lock:
            self.end = {"end": end}
            self.ended_at = time.time()
        self.publish(self.end)

    def signal_group(self, number):
        # Its own pid, and the group and session that it may lead.
        for send in (os.kill, os.killpg):
            try:
                send(self.pid, number)
            except (ProcessLookupError, PermissionError):
                pass


def find(box, selector):
    s = selector.get("process") or {}
    if "pid" in s:
        p = box.processes.get(int(s["pid"]))
        if p and (not p.end or time.time() - p.ended_at < LATE_SECONDS):
            return p
        raise RpcError("not_found", f"process with pid {s['pid']} not found")
    for p in box.processes.values():
        if p.tag == s.get("tag"):
            return p
    raise RpcError("not_found", "process not found")


def timeout_of(h):
    text = h.headers.get("Connect-Timeout-Ms")
    if text is None:
        return None
    if not text.isdigit() or len(text) > 10:
        raise RpcError("invalid_argument", "bad timeout")
    return int(text) / 1000


def ping_of(h):
    try:
        n = int(h.headers.get("Keepalive-Ping-Interval", ""))
    except ValueError:
        return 90
    if n < 1:
        raise RpcError("internal", "non-positive interval for NewTicker")
    return n


def follow(h, p, events, kills):
    """Sends events until the end; kills: the time limit ends the process."""
    limit, ping = timeout_of(h), ping_of(h)
    until = time.monotonic() + limit if limit is not None else None
    fault = h.fault
    try:
        h.message({"event": {"start": {"pid": p.pid}}})
        while True:
            wait = ping
            if until is not None:
                wait = min(wait, max(until - time.monotonic(), 0))
            try:
                event = events.get(timeout=wait)
            except queue.Empty:
                if until is not None and time.monotonic() >= until:
                    if kills:
                        os.kill(p.pid, signal.SIGKILL)
                    raise RpcError("deadline_exceeded",
                                   "context deadline exceeded")
                if not (fault and fault.kind == "no-pings"):
                    h.message({"event": {"keepalive": {}}})
                continue
            h.message({"event": event})
            if "end" in event:
                return
    finally:
        with p.lock:
            if events in p.subscribers:
                p.subscribers.remove(events)
        # What still comes is dropped; a writer that waits goes on.
        threading.Thread(target=drain, args=(events,), daemon=True).start()


def drain(events):
    try:
        while True:
            events.get(timeout=1)
    except queue.Empty:
        pass


def subscribe(p):
    events = queue.Queue(64)
    with p.lock:
        p.subscribers.append(events)
        if p.end:
            events.put(p.end)
    return events


def start(h, box, request):
    timeout_of(h), ping_of(h)
    p = Process(box, request, h.user)
    box.processes[p.pid] = p
    events = subscribe(p)
    p.start()
    follow(h, p, events, kills=True)


def connect(h, box, request):
    p = find(box, request)
    follow(h, p, subscribe(p), kills=False)


def list_all(h, box, request):
    found = [{"config": p.config, "pid": p.pid,
              **({"tag": p.tag} if p.tag else {})}
             for p in box.processes.values() if not p.end]
    return {"processes": found} if found else {}


def feed(p, request):
    part = request.get("input") or {}
    data = base64.b64decode(part.get("stdin") or part.get("pty") or "")
    with p.stdin_lock:
        if not p.with_stdin or not p.child.stdin or p.child.stdin.closed:
            raise RpcError("internal", "error writing to stdin: stdin not "
                           "enabled or closed")
        try:
            p.child.stdin.write(data)
            p.child.stdin.flush()
        except OSError as e:
            raise RpcError("internal", f"error writing to stdin: {e}")


def send_input(h, box, request):
    feed(find(box, request), request)
    return {}


def close_stdin(h, box, request):
    p = find(box, request)
    with p.stdin_lock:
        if p.child.stdin and not p.child.stdin.closed:
            try:
                p.child.stdin.close()
            except OSError:
                pass
    return {}


SIGNALS = {"SIGNAL_SIGKILL": signal.SIGKILL, "SIGNAL_SIGTERM": signal.SIGTERM,
           9: signal.SIGKILL, 15: signal.SIGTERM}


def send_signal(h, box, request):
    p = find(box, request)
    number = SIGNALS.get(request.get("signal"))
    if number is None:
        raise RpcError("unimplemented", "invalid signal")
    try:
        os.kill(p.pid, number)
    except ProcessLookupError:
        pass
    return {}


def update(h, box, request):
    find(box, request)
    return {}


def stream_input(h, box):
    """Frames in, one empty message out."""
    data = b""
    p = None
    end = {}
    h.begin_chunks(200, {"Content-Type": "application/connect+json"})
    try:
        for chunk in h.chunks():
            data += chunk
            while len(data) >= 5:
                size = struct.unpack(">I", data[1:5])[0]
                if len(data) < 5 + size:
                    break
                value = json.loads(data[5:5 + size])
                data = data[5 + size:]
                if "start" in value:
                    p = find(box, value["start"])
                elif "data" in value:
                    feed(p, value["data"])
        h.put_chunk(envelope(0, {}))
    except RpcError as e:
        end = {"error": {"code": e.code, "message": e.message}}
    h.end_stream(end)


UNARY = {"process.Process/List": list_all,
         "process.Process/SendInput": send_input,
         "process.Process/CloseStdin": close_stdin,
         "process.Process/SendSignal": send_signal,
         "process.Process/Update": update}
STREAMS = {"process.Process/Start": start,
           "process.Process/Connect": connect,
           "process.Process/StreamInput": stream_input}
