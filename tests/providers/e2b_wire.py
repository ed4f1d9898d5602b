"""What the parts of the E2B test server share: answers, errors, envelopes,
faults."""
import json
import socket
import struct
import time
from datetime import datetime, timezone


def iso(seconds, digits=3):
    t = datetime.fromtimestamp(seconds, timezone.utc)
    return t.strftime("%Y-%m-%dT%H:%M:%S.") + f"{t.microsecond:06d}"[
        :digits] + "Z"


class Cut(Exception):
    """The connection ends here, in the middle of things."""


class RpcError(Exception):
    def __init__(self, code, message):
        super().__init__(message)
        self.code = code
        self.message = message


CONNECT = {"canceled": 499, "unknown": 500, "invalid_argument": 400,
           "deadline_exceeded": 504, "not_found": 404, "already_exists": 409,
           "permission_denied": 403, "resource_exhausted": 429,
           "failed_precondition": 400, "aborted": 409, "out_of_range": 400,
           "unimplemented": 501, "internal": 500, "unavailable": 503,
           "data_loss": 500, "unauthenticated": 401}


def connect_status(code):
    return CONNECT[code]


class Answer:
    def __init__(self, status, value=None, headers=None, text=None):
        self.status = status
        self.headers = dict(headers or {})
        if text is not None:
            self.data = text.encode()
            self.headers.setdefault("Content-Type",
                                    "text/plain; charset=utf-8")
        elif value is None:
            self.data = b""
        else:
            # As Go's encoder does: spaces where one might not expect them.
            self.data = json.dumps(value).encode()
            self.headers.setdefault("Content-Type", "application/json")


def envelope(flags, value):
    data = json.dumps(value).encode()
    return struct.pack(">BI", flags, len(data)) + data


class Fault:
    """What goes wrong with requests whose "METHOD /path" begins with MATCH.

    kind: status   answer STATUS with BODY (text) and HEADERS, do nothing
          reset    close before anything is done
          hang     do nothing for SECONDS, then close
          late     wait SECONDS, then go on
          lost     (control plane) do it, close without an answer
          lost-input  the same with a unary call
          cut      after BYTES bytes of the body, close
          drip     a byte every SECONDS
          and for streams: cut-before-end, no-end-frame, half-frame, garbage,
          duplicate (each data event twice), split (3 bytes a chunk),
          end-error (with CODE), no-pings
    """

    def __init__(self, match, kind, times=1, skip=0, status=500, body="",
                 headers=None, seconds=0, bytes=0, code="internal"):
        self.match = match
        self.kind = kind
        self.times = times
        self.skip = skip
        self.status = status
        self.body = body
        self.headers = headers or {}
        self.seconds = seconds
        self.left = bytes
        self.code = code

    def applies(self, line):
        """Called under the server's lock."""
        if self.times == 0 or not line.startswith(self.match):
            return False
        if self.skip:
            self.skip -= 1
            return False
        self.times -= 1
        return True

    def before(self, handler):
        """True: that was the whole answer."""
        if self.kind == "status":
            handler.drop_body()
            handler.send(Answer(self.status, None, self.headers,
                                text=self.body))
            return True
        if self.kind == "reset":
            raise Cut()
        if self.kind == "hang":
            handler.connection.settimeout(self.seconds)
            try:
                handler.drop_body()
                handler.connection.recv(1)
            except (socket.timeout, OSError):
                pass
            raise Cut()
        if self.kind == "late":
            time.sleep(self.seconds)
        return False
