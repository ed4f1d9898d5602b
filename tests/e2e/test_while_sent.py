"""Files that change, shrink or vanish while their batch is on its way."""
import json
import os
import sys

from conftest import tree, wait_for, write

# Passes everything on, its input slowly: 8 MiB take about two seconds.
SLOW = """
import os, subprocess, sys, time
child = subprocess.Popen(sys.argv[1:], stdin=subprocess.PIPE)
try:
	while chunk := os.read(0, 65536):
		child.stdin.write(chunk)
		child.stdin.flush()
		time.sleep(0.015 if len(chunk) > 10000 else 0)
	child.stdin.close()
except BrokenPipeError:
	pass
sys.exit(child.wait())
"""


def test_changed_and_gone_while_sent(world):
    write(world.top / "slow.py", SLOW)
    write(world.top / "config" / "sandmount" / "config.json", json.dumps(
        {"commands": {"slow": [sys.executable, str(world.top / "slow.py")]}}))
    write(world.local / "old", "old\n")
    world.run("mount", "--name", "box", "--local", world.local, "--poll",
              "3600", f"command:slow:{world.remote}", world.mnt, check=0)
    for name in ("a-changes", "b-shrinks", "c-goes", "d-moves", "e-stays"):
        write(world.mnt / name, os.urandom(2 << 20))
    write(world.mnt / "old", "new\n")
    wait_for(lambda: any(world.remote.glob(
        ".sandmount/.session-*/stage/t/*/a-changes")))
    with open(world.mnt / "a-changes", "ab") as f:
        f.write(b"more")
    os.truncate(world.mnt / "b-shrinks", 5)
    (world.mnt / "c-goes").unlink()
    (world.mnt / "d-moves").rename(world.mnt / "moved")
    # Nothing half is ever in place there.
    assert not (world.remote / "a-changes").exists()
    world.run("flush", "box", check=0)
    assert tree(world.remote) == tree(world.mnt)
    assert (world.remote / "a-changes").read_bytes()[-4:] == b"more"
    assert not (world.remote / "c-goes").exists()
    world.umount()
    assert tree(world.local) == tree(world.remote)
