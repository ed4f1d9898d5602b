#!/usr/bin/python3
"""A bad line to the sandbox: unsteady.py DIR COMMAND... runs the command as it
is, unless DIR/seed exists. Then the seed and the number of the call (counted in
DIR/calls) choose what goes wrong with it; DIR/log says what did.
"""
import fcntl
import os
import random
import subprocess
import sys
import time

# How often, and what.
FAULTS = [(14, "none"), (3, "late"), (2, "slow answer"), (2, "cut before"),
          (2, "cut input"), (2, "lost answer"), (2, "cut answer"),
          (2, "short answer"), (1, "answered twice"), (2, "done twice")]


def next_call(top):
    with open(os.path.join(top, "calls"), "a+") as f:
        fcntl.flock(f, fcntl.LOCK_EX)
        f.seek(0)
        n = int(f.read() or 0) + 1
        f.truncate(0)
        f.write(str(n))
        return n


def choose(top):
    try:
        with open(os.path.join(top, "seed")) as f:
            seed = f.read().strip()
    except FileNotFoundError:
        return None, None
    n = next_call(top)
    rng = random.Random(f"{seed} {n}")
    weights = [w for w, _ in FAULTS]
    fault = rng.choices([name for _, name in FAULTS], weights)[0]
    with open(os.path.join(top, "log"), "a") as f:
        f.write(f"{n} {fault}\n")
    return fault, rng


def run(words, data):
    done = subprocess.run(words, input=data, stdout=subprocess.PIPE)
    return done.stdout, done.returncode


def say(data):
    try:
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
    except BrokenPipeError:
        os._exit(1)


def main():
    top, words = sys.argv[1], sys.argv[2:]
    fault, rng = choose(top)
    if fault is None or fault == "none":
        os.execvp(words[0], words)
    if fault == "late":
        time.sleep(rng.uniform(0.02, 0.3))
        os.execvp(words[0], words)
    if fault == "cut before":
        return 255
    data = sys.stdin.buffer.read()
    if fault == "cut input":
        run(words, data[:rng.randrange(len(data) + 1)])
        return 255
    answer, code = run(words, data)
    if fault == "done twice":
        answer, code = run(words, data)
    at = rng.randrange(len(answer) + 1)
    if fault == "slow answer":
        say(answer[:at])
        time.sleep(rng.uniform(0.02, 0.3))
        say(answer[at:])
    elif fault == "answered twice":
        say(answer + answer)
    elif fault == "done twice":
        say(answer)
    else:
        say(b"" if fault == "lost answer" else answer[:at])
    return code if fault not in ("lost answer", "cut answer") else 255


if __name__ == "__main__":
    sys.exit(main())
