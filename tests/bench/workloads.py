"""What is timed. Each is a shell command that runs in the system's directory;
`before` and `after` are not timed."""
import os
import pathlib
import random
import shutil
import subprocess
from dataclasses import dataclass


@dataclass
class Workload:
    name: str
    command: str
    before: str = ""
    after: str = ""
    aim: float = 0	# times native, 0: none
    needs: str = ""	# a program
    times: int = 1	# things done by one run: the table shows one
    sent: str = ""	# name of the row: until the sandbox has it
    builds_on: str = ""	# a workload that must be possible


SAVES = ("import os\n"
         "for i in range(20):\n"
         "    with open('.t', 'w') as f:\n"
         "        f.write('line\\n' * 500)\n"
         "        f.flush()\n"
         "        os.fsync(f.fileno())\n"
         "    os.rename('.t', 'saved')\n")

NPM_CI = ("cd npm && npm ci --silent --offline --no-audit --no-fund "
          "--cache \"$NPM_CACHE\"")


def fio(name, mode, block, size, aim):
    return Workload(
        f"fio {name}", f"fio --name=x --filename=fio.dat --rw={mode} "
        f"--bs={block} --size={size} --ioengine=psync --end_fsync=1 "
        "--output=/dev/null", before="[ -e fio.dat ] || "
        f"dd if=/dev/zero of=fio.dat bs=1M count={size[:-1]} status=none",
        after="rm -f fio.dat", aim=aim, needs="fio")


def all_workloads(files):
    tree = f"{files // 1000}k" if files >= 1000 else str(files)
    return [
        Workload("git status, first", "git -C repo status --short", aim=0,
                 needs="git"),
        Workload("git status, warm", "git -C repo status --short", aim=1.5,
                 needs="git"),
        Workload("ls -lR", "ls -lR repo >/dev/null", aim=1.3),
        Workload("find", "find repo -size +9999 >/dev/null", aim=1.6),
        Workload("grep -r", "grep -r nothing-like-it repo/src || true",
                 aim=2.0),
        Workload("cp -r", "cp -r repo/src copy", before="rm -rf copy",
                 aim=2.7),
        Workload("rm -rf", "rm -rf copy", before="[ -e copy ] || "
                 "cp -r repo/src copy", aim=2.4, builds_on="cp -r"),
        Workload(f"untar {tree} files", "mkdir tree && tar -C tree -xf "
                 "\"$ARCHIVE\"", before="rm -rf tree", after="rm -rf tree",
                 aim=3.2, sent=f"untar {tree} files, until sent"),
        Workload("compile 50 files", "make -s -C c -B -j2", aim=1.1),
        Workload("npm ci", NPM_CI, before="rm -rf npm/node_modules",
                 aim=1.1, needs="npm"),
        Workload("eslint", "cd npm && node node_modules/eslint/bin/eslint.js "
                 "--no-eslintrc --env es2022 --parser-options=ecmaVersion:2022"
                 " node_modules/eslint/lib >/dev/null || true",
                 before="[ -e npm/node_modules/eslint/bin/eslint.js ] || "
                 f"({NPM_CI})",
                 after="rm -rf npm/node_modules", aim=1.1, needs="npm",
                 builds_on="npm ci"),
        Workload("atomic save", f'python3 -c "{SAVES}"', times=20),
        fio("write, sequential", "write", "1M", "256M", 1.11),
        fio("read, sequential", "read", "1M", "256M", 1.11),
        fio("write, random 4k", "randwrite", "4k", "32M", 1.25),
        fio("read, random 4k", "randread", "4k", "32M", 1.25),
    ]


def described(chosen):
    """What the report needs to know of them: its rows."""
    rows = []
    for w in chosen:
        rows.append({"name": w.name, "aim": w.aim, "times": w.times})
        if w.sent:
            rows.append({"name": w.sent, "aim": 0, "times": 1})
    return rows


def text(rng, size):
    words = ["int", "value", "return", "static", "buffer", "length", "index",
             "while", "struct", "node", "next", "=", "+", "(x)", ";"]
    out = []
    while size > 0:
        line = " ".join(rng.choices(words, k=9)) + "\n"
        out.append(line)
        size -= len(line)
    return "".join(out)


def make_tree(top, files):
    """FILES small text files, 20 a directory, three levels."""
    rng = random.Random(1)
    texts = [text(rng, s) for s in (300, 1200, 2500, 6000)]
    for i in range(files):
        d = top / f"m{i // 1000}" / f"p{i // 100 % 10}" / f"q{i // 20 % 5}"
        if i % 20 == 0:
            d.mkdir(parents=True, exist_ok=True)
        (d / f"file{i}.c").write_text(f"/* {i} */\n{texts[i % 4]}")


def make_c(top):
    top.mkdir()
    for i in range(20):
        (top / f"h{i}.h").write_text(
            "#pragma once\n#include <stdio.h>\n#include <stdlib.h>\n" +
            "".join(f"static inline int h{i}_{k}(int a) {{ return a + {k}; }}"
                    "\n" for k in range(40)))
    heads = "".join(f'#include "h{i}.h"\n' for i in range(20))
    for i in range(50):
        (top / f"f{i}.c").write_text(
            heads + "".join(f"int f{i}_{k}(int a) {{ return h{k % 20}_{k % 40}"
                            "(a); }\n" for k in range(60)))
    (top / "f0.c").open("a").write("int main(void) { return 0; }\n")
    (top / "Makefile").write_text(
        "all: prog\nO := $(patsubst %.c,%.o,$(wildcard *.c))\nprog: $(O)\n"
        "\tgcc -o $@ $(O)\n%.o: %.c\n\tgcc -O1 -c -o $@ $<\n")


def make_npm(top, cache):
    """A real tree of packages, fetched once; False where that is refused."""
    if not shutil.which("npm"):
        return False
    top.mkdir()
    (top / "package.json").write_text(
        '{"name":"bench","version":"1.0.0","dependencies":'
        '{"eslint":"8.57.0","express":"4.19.2"}}')
    ok = True
    # Twice: a lock file that does not name addresses needs the second to have
    # all in the cache that `npm ci --offline` asks for.
    for command in ("install", "ci"):
        ok = ok and subprocess.run(
            ["npm", command, "--silent", "--prefer-offline", "--no-audit",
             "--no-fund", "--cache", str(cache)], cwd=top,
            stdin=subprocess.DEVNULL).returncode == 0
    shutil.rmtree(top / "node_modules", ignore_errors=True)
    if not ok:
        shutil.rmtree(top)
    return ok


def make_content(top, files, scratch, wants_npm):
    """The content every system starts with, and what the commands need."""
    repo = top / "repo"
    make_tree(repo / "src", files)
    make_c(top / "c")
    npm = wants_npm and make_npm(top / "npm", scratch / "npm-cache")
    archive = scratch / "tree.tar"
    subprocess.run(["tar", "-C", repo / "src", "-cf", archive, "."],
                   check=True)
    git = ["git", "-C", str(repo), "-c", "user.name=b", "-c", "user.email=b",
           "-c", "gc.auto=0"]
    for args in (["init", "-q"], ["add", "."], ["commit", "-q", "-m", "b"]):
        subprocess.run([*git, *args], check=True)
    env = dict(os.environ, ARCHIVE=str(archive),
               NPM_CACHE=str(scratch / "npm-cache"), LC_ALL="C")
    return npm, env

