"""Whole jobs against what whole-tree tools do, `tar c | tar x` of the same tree
in the same run: the first preparation, one more when nothing changed, and one
changed file that comes home."""
import json
import os
import random
import statistics
import subprocess
import time

import systems
import workloads

FILES, ROUNDS = 20000, 3
BYTES = 250 << 20


def make_tree(top):
    text = workloads.text(random.Random(2), BYTES // FILES)
    for i in range(FILES):
        d = top / f"m{i // 1000}" / f"p{i // 100 % 10}"
        if i % 100 == 0:
            d.mkdir(parents=True, exist_ok=True)
        (d / f"file{i}.txt").write_text(f"{i}\n{text}")


def run(argv, env):
    """Seconds, the largest resident memory of the program or what it started,
    in bytes, and its JSON."""
    begin = time.monotonic()
    child = subprocess.Popen([str(a) for a in argv], env=env, text=True,
                             stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
    out = child.stdout.read()
    _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        raise RuntimeError(f"{argv[1]} ended with {child.returncode}")
    return time.monotonic() - begin, usage.ru_maxrss * 1024, json.loads(out)


def tar(source, target):
    """The same tree through a pipe, as whole-tree tools do it."""
    target.mkdir()
    begin = time.monotonic()
    subprocess.run(["sh", "-ec", 'tar -C "$1" -cf - . | tar -C "$2" -xf -',
                    "sh", source, target], check=True)
    seconds = time.monotonic() - begin
    systems.run("rm", "-rf", target)
    return seconds


def prepare(ours):
    seconds, memory, answer = run(
        [ours.program, "prepare", "--json", "--name", "bench", "--local",
         ours.local, f"command:there:{ours.box}"], ours.env)
    return seconds, memory, answer["sent"]["wire_bytes"]


def restore(ours, number):
    name = f"m{number}/p0/file{number * 1000}.txt"
    (ours.box / name).write_text("changed in the sandbox\n")
    seconds, memory, answer = run(
        [ours.program, "restore", "--json", "bench"], ours.env)
    assert (ours.local / name).read_text() == "changed in the sandbox\n"
    return seconds, memory, answer["bytes_fetched"]


def row(name, runs, whole):
    return {"job": name, "seconds": statistics.median(r[0] for r in runs),
            "tar_seconds": statistics.median(whole),
            "memory_bytes": max(r[1] for r in runs),
            "bytes": max(r[2] for r in runs)}


def measure(top, program, budget, rows):
    """Adds to ROWS one of each job."""
    where = top / "jobs"
    where.mkdir()
    budget.say(f"jobs: making {FILES} files, {BYTES >> 20} MiB")
    ours = systems.Ours(where, None, program, 0)
    make_tree(ours.local)
    whole = [tar(ours.local, where / "copy")]
    first = [prepare(ours)]
    again, home = [], []
    for i in range(ROUNDS):
        again.append(prepare(ours))
        whole.append(tar(ours.local, where / "copy"))
        home.append(restore(ours, i))
    rows += [row("prepare, first", first, whole),
             row("prepare, nothing changed", again, whole),
             row("restore, one file changed", home, whole)]
    for r in rows:
        budget.say(f"{r['job']}: {r['seconds']:.2f} s, tar "
                   f"{r['tar_seconds']:.2f} s, {r['bytes']} bytes moved, "
                   f"{r['memory_bytes'] >> 20} MiB")
    systems.run("rm", "-rf", where)
