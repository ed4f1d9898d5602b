#!/usr/bin/env python3
"""The older bridge of Cloudflare's sandboxes, which has leases and commands
only, for tests; in its three generations.

    lease_server.py --dir DIR [--key KEY] [--generation 1|2|3] [--api PATH]

As bridge_server.py. What it does as the real one: a command is one word of a
login shell whose profile prints something; standard input is text in a file;
commands of a session wait for each other, and one that ran out of time blocks
its session; the last event repeats all output; a lease is a file in the
directory that it was asked for with; "expire" of a sandbox empties it and
"replace" makes the lease anew as well.
"""
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import threading
import urllib.parse
import uuid

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import bridge_server  # noqa: E402
from e2b_wire import Answer  # noqa: E402

SENTINEL = ".paperclip-lease.json"


class Leases(bridge_server.Bridge):
    def __init__(self, args):
        self.api = args.api
        self.generation = args.generation
        self.acquired = {}      # acquisition -> (fields, answer)
        self.sessions = {}      # (lease, session) -> lock
        super().__init__(args)

    def session(self, key):
        with self.lock:
            return self.sessions.setdefault(key, threading.Lock())


def error(status, code, text, **details):
    return Answer(status, {"error": code, "message": text,
                           "details": details})


class Handler(bridge_server.Handler):
    def serve(self):
        route = urllib.parse.urlsplit(self.path).path.rstrip("/")
        if route.startswith("/_test/"):
            self.route = route
            return self.send(self.test_call())
        server = self.server
        with server.lock:
            server.log.append({"method": self.command, "path": self.path})
        self.fault = server.take_fault(f"{self.command} {route}")
        if self.fault and self.fault.before(self):
            return None
        if self.headers.get("Authorization") != f"Bearer {server.key}":
            self.drop_body()
            return self.send(error(401, "unauthorized",
                                   "Missing or invalid bridge bearer token."))
        if not route.startswith(server.api + "/"):
            self.drop_body()
            return self.send(error(404, "not_found", "No bridge route"))
        call = (self.command, route[len(server.api):])
        body = self.json_body() if self.command == "POST" else {}
        with server.lock:
            server.log[-1]["body"] = {k: v for k, v in body.items()
                                      if k not in ("args", "stdin")}
        if call == ("GET", "/health"):
            return self.send(Answer(200, {
                "ok": True, "provider": "cloudflare",
                "bridgeVersion": "0.1.0", "capabilities": {}}))
        if call == ("POST", "/leases/acquire"):
            return self.send(self.acquire(body))
        if call == ("POST", "/leases/resume"):
            return self.send(self.resume(body))
        if call == ("POST", "/leases/release"):
            shutil.rmtree(os.path.join(server.top, body["providerLeaseId"]))
            return self.send(Answer(200, {"ok": True}))
        if call == ("POST", "/exec"):
            return self.exec(body)
        return self.send(error(404, "not_found", "No bridge route"))

    do_GET = do_POST = do_DELETE = do_PUT = serve

    def test_sandbox(self, body):
        top = os.path.join(self.server.top, body["id"])
        if body["do"] in ("replace", "expire", "make"):
            shutil.rmtree(top, ignore_errors=True)
            self.top = self.server.box(body["id"])
        if body["do"] in ("replace", "make"):
            self.keep("/tmp/.sandmount-lease")
        return Answer(200, {})

    # --- leases -----------------------------------------------------------

    def keep(self, cwd):
        cwd = self.inside(cwd)
        os.makedirs(cwd, exist_ok=True)
        with open(os.path.join(cwd, SENTINEL), "w") as f:
            f.write("{}\n")

    def lacks(self, body, *names):
        if self.server.generation < 3:
            names = [n for n in names if n != "acquisitionId"]
        return [n for n in names if not body.get(n)]

    def answer(self, lease, body, resumed):
        return Answer(200, {"providerLeaseId": lease, "metadata": dict(
            body, provider="cloudflare", sandboxId=lease,
            remoteCwd=body["requestedCwd"], resumedLease=resumed)})

    def acquire(self, body):
        if self.lacks(body, "acquisitionId", "environmentId", "runId"):
            return error(400, "invalid_request", "a field is missing")
        key = body["acquisitionId"]
        if self.server.generation == 3:
            old = self.server.acquired.get(key)
            if old:
                return old[1] if old[0] == body else error(
                    409, "acquisition_conflict", "other fields")
            lease = f"pc-acq-{key}"
        else:
            lease = f"pc-{body['runId']}-{uuid.uuid4().hex[:8]}"
        lease = re.sub("[^a-z0-9-]+", "-", lease.lower())
        self.top = self.server.box(lease)
        self.keep(body["requestedCwd"])
        if self.fault and self.fault.kind == "half":
            return error(500, "acquisition_failed", "half of it",
                         providerLeaseId=lease)
        answer = self.answer(lease, body, False)
        self.server.acquired[key] = (body, answer)
        return answer

    def resume(self, body):
        if self.lacks(body, "providerLeaseId", "acquisitionId"):
            return error(400, "invalid_request", "a field is missing")
        lease = body["providerLeaseId"]
        self.top = self.server.box(lease)
        if not os.path.exists(os.path.join(
                self.inside(body["requestedCwd"]), SENTINEL)):
            return error(409, "sandbox_state_lost", "is no longer available")
        return self.answer(lease, body, True)

    # --- commands ---------------------------------------------------------

    def exec(self, body):
        if self.lacks(body, "providerLeaseId", "acquisitionId", "command"):
            return self.send(error(400, "invalid_request", "is missing"))
        self.top = self.server.box(body["providerLeaseId"])
        words = [self.inside(w) for w in [body["command"],
                                          *body.get("args", [])]]
        command = " ".join(shlex.quote(w) for w in words)
        stdin = None
        if body.get("stdin"):
            stdin = f"{self.top}/tmp/.stdin-{uuid.uuid4().hex}"
            with open(stdin, "w", encoding="utf-8") as f:
                f.write(body["stdin"])
            command += " < " + shlex.quote(stdin)
        argv = ["sh", "-lc", "echo 'Welcome! ~sand, 10 GiB free'; cd "
                f"{shlex.quote(body['cwd'])} && exec {command}"]
        assert body["streamOutput"] is True
        self.begin_chunks(200, {"Content-Type": "text/event-stream"})
        key = (body["providerLeaseId"], body["sessionId"])
        with self.server.session(key):
            code, said = self.run_child(
                argv, subprocess.DEVNULL, lambda name, text: self.event(
                    name, json.dumps({"data": text})),
                body["timeoutMs"] / 1000)
        if stdin:
            os.unlink(stdin)
        f = self.fault
        if f and f.kind == "no-end-frame":
            return self.end_chunks()
        if f and f.kind == "end-error":
            self.event("error", json.dumps({"error": "lost"}))
        else:
            self.event("complete", json.dumps(dict(
                said, exitCode=code, signal=None, timedOut=code is None)))
        return self.end_chunks()


Leases.handler = Handler


def options():
    p = bridge_server.options()
    p.add_argument("--generation", type=int, default=3)
    p.add_argument("--api", default="/api/paperclip-sandbox/v1")
    return p


if __name__ == "__main__":
    bridge_server.main(Leases(options().parse_args()))
