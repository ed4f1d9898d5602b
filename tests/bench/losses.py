#!/usr/bin/env python3
"""losses: what becomes of the work of two sides, with sandmount and with others.

    losses.py PROGRAM [--dir DIR] [--write README]

Small scenarios, each from a fresh start: "here" is where the person works,
"there" the sandbox. A mount has one copy, so a person's editor has read the
file before the sandbox changes it and saves it afterwards. What is found at the
end is what the table says; nothing is judged by documentation. --write puts it
into the README between its marks.
"""
import argparse
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor

import systems
from systems import run, wait_for

BASE = "".join(f"line {i}\n" for i in range(1, 21))
MINE, THEIRS = (BASE.replace(f"line {n}\n", f"{who} {n}\n")
                for n, who in ((3, "my own"), (17, "theirs")))
GIT = ["git", "-c", "user.name=a", "-c", "user.email=a@b"]


def quiet(*argv, **kw):
    return subprocess.run([str(a) for a in argv], stdin=subprocess.DEVNULL,
                          stdout=subprocess.DEVNULL,
                          stderr=subprocess.DEVNULL, **kw).returncode


def read(path):
    return path.read_bytes() if path.is_file() else None


class Pair:
    """Two directories and a program that brings them together."""
    one_copy = False

    def __init__(self, top, program, sshd):
        self.top, self.program, self.sshd = top, program, sshd
        self.here, self.there = top / "here", top / "there"
        self.here.mkdir()
        self.there.mkdir()
        self.env = dict(os.environ, HOME=str(top / "home"),
                        XDG_STATE_HOME=str(top / "state"),
                        XDG_CONFIG_HOME=str(top / "config"),
                        XDG_RUNTIME_DIR=str(top / "run"),
                        UNISON=str(top / "unison"))
        for d in ("home", "state", "config", "run"):
            (top / d).mkdir(mode=0o700)

    def begin(self):
        quiet(*self.first(), env=self.env)

    def sync(self):
        return quiet(*self.argv(), env=self.env)

    def later(self):
        """People are not so quick that times and sizes stay the same."""
        time.sleep(1.1)

    def first(self):
        return self.argv()

    def end(self):
        pass


class Sandmount(Pair):
    name = "sandmount"

    def first(self):
        return [self.program, "prepare", "--name", "x", "--local", self.here,
                f"local:{self.there}"]

    def argv(self):
        return [self.program, "restore", "x"]


class Unison(Pair):
    name = "unison"

    def argv(self):
        return ["unison", self.here, self.there, "-batch", "-auto", "-ui",
                "text", "-times"]


class Bisync(Pair):
    name = "rclone bisync"

    def argv(self):
        return ["rclone", "bisync", self.here, self.there, "--config",
                "/dev/null", "--workdir", self.top / "bisync"]

    def first(self):
        return [*self.argv(), "--resync"]


class Mounted(Pair):
    one_copy = True

    def begin(self):
        for name in os.listdir(self.here):
            shutil.move(str(self.here / name), str(self.there / name))
        self.peer = self.kind.__new__(self.kind)
        self.peer.sshd, self.peer.ms = self.sshd, 0
        self.peer.work, self.peer.served = self.here, self.there
        self.peer.cache = self.top / "cache"
        self.peer.mount()

    def sync(self):
        """What was written has arrived."""
        return 0

    def end(self):
        self.peer.umount()


class Sshfs(Mounted):
    name, kind = "sshfs", systems.Sshfs


SYSTEMS = (Sandmount, Unison, Bisync, Sshfs)


def save(p, name, text):
    """As an editor that had it open: in place, from what it read. sshfs takes a
    file that is gone for one that is there for 20 s, and then cannot save."""
    end = time.monotonic() + 60
    while True:
        try:
            (p.here / name).write_text(text)
            return
        except FileNotFoundError:
            assert time.monotonic() < end
            time.sleep(0.5)


def everything(top):
    found = b""
    for base, dirs, files in os.walk(top):
        if ".git" in dirs:
            dirs.remove(".git")
        for name in files:
            found += (pathlib.Path(base) / name).read_bytes()
    return found.decode(errors="replace")


def outcome(p, mine, theirs):
    """Of two edits: what the person finds here, once all is said and done."""
    text, all_here = (p.here / "f").read_text(), everything(p.here)
    if mine in text and theirs in text:
        return "merged"
    if mine in all_here and theirs in all_here:
        return "both kept, side by side"
    if mine in text and theirs in everything(p.there):
        return "left as they are, to be settled"
    if mine in all_here:
        return "the sandbox's is lost"
    return "yours is lost" if theirs in all_here else "both are lost"


def both_edit(mine, theirs, words):
    def scenario(p):
        (p.here / "f").write_text(BASE)
        p.begin()
        read(p.here / "f")
        (p.there / "f").write_text(theirs)
        save(p, "f", mine)
        p.sync()
        return outcome(p, *words)
    return scenario


def delete_and_edit(p):
    (p.here / "f").write_text(BASE)
    (p.here / "g").write_text("g\n")
    p.begin()
    (p.there / "f").write_text(THEIRS)
    (p.here / "f").unlink()
    p.sync()
    if "theirs" in everything(p.here):
        return "the edit comes back"
    return ("left as they are, to be settled"
            if "theirs" in everything(p.there) else "the edit is lost")


def rename_and_edit(p):
    """Renamed there, edited here under the old name."""
    (p.here / "f").write_text(BASE)
    (p.here / "g").write_text("g\n")
    p.begin()
    read(p.here / "f")
    (p.there / "f").rename(p.there / "new")
    save(p, "f", MINE)
    p.sync()
    new, old = read(p.here / "new"), read(p.here / "f")
    if new and b"my own" in new and old is None:
        return "one file, with the edit"
    if old and b"my own" in old:
        return "two files" if new else "left as they are, to be settled"
    return "the edit is lost"


def mode(p):
    (p.here / "f").write_text(BASE)
    (p.here / "f").chmod(0o644)
    p.begin()
    (p.there / "f").chmod(0o755)
    p.sync()
    return "arrives" if os.access(p.here / "f", os.X_OK) else "does not"


def repository(p):
    """A commit on either side."""
    git = [*GIT, "-C", str(p.here)]
    run(*GIT, "init", "-q", "-b", "main", p.here)
    (p.here / "f").write_text(BASE)
    run(*git, "add", ".")
    run(*git, "commit", "-qm", "one")
    if p.one_copy:
        return "one copy, one history"
    p.begin()
    for side, text in ((p.there, THEIRS), (p.here, MINE)):
        (side / "f").write_text(text)
        run(*GIT, "-C", side, "commit", "-qam", "two")
    shas = [subprocess.run([*GIT, "-C", str(side), "rev-parse", "HEAD"],
                           capture_output=True, text=True,
                           check=True).stdout.strip()
            for side in (p.here, p.there)]
    p.sync()
    sound = quiet(*git, "fsck", "--full") == 0
    log = subprocess.run([*git, "log", "--all", "--format=%H"],
                         capture_output=True, text=True).stdout
    found = [sha in log for sha in shas]
    return ("" if sound else "damaged; ") + (
        "both commits here" if all(found)
        else "only yours here, to be settled" if found[0]
        else "yours is lost")


def emptied(p):
    """Everything in the sandbox is gone at once."""
    for i in range(20):
        (p.here / f"f{i}").write_text(BASE)
    p.begin()
    for f in p.there.iterdir():
        if f.is_file():
            f.unlink()
    p.sync()
    left = sum(f.is_file() for f in p.here.iterdir())
    return "yours stay" if left == 20 else "gone here, too"


def killed(p):
    """The program, in the middle of bringing 64 MiB and 300 files home; or, of a
    mount, right after they were written and closed."""
    (p.here / "f").write_text(BASE)
    p.begin()
    new = {f"n{i}": (f"{i}\n" * 500).encode() for i in range(300)}
    new["big"] = os.urandom(64 << 20)
    for name, data in new.items():
        ((p.here if p.one_copy else p.there) / name).write_bytes(data)
    if p.one_copy:
        kill_mount(p)
        p.peer.mount()
        p.sync()
    else:
        child = subprocess.Popen([str(a) for a in p.argv()], env=p.env,
                                 stdin=subprocess.DEVNULL,
                                 stdout=subprocess.DEVNULL,
                                 stderr=subprocess.DEVNULL)
        wait_for(lambda: child.poll() is not None or
                 len(os.listdir(p.here)) > 20)
        early = child.poll() is None
        child.kill()
        child.wait()
        torn = [n for n in os.listdir(p.here)
                if n in new and read(p.here / n) != new[n]]
        p.sync()
        assert early, "it was too quick to be killed"
        if torn:
            return "torn files in between"
    whole = all(read(p.there / n) == d and read(p.here / n) == d
                for n, d in new.items())
    return "the next run completes it" if whole else "incomplete"


def kill_mount(p):
    top = str(p.here)
    for proc in pathlib.Path("/proc").iterdir():
        try:
            argv = (proc / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if top.encode() in argv and argv[0].endswith(b"sshfs"):
            os.kill(int(proc.name), signal.SIGKILL)
    subprocess.run(["fusermount3", "-u", "-z", top], capture_output=True)
    wait_for(lambda: not systems.is_mounted(p.here))


SCENARIOS = (
    ("Both edit other lines of a file", both_edit(MINE, THEIRS,
                                                  ("my own", "theirs"))),
    ("Both edit the same line", both_edit(
        MINE, BASE.replace("line 3\n", "theirs 3\n"), ("my own", "theirs"))),
    ("Deleted here, edited there", delete_and_edit),
    ("Renamed there, edited here", rename_and_edit),
    ("Made executable there", mode),
    ("A commit on either side", repository),
    ("The sandbox is emptied", emptied),
    ("Killed in the middle", killed),
)


def version(*argv):
    done = subprocess.run(argv, capture_output=True, text=True)
    found = re.search(r"\d+\.\d+(\.\d+)?", done.stdout + done.stderr)
    return found.group() if found else "?"


def measure(args, top):
    sshd = systems.Sshd(top)

    def column(system):
        cells = []
        for words, scenario in SCENARIOS:
            place = pathlib.Path(tempfile.mkdtemp(dir=top))
            p = system(place, os.path.abspath(args.program), sshd)
            begin = p.begin
            p.begin = lambda p=p, begin=begin: (begin(), p.later())
            try:
                cells.append(scenario(p))
            finally:
                if p.one_copy and systems.is_mounted(p.here):
                    p.end()
            print(f"{system.name}: {words}: {cells[-1]}", file=sys.stderr)
        return cells

    try:
        with ThreadPoolExecutor(len(SYSTEMS)) as pool:
            columns = list(pool.map(column, SYSTEMS))
    finally:
        sshd.stop()
    return [[words, *cells] for (words, _), *cells in
            zip(SCENARIOS, *columns)]


def table(rows):
    versions = {"unison": version("unison", "-version"),
                "sshfs": version("sshfs", "--version"),
                "rclone": version("rclone", "version")}
    heads = [s.name + (f" {versions[s.name.split()[0]]}"
                       if s.name.split()[0] in versions else "")
             for s in SYSTEMS]
    lines = ["| | " + " | ".join(heads) + " |", "|---" * (1 + len(SYSTEMS)) + "|"]
    lines += ["| " + " | ".join(r) + " |" for r in rows]
    return "\n".join(lines) + "\n"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("program")
    parser.add_argument("--dir", default=None)
    parser.add_argument("--write", metavar="README")
    args = parser.parse_args()
    top = pathlib.Path(tempfile.mkdtemp(prefix="losses-", dir=args.dir))
    text = table(measure(args, top))
    shutil.rmtree(top, ignore_errors=True)
    print(text, end="")
    if args.write:
        readme = pathlib.Path(args.write)
        before, _, rest = readme.read_text().partition("<!-- losses -->\n")
        after = rest.partition("<!-- /losses -->")[2]
        readme.write_text(f"{before}<!-- losses -->\n{text}<!-- /losses -->"
                          f"{after}")


if __name__ == "__main__":
    main()
