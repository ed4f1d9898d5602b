"""What a result is worth nothing without: machine, versions, date."""
import datetime
import os
import pathlib
import platform
import subprocess


def first_line(*argv):
    try:
        done = subprocess.run([str(a) for a in argv], capture_output=True,
                              text=True, timeout=20)
        return (done.stdout or done.stderr).strip().split("\n")[0]
    except (OSError, subprocess.TimeoutExpired):
        return "not there"


def cpu():
    for line in pathlib.Path("/proc/cpuinfo").read_text().split("\n"):
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.machine()


def file_system(path):
    done = subprocess.run(["stat", "-f", "-c", "%T", str(path)],
                          capture_output=True, text=True)
    return done.stdout.strip()


def collect(program, top):
    return {
        "date": datetime.date.today().isoformat(),
        "machine": {
            "cpu": cpu(), "cpus": os.cpu_count(),
            "memory_gib": round(os.sysconf("SC_PAGE_SIZE") *
                                os.sysconf("SC_PHYS_PAGES") / 2**30),
            "kernel": platform.release(), "file_system": file_system(top),
            "load": round(os.getloadavg()[0], 1)},
        "versions": {
            "sandmount": first_line(program, "--version"),
            "libfuse": first_line("fusermount3", "--version"),
            "sshfs": first_line("sshfs", "--version"),
            "rclone": first_line("rclone", "version"),
            "git": first_line("git", "--version")}}
