"""Playing the workloads on the systems: ours and the disk for several rounds,
then one round of the peers beside the disk, within the run's time."""
import os
import select
import signal
import statistics
import subprocess
import sys
import time

OWN_LIMIT = 120	# seconds: it hangs
PEER_LIMIT = 12	# until a peer was late once at this delay
LATE_LIMIT = 4	# from then on


class Budget:
    """The run's time: what does not fit is left out and said."""

    def __init__(self, minutes):
        self.start, self.minutes, self.end = time.monotonic(), minutes, 0

    def begin(self):
        """Preparing (packages from the network) is not counted."""
        self.end = time.monotonic() + self.minutes * 60

    def left(self):
        return self.end - time.monotonic()

    def say(self, text):
        print(f"[{time.monotonic() - self.start:5.0f} s] {text}",
              file=sys.stderr, flush=True)


def shell(command, where, env, limit):
    """Seconds, or None when it failed or took longer than LIMIT."""
    if not command:
        return 0.0
    begin = time.monotonic()
    child = subprocess.Popen(["sh", "-ec", command], cwd=where, env=env,
                             stdin=subprocess.DEVNULL, process_group=0,
                             stdout=subprocess.DEVNULL,
                             stderr=subprocess.DEVNULL)
    # Not wait(limit), which looks every 50 ms only.
    fd = os.pidfd_open(child.pid)
    in_time = select.select([fd], [], [], limit)[0]
    seconds = time.monotonic() - begin
    os.close(fd)
    if not in_time:
        os.killpg(child.pid, signal.SIGKILL)
    return seconds if child.wait() == 0 and in_time else None


def median(cells):
    good = [c for c in cells if isinstance(c, float)]
    return statistics.median(good) if good else None


def shown(seconds):
    return f"{seconds:.3f}" if isinstance(seconds, float) else seconds


class Player:
    def __init__(self, todo, env, budget, result):
        self.todo, self.env, self.budget = todo, env, budget
        self.result, self.cells = result, result["cells"]
        self.late = set()	# systems that exceeded their limit once

    def cell(self, workload, system):
        return self.cells.setdefault(workload, {}).setdefault(system.name, [])

    def time_one(self, workload, system, limit):
        """Seconds or None. For ours also how long it takes until the sandbox
        has what was done, in a row of its own."""
        try:
            if shell(workload.before, system.work, self.env, limit) is None:
                return None
            system.settle()
            seconds = shell(workload.command, system.work, self.env, limit)
            if workload.sent and seconds is not None:
                begin = time.monotonic()
                if system.settle():
                    self.cell(workload.sent, system).append(
                        seconds + time.monotonic() - begin)
            return seconds
        finally:
            shell(workload.after, system.work, self.env, limit)

    def play(self, all_systems, time_of):
        """One round: each workload on each system. False: time is over."""
        for s in all_systems:
            s.mount()
        try:
            for w in self.todo:
                if self.budget.left() < 0:
                    return False
                for s in all_systems:
                    self.cell(w.name, s).append(time_of(w, s))
                self.budget.say(f"{w.name}: " + ", ".join(
                    f"{s.name} {shown(self.cell(w.name, s)[-1])}"
                    for s in all_systems))
        finally:
            for s in all_systems:
                s.umount()
        return True

    def time_own(self, workload, system):
        seconds = self.time_one(workload, system, OWN_LIMIT)
        return "failed" if seconds is None else seconds

    def play_own(self, own, rounds, share):
        """Up to ROUNDS, as many as fit into SHARE of the time left."""
        until = time.monotonic() + self.budget.left() * share
        for n in range(rounds if own else 0):
            begin = time.monotonic()
            self.budget.say(f"round {n + 1} of {rounds}")
            whole = self.play(own, self.time_own)
            self.result["rounds"] += 1
            took = time.monotonic() - begin
            if not whole or (n + 1 < rounds and
                             time.monotonic() + took > until):
                self.result["notes"].append(
                    f"{n + 1} of {rounds} rounds fitted into the time")
                break

    # --- the peers ----------------------------------------------------------

    def refusal(self, workload, peer):
        """Why a workload is not tried, or None: it has no chance where it, or
        what it builds upon, was late."""
        for other in (f"{peer.program} 0 ms", peer.name):
            for name in (workload.name, workload.builds_on):
                if name == workload.name and other == peer.name:
                    continue
                got = self.cells.get(name, {}).get(other, [])
                if got and isinstance(got[-1], str):
                    return "not tried"
        return None

    def time_peer(self, workload, system):
        if not hasattr(system, "program"):
            return self.time_own(workload, system)
        refusal = self.refusal(workload, system)
        if refusal or self.budget.left() < 0:
            return refusal or "no time"
        native = median(self.cells[workload.name].get("native", [])) or 0
        limit = max(LATE_LIMIT if system.name in self.late else PEER_LIMIT,
                    3 * native)
        begin = time.monotonic()
        seconds = self.time_one(workload, system, limit)
        if seconds is not None:
            return seconds
        if time.monotonic() - begin < limit:
            return "failed"
        self.late.add(system.name)
        return f"> {limit:.0f} s"

    def play_peers(self, native, peers):
        if not peers:
            return
        self.budget.say("the peers, one round")
        if not self.play([*native, *peers], self.time_peer):
            self.result["notes"].append(
                "the peers' round was cut by the run's time")
        if self.late:
            self.result["notes"].append(
                f"a peer has {PEER_LIMIT} s for one thing, or three times the "
                f"disk's; who needed more has {LATE_LIMIT} s from then on and "
                "is not tried with what builds on it or with the same at a "
                "longer delay: " + ", ".join(sorted(self.late)))
