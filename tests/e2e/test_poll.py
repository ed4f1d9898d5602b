"""Looking for the sandbox's changes: what a look costs, how soon it shows, and
a sandbox that refuses, falls silent, is replaced or emptied."""
import functools
import os

from conftest import remove, tree, wait_for, write
from test_userlands import configure

LIMIT = 90
until = functools.partial(wait_for, seconds=LIMIT)
FILES = int(os.environ.get("SANDMOUNT_POLL_FILES", "1000"))

# Runs the real sh and notes, a line a call: its first script word, the bytes of
# its arguments, of its input and of its output.
COUNTING = '''#!/usr/bin/python3
import os, subprocess, sys
log, argv = "%s", sys.argv[1:]
p = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
data = sys.stdin.buffer.read()
out, _ = p.communicate(data)
with open(log, "a") as f:
    f.write(f"{sum(map(len, argv))} {len(data)} {len(out)}\\n")
sys.stdout.buffer.write(out)
sys.exit(p.returncode)
'''


def mount(world, spec=None, *options):
    world.run("mount", "--name", "box", "--local", world.local, *options,
              spec or world.spec, world.mnt, check=0)


def last_error(world):
    return world.status()["last_error"] or ""


def test_changes_show_by_themselves(world):
    write(world.local / "old", "old\n")
    write(world.local / "gone", "gone\n")
    mount(world, None, "--poll", "1")
    assert (world.mnt / "old").read_text() == "old\n"
    assert not (world.mnt / "new").exists()
    write(world.remote / "old", "by the agent\n")
    write(world.remote / "new" / "file", "new\n")
    remove(world.remote / "gone")
    until(lambda: tree(world.mnt) == tree(world.remote), "nothing came in")
    assert world.status()["unsent"]["files"] == 0
    world.umount()
    assert tree(world.local) == tree(world.remote)


def test_a_look_is_one_short_command(world):
    for i in range(FILES):
        write(world.local / f"d{i % 97}" / f"file-{i}", f"{i}\n")
    log = world.top / "calls"
    write(world.top / "shim", COUNTING % log, 0o755)
    mount(world, configure(world, [str(world.top / "shim")]), "--poll", "0.5")
    world.run("refresh", "box", check=0)
    # Each look from here on is the same command; three of them.
    seen = len(log.read_text().splitlines())
    until(lambda: len(log.read_text().splitlines()) >= seen + 4,
          "it does not look")
    for line in log.read_text().splitlines()[seen + 1:seen + 4]:
        command, sent, got = map(int, line.split())
        assert command + sent + got < 2048, line
    world.umount()


def test_listing_after_the_sandbox_lost_our_files(world):
    """Everything of ours may go but the mark and the last batch's number, which
    say that it is this state of this sandbox; a change still comes in."""
    write(world.local / "a", "a\n")
    mount(world, None, "--poll", "1")
    (ours,) = (world.remote / ".sandmount").glob(".session-*")
    for f in ours.iterdir():
        if f.name not in ("mark", "done"):
            remove(f)
    write(world.remote / "b", "b\n")
    world.run("refresh", "box", check=0)
    assert tree(world.mnt) == tree(world.remote)
    world.umount()


def offline_and_back(world, body):
    stop = world.top / "stop"
    write(world.top / "shim", "#!/bin/bash\n" + body.format(stop), 0o755)
    write(world.local / "a", "a\n")
    mount(world, configure(world, [str(world.top / "shim")]), "--poll", "1")
    write(stop, "")
    world.wait_state("offline", seconds=LIMIT)
    assert (world.mnt / "a").read_text() == "a\n"
    write(world.mnt / "mine", "mine\n")
    write(world.remote / "theirs", "theirs\n")
    remove(stop)
    world.wait_state("mounted", seconds=LIMIT)
    until(lambda: (world.mnt / "theirs").exists(), "their file did not come")
    until(lambda: (world.remote / "mine").exists(), "our file did not go")
    world.umount()


def test_refusing_sandbox(world):
    offline_and_back(world, 'if [ -e {} ]; then echo no >&2; exit 1; fi\n'
                     'exec "$@"\n')


def test_silent_sandbox(world):
    offline_and_back(world, 'while [ -e {} ]; do sleep 0.2; done\n'
                     'exec "$@"\n')


def test_replaced_sandbox_deletes_nothing(world):
    for i in range(3):
        write(world.local / f"f{i}", f"{i}\n")
    mount(world, None, "--poll", "1")
    before = tree(world.mnt)
    os.rename(world.remote, world.top / "away")
    world.remote.mkdir()
    write(world.remote / "other", "another sandbox\n")
    until(lambda: "gone, emptied or another" in last_error(world),
          "it was not noticed")
    assert world.status()["state"] == "offline"
    assert tree(world.mnt) == before
    remove(world.remote)
    os.rename(world.top / "away", world.remote)
    world.wait_state("mounted", seconds=LIMIT)
    world.umount()
    assert tree(world.local) == before


def test_emptied_sandbox_deletes_nothing(world):
    for i in range(3):
        write(world.local / "all" / f"f{i}", f"{i}\n")
    mount(world, None, "--poll", "1")
    before = tree(world.mnt)
    os.rename(world.remote / "all", world.top / "away")
    until(lambda: "was emptied" in last_error(world), "it was not noticed")
    assert world.status()["state"] == "offline"
    r = world.run("refresh", "box")
    assert r.code == 1
    assert "--allow-deletes" in r.err
    assert tree(world.mnt) == before
    world.run("refresh", "--allow-deletes", "box", check=0)
    assert tree(world.mnt) == {}
    world.wait_state("mounted", seconds=LIMIT)
