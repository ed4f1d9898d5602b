"""Files of the E2B test server: /files, and the Filesystem service."""
import base64
import ctypes
import grp
import gzip
import hashlib
import hmac
import mimetypes
import os
import pwd
import queue
import shutil
import stat
import struct
import threading
import time
import urllib.parse
import uuid
from email.utils import formatdate

from e2b_process import ping_of, timeout_of
from e2b_wire import Answer, RpcError, iso


def resolve(box, path):
    path = path or box.home
    if path == "~" or path.startswith("~/"):
        return os.path.normpath(box.home + path[1:])
    return os.path.normpath(os.path.join(box.home, path))


def error(status, message):
    return Answer(status, {"code": status, "message": message},
                  {"Content-Type": "application/json; charset=utf-8"})


# --- signatures --------------------------------------------------------------

def check_signature(h, box):
    given = h.query.get("signature")
    if given is None:
        return "missing signature query parameter"
    op = "read" if h.command == "GET" else "write"
    raw = ":".join([h.query.get("path", ""), op, h.query.get("username", ""),
                    box.token])
    expiry = h.query.get("signature_expiration")
    if expiry is not None:
        raw += ":" + expiry
    digest = hashlib.sha256(raw.encode()).digest()
    want = "v1_" + base64.b64encode(digest).decode().rstrip("=")
    if not hmac.compare_digest(want, given):
        return "invalid signature"
    if expiry is not None and int(expiry) < time.time():
        return "signature is already expired"
    return None


# --- /files --------------------------------------------------------------------

def download(h, box):
    h.drop_body()
    path = resolve(box, h.query.get("path", ""))
    try:
        f = open(path, "rb")
    except IsADirectoryError:
        return h.send(error(400, f"path '{path}' is a directory"))
    except FileNotFoundError:
        return h.send(error(404, f"path '{path}' does not exist"))
    except OSError as e:
        return h.send(error(500, str(e)))
    with f:
        st = os.fstat(f.fileno())
        headers = {"Content-Type": mimetypes.guess_type(path)[0] or
                   "application/octet-stream",
                   "Last-Modified": formatdate(st.st_mtime, usegmt=True),
                   "Accept-Ranges": "bytes", "Vary": "Accept-Encoding",
                   "Content-Disposition": "inline"}
        wanted = h.headers.get("Range")
        names = [n.split(";")[0].strip()
                 for n in h.headers.get("Accept-Encoding", "").split(",")]
        if not wanted and "gzip" in names and \
                h.server.version() >= (0, 5, 3):
            h.begin_chunks(200, {**headers, "Content-Encoding": "gzip"})
            h.put_chunk(gzip.compress(f.read()))
            return h.end_chunks()
        start, end, status = 0, st.st_size, 200
        if wanted and wanted.startswith("bytes="):
            a, _, b = wanted[6:].partition("-")
            if a:
                start, end = int(a), int(b) + 1 if b else st.st_size
            else:
                start = max(st.st_size - int(b), 0)
            end = min(end, st.st_size)
            if start >= st.st_size:
                return h.send(Answer(416, None, {
                    "Content-Range": f"bytes */{st.st_size}"}))
            status = 206
            headers["Content-Range"] = f"bytes {start}-{end - 1}/{st.st_size}"
        h.send_response(status)
        for k, v in headers.items():
            h.send_header(k, v)
        h.send_header("Content-Length", str(end - start))
        h.end_headers()
        f.seek(start)
        left = end - start
        while left:
            data = f.read(min(left, 1 << 18))
            if not data:
                h.close_connection = True
                return None
            h.put(data)
            left -= len(data)
    return None


def store(box, path, chunks, metadata):
    path = resolve(box, path)
    if os.path.isdir(path):
        return None, error(400, f"path is a directory: {path}")
    try:
        os.makedirs(os.path.dirname(path), mode=0o755, exist_ok=True)
    except OSError as e:
        return None, error(500, f"error ensuring directories: {e}")
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666)
    with os.fdopen(fd, "wb") as f:
        for c in chunks:
            f.write(c)
    entry = {"path": path, "name": os.path.basename(path), "type": "file"}
    if metadata:
        entry["metadata"] = metadata
    return entry, None


def metadata_of(h):
    return {k[len("x-metadata-"):].lower(): v for k, v in h.headers.items()
            if k.lower().startswith("x-metadata-")}


def upload(h, box):
    kind = h.headers.get("Content-Type", "")
    zipped = h.headers.get("Content-Encoding") == "gzip"
    meta = metadata_of(h)
    if kind.startswith("application/octet-stream"):
        if h.server.version() < (0, 5, 7):
            h.drop_body()
            return error(400, f"unsupported content type: {kind}")
        if "path" not in h.query:
            h.drop_body()
            return error(400, "path is required")
        chunks = [h.body()] if zipped else h.chunks()
        entry, bad = store(box, h.query["path"], chunks, meta)
        h.drop_body() if bad and not h.body_read else None
        entries = [entry]
    elif kind.startswith("multipart/form-data"):
        entries, bad = upload_form(h, box, kind, meta)
    else:
        h.drop_body()
        return error(400, f"unsupported content type: {kind}")
    if bad:
        return bad
    a = Answer(200, entries)
    a.headers["Content-Type"] = "text/plain; charset=utf-8"
    return a


def parts_of(body, boundary):
    for part in body.split(b"--" + boundary)[1:-1]:
        head, _, data = part[2:].partition(b"\r\n\r\n")
        head = head.decode("utf-8", "surrogateescape")
        line = [x for x in head.split("\r\n")
                if x.lower().startswith("content-disposition")][0]
        fields = {}
        for item in line.split(";")[1:]:
            k, _, v = item.strip().partition("=")
            fields[k] = v.strip('"')
        yield fields, data[:-2]


def upload_form(h, box, kind, meta):
    boundary = kind.split("boundary=")[1].strip('"').encode()
    files = [(f, d) for f, d in parts_of(h.body(), boundary)
             if f.get("name") == "file"]
    path = h.query.get("path")
    if path is not None and len(files) != 1:
        return None, error(400, "only one file allowed with path")
    names = [path if path is not None else f["filename"] for f, _ in files]
    if len(set(names)) != len(names):
        return None, error(400, "the same path twice")
    entries = []
    for name, (_, data) in zip(names, files):
        entry, bad = store(box, name, [data], meta)
        if bad:
            return None, bad
        entries.append(entry)
    return entries, None


def compose(h, box):
    import json
    body = json.loads(h.body())
    sources = [resolve(box, p) for p in body.get("source_paths") or []]
    to = resolve(box, body["destination"])
    if not sources or to in sources:
        return error(400, "bad sources")
    for s in sources:
        if not os.path.exists(s):
            return error(404, f"path '{s}' does not exist")
        if not os.path.isfile(s):
            return error(400, f"path '{s}' is not a regular file")
    temp = f"{to}.{uuid.uuid4().hex}"
    with open(temp, "wb") as out:
        for s in sources:
            with open(s, "rb") as f:
                shutil.copyfileobj(f, out)
    os.rename(temp, to)
    for s in sources:
        os.unlink(s)
    return Answer(200, {"path": to, "name": os.path.basename(to),
                        "type": "file"})


# --- the Filesystem service ---------------------------------------------------

def go_mode(st):
    kinds = {stat.S_IFDIR: "d", stat.S_IFLNK: "L", stat.S_IFIFO: "p",
             stat.S_IFSOCK: "S", stat.S_IFBLK: "D", stat.S_IFCHR: "Dc"}
    text = kinds.get(stat.S_IFMT(st.st_mode), "")
    for bit, letter in ((stat.S_ISUID, "u"), (stat.S_ISGID, "g"),
                        (stat.S_ISVTX, "t")):
        if st.st_mode & bit:
            text += letter
    return (text or "-") + stat.filemode(st.st_mode)[1:].lower().replace(
        "s", "x").replace("t", "x")


def name_of(getter, number):
    try:
        return getter(number)[0]
    except KeyError:
        return str(number)


def entry_of(path, name=None):
    st = os.lstat(path)
    e = {"name": name or os.path.basename(path), "path": path,
         "permissions": go_mode(st), "owner": name_of(pwd.getpwuid, st.st_uid),
         "group": name_of(grp.getgrgid, st.st_gid)}
    e["name"].encode()      # names that are not UTF-8 fail the whole reply
    seconds, nanos = divmod(st.st_mtime_ns, 10**9)
    e["modifiedTime"] = iso(seconds, 0)[:-2] + f".{nanos:09d}Z"
    if st.st_size:
        e["size"] = str(st.st_size)
    shown = st
    if stat.S_ISLNK(st.st_mode):
        e["symlinkTarget"] = os.path.realpath(path)
        try:
            shown = os.stat(path)
        except OSError:
            e["symlinkTarget"] = path
            shown = None
    if shown:
        if shown.st_mode & 0o777:
            e["mode"] = shown.st_mode & 0o777
        if stat.S_ISREG(shown.st_mode):
            e["type"] = "FILE_TYPE_FILE"
        elif stat.S_ISDIR(shown.st_mode):
            e["type"] = "FILE_TYPE_DIRECTORY"
    return e


def need(path):
    try:
        return os.lstat(path)
    except OSError:
        raise RpcError("not_found", f"path not found: {path}")


def do_stat(h, box, request):
    path = resolve(box, request.get("path"))
    need(path)
    return {"entry": entry_of(path)}


def do_list(h, box, request):
    path = resolve(box, request.get("path"))
    need(path)
    if not os.path.isdir(path):
        raise RpcError("invalid_argument", f"path is not a directory: {path}")
    entries = []

    def walk(d, depth):
        for name in sorted(os.listdir(d)):
            full = os.path.join(d, name)
            try:
                entries.append(entry_of(full))
            except UnicodeEncodeError:
                raise RpcError("internal", "marshal message: string field "
                               "contains invalid UTF-8")
            if depth > 1 and os.path.isdir(full) and not os.path.islink(full):
                walk(full, depth - 1)

    walk(path, int(request.get("depth") or 1))
    return {"entries": entries} if entries else {}


def do_mkdir(h, box, request):
    path = resolve(box, request.get("path"))
    if os.path.isdir(path):
        raise RpcError("already_exists", f"directory already exists: {path}")
    if os.path.lexists(path):
        raise RpcError("invalid_argument",
                       f"path already exists but it is not a directory: {path}")
    os.makedirs(path, mode=0o755)
    return {"entry": entry_of(path)}


def do_move(h, box, request):
    a = resolve(box, request.get("source"))
    b = resolve(box, request.get("destination"))
    need(a)
    os.makedirs(os.path.dirname(b), exist_ok=True)
    try:
        os.rename(a, b)
    except OSError as e:
        raise RpcError("internal", str(e))
    return {"entry": entry_of(b)}


def do_remove(h, box, request):
    path = resolve(box, request.get("path"))
    if os.path.isdir(path) and not os.path.islink(path):
        shutil.rmtree(path)
    elif os.path.lexists(path):
        os.unlink(path)
    return {}


# --- watching -------------------------------------------------------------------

libc = ctypes.CDLL(None, use_errno=True)
IN = {"MODIFY": 0x2, "ATTRIB": 0x4, "MOVED_FROM": 0x40, "MOVED_TO": 0x80,
      "CREATE": 0x100, "DELETE": 0x200, "DELETE_SELF": 0x400,
      "MOVE_SELF": 0x800}
NAMES = [(IN["CREATE"] | IN["MOVED_TO"], "EVENT_TYPE_CREATE"),
         (IN["MOVED_FROM"] | IN["MOVE_SELF"], "EVENT_TYPE_RENAME"),
         (IN["ATTRIB"], "EVENT_TYPE_CHMOD"),
         (IN["MODIFY"], "EVENT_TYPE_WRITE"),
         (IN["DELETE"] | IN["DELETE_SELF"], "EVENT_TYPE_REMOVE")]


class Watcher(threading.Thread):
    """inotify, with the hole of the real one: what is made in a new directory
    before its watch exists is never reported."""

    def __init__(self, top, recursive, with_entry, put):
        super().__init__(daemon=True)
        self.top, self.recursive, self.with_entry = top, recursive, with_entry
        self.put = put
        self.fd = libc.inotify_init1(os.O_CLOEXEC)
        self.dirs = {}
        self.stop_r, self.stop_w = os.pipe()
        self.add(top)
        if recursive:
            for base, dirs, _ in os.walk(top):
                for d in dirs:
                    full = os.path.join(base, d)
                    if not os.path.islink(full):
                        self.add(full)

    def add(self, path):
        wd = libc.inotify_add_watch(self.fd, os.fsencode(path),
                                    ctypes.c_uint32(sum(IN.values())))
        if wd >= 0:
            self.dirs[wd] = path

    def run(self):
        import select
        while True:
            ready = select.select([self.fd, self.stop_r], [], [])[0]
            if self.stop_r in ready:
                break
            data = os.read(self.fd, 65536)
            at = 0
            while at < len(data):
                wd, mask, _, n = struct.unpack_from("iIII", data, at)
                name = data[at + 16:at + 16 + n].rstrip(b"\0")
                at += 16 + n
                if wd in self.dirs:
                    self.event(os.path.join(self.dirs[wd],
                                            os.fsdecode(name)), mask)
        for fd in (self.fd, self.stop_r, self.stop_w):
            os.close(fd)

    def event(self, path, mask):
        if self.recursive and mask & NAMES[0][0] and os.path.isdir(path) and \
                not os.path.islink(path):
            self.add(path)
        for bits, kind in NAMES:
            if not mask & bits:
                continue
            e = {"name": os.path.relpath(path, self.top), "type": kind}
            if self.with_entry and kind not in ("EVENT_TYPE_REMOVE",
                                                "EVENT_TYPE_RENAME"):
                try:
                    e["entry"] = entry_of(path)
                except OSError:
                    pass
            self.put(e)

    def stop(self):
        os.write(self.stop_w, b"x")


def make_watcher(box, request, put):
    path = resolve(box, request.get("path"))
    need(path)
    if not os.path.isdir(path):
        raise RpcError("invalid_argument", f"path is not a directory: {path}")
    w = Watcher(path, bool(request.get("recursive")),
                bool(request.get("includeEntry")), put)
    w.start()
    return w


def watch_dir(h, box, request):
    events = queue.Queue()
    limit, ping = timeout_of(h), ping_of(h)
    until = time.monotonic() + limit if limit is not None else None
    w = make_watcher(box, request, events.put)
    try:
        h.message({"start": {}})
        while True:
            wait = ping
            if until is not None:
                wait = min(wait, max(until - time.monotonic(), 0))
            try:
                h.message({"filesystem": events.get(timeout=wait)})
            except queue.Empty:
                if until is not None and time.monotonic() >= until:
                    raise RpcError("deadline_exceeded",
                                   "context deadline exceeded")
                h.message({"keepalive": {}})
    finally:
        w.stop()


def create_watcher(h, box, request):
    events = []
    w = make_watcher(box, request, events.append)
    wid = "w" + uuid.uuid4().hex[:12]
    box.watchers[wid] = (w, events)
    return {"watcherId": wid}


def watcher_of(box, request):
    wid = request.get("watcherId")
    if wid not in box.watchers:
        raise RpcError("not_found", f"watcher with id {wid} not found")
    return wid


def get_events(h, box, request):
    _, events = box.watchers[watcher_of(box, request)]
    taken, events[:] = list(events), []
    return {"events": taken} if taken else {}


def remove_watcher(h, box, request):
    box.watchers.pop(watcher_of(box, request))[0].stop()
    return {}


UNARY = {"filesystem.Filesystem/Stat": do_stat,
         "filesystem.Filesystem/ListDir": do_list,
         "filesystem.Filesystem/MakeDir": do_mkdir,
         "filesystem.Filesystem/Move": do_move,
         "filesystem.Filesystem/Remove": do_remove,
         "filesystem.Filesystem/CreateWatcher": create_watcher,
         "filesystem.Filesystem/GetWatcherEvents": get_events,
         "filesystem.Filesystem/RemoveWatcher": remove_watcher}
STREAMS = {"filesystem.Filesystem/WatchDir": watch_dir}
