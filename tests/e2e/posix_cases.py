"""What must be the same on a mount and on a plain directory: scenarios by hand
for what has a story, and crossed tables for the rules of each operation.

Language: posix_ops.py.
"""
import itertools

# One object of each kind, as other objects find it in their way.
OBJECTS = {
    "none": [],
    "file": ["create o 0644 text"],
    "empty": ["create o"],
    "dir": ["mkdir o"],
    "full": ["mkdir o", "create o/inside"],
    "link": ["create t 0644 target", "symlink t o"],
    "dirlink": ["mkdir t", "symlink t o"],
    "dangling": ["symlink nowhere o"],
    "loop": ["symlink o o"],
    "fifo": ["mkfifo o"],
    "sock": ["bind o"],
}
AFTER = ["stat ^o", "ls ."]

# Operations on o, each tried on every object.
ON_ONE = [
    "mkdir o", "mkdir o/", "mkdir o/sub", "rmdir o", "rmdir o/", "unlink o",
    "unlink o/", "create o", "create o/sub", "symlink x o", "mkfifo o",
    "mknod o reg", "bind o", "link o n", "linkfollow o n", "rename o n",
    "rename o o", "rename o o/sub", "rename o/ n/", "rename2 o n noreplace",
    "rename2 o n exchange", "rename2 o o exchange", "rename2 o n both",
    "chmod o 0600", "chmod o/ 0700", "truncate o 0", "truncate o 100",
    "truncate o -1", "truncate o/ 0", "utimens o 5 7000000001",
    "utimens ^o 5 7000000001", "utimens o omit 9", "utimens o now omit",
    "readlink o", "stat o", "stat o/", "stat o/.", "stat o/..", "ls o",
    "open o RDONLY", "open o WRONLY|NONBLOCK", "open o RDWR|TRUNC",
    "open o RDONLY|DIRECTORY", "open o RDONLY|NOFOLLOW|NONBLOCK",
    "open o RDWR|CREAT|EXCL", "open o WRONLY|CREAT|TRUNC|NONBLOCK",
    "open o RDONLY|CREAT|NONBLOCK", "open o PATH|NOFOLLOW",
    "open o RDWR|CREAT|DIRECTORY", "open o/ RDWR|CREAT", "access o rw",
    "access o x", "access o f",
]


def on_one():
    for (kind, setup), op in itertools.product(OBJECTS.items(), ON_ONE):
        if op.startswith("open o RDONLY") and kind == "fifo" \
                and "NONBLOCK" not in op:
            continue  # would wait for a writer
        if op in ("open o RDONLY|CREAT|NONBLOCK",) and kind == "fifo":
            continue
        watch = "T ^o,.: " if op.split()[0] in (
            "chmod", "truncate", "utimens", "open", "rename", "link",
            "mkdir", "rmdir", "unlink") else ""
        if op.startswith("truncate") and kind == "empty":
            watch = ""  # here file systems differ
        yield f"{op} on {kind}", [*setup, watch + op, *AFTER, "stat ^n"]


# Every kind renamed over, linked over and exchanged with every other.
def on_two():
    second = {k: [s.replace(" o", " p").replace(" t", " u") for s in v]
              for k, v in OBJECTS.items() if k != "loop"}
    ways = ["rename o p", "rename2 o p noreplace", "rename2 o p exchange",
            "link o p"]
    for (a, one), (b, two), way in itertools.product(
            OBJECTS.items(), second.items(), ways):
        yield f"{way} {a} {b}", [*one, *two, f"T .: {way}", "stat ^o",
                                 "stat ^p", "ls ."]


NAMING = ["mkdir {}", "create {}", "symlink x {}", "mkfifo {}", "bind {}",
          "link f {}", "rename f {}", "rename2 f {} exchange", "unlink {}",
          "rmdir {}", "stat {}", "chmod {} 0600", "truncate {} 0",
          "open {} RDONLY", "open {} RDWR|CREAT", "utimens {} 1 2",
          "readlink {}", "rename {} n", "link {} n"]
PATHS = ["$255", "$256", "d/$255", "d/$256", "$4096", "f/x", "no/x", "l/x",
         "loop", "loop/x", "d/.", "d/..", ".", "d/../new", "dang", "dang/x", "d//x"]


def naming():
    for op, path in itertools.product(NAMING, PATHS):
        yield "name " + op.format(path), [
            "create f", "mkdir d", "symlink d l", "symlink loop loop",
            "symlink missing dang", op.format(path), "ls .", "ls d"]


# Permission: who may do what in a directory of which mode.
WHO = ["create d/n", "mkdir d/n", "unlink d/f", "rmdir d/s", "rename d/f d/n",
       "rename d/f w/n", "rename w/f d/n", "rename w/f d/f", "link d/f w/n",
       "link w/f d/n", "symlink x d/n", "mkfifo d/n", "mknod d/n chr",
       "mknod d/n reg", "stat d/f", "ls d", "chmod d/f 0600", "chmod d 0777",
       "truncate d/f 0", "open d/f RDONLY", "open d/f WRONLY",
       "open d/f RDONLY|TRUNC", "open d/f RDWR|CREAT", "utimens d/f now now",
       "utimens d/f 1 2", "utimens d/f omit now", "chown d/f a -1",
       "chown d/f -1 a", "chown d/f -1 shared", "chown d/f b -1", "access d/f r",
       "access d/f w", "access d x", "rename2 d/f w/f exchange",
       "rename2 d/s w/s exchange", "rename d/s w/n", "open d TMPFILE|RDWR"]
MODES = ["0777", "0755", "0700", "1777", "0711", "0744", "0733", "2777", "0000"]


def permission():
    for op, mode, owner in itertools.product(WHO, MODES, ["0", "a", "b"]):
        yield f"may {op} {mode} {owner}", [
            "mkdir d", "mkdir w", "mkdir d/s", "mkdir w/s",
            "create d/f 0644 text", "create w/f 0644 text",
            f"chown d/f {owner} {owner}", f"chown d/s {owner} {owner}",
            f"chown d {owner} {owner}", "chown w a a", "chown w/f a a",
            "chown w/s a a", f"chmod d {mode}", f"@a {op}", "stat ^d/f",
            "stat ^d/n", "stat ^d/s", "stat ^w/f", "stat ^w/n", "stat d"]


def file_modes():
    ops = ["open f RDONLY", "open f WRONLY", "open f RDWR", "write f x",
           "truncate f 1", "access f x", "chmod f 6755", "chown f a a",
           "chown f -1 shared", "utimens f now now"]
    for op, mode, owner in itertools.product(
            ops, ["0644", "0600", "0060", "0006", "0000", "4755", "2755",
                  "2745", "6777", "1644"], ["a", "b", "0"]):
        for user in ("@a ", ""):
            yield f"{user}{op} {mode} {owner}", [
                "umask 0", "create f 0644 text", f"chown f {owner} {owner}",
                f"chmod f {mode}", user + op, "stat f"]


def creation():
    """Modes and owners of what is made: umask, setgid directories."""
    makers = ["create d/n {}", "mkdir d/n {}", "mkfifo d/n {}",
              "mknod d/n reg {}", "open d/n RDWR|CREAT {}"]
    for maker, mode, mask, bits in itertools.product(
            makers, ["0777", "0644", "0000", "2755", "4711", "1777"],
            ["0", "022", "077"], ["0777", "2777"]):
        for user in ("@a ", ""):
            yield f"made {user}{maker.format(mode)} {mask} {bits}", [
                f"umask {mask}", "mkdir d", f"chown d b {65532}",
                f"chmod d {bits}", user + maker.format(mode), "stat d/n",
                "stat d"]


def stories():
    import posix_stories
    return posix_stories.STORIES.items()


def scenarios():
    for part in (stories, on_one, on_two, naming, permission, file_modes,
                 creation):
        yield from part()
