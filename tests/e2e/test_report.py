"""What a person is told: reports, diffs, status, log, the line at the end of
an unmount that nobody waited for."""
import os
import re
import shutil
import stat
import subprocess

from conftest import SANDMOUNT, tree, write
from terminal import Terminal

TEXT = "".join(f"line {i}\n" for i in range(12))


def changes(world):
    """Local directory, prepared sandbox, and work on both sides."""
    write(world.local / "src" / "a.c", "a\n")
    write(world.local / "both.txt", TEXT)
    write(world.local / "clash.txt", "base\n")
    write(world.local / "old.txt", "old\n")
    write(world.local / ".envrc", "export A=1\n")
    write(world.local / "tool", "#!/bin/sh\n")
    os.symlink("src", world.local / "link")
    world.prepare()
    write(world.remote / "src" / "a.c", "a, changed\n")
    write(world.remote / "src" / "new.c", "new\n")
    write(world.remote / "both.txt", TEXT.replace("line 1\n", "theirs 1\n"))
    write(world.remote / "clash.txt", "theirs\n")
    write(world.remote / ".envrc", "rm -rf /\n")
    write(world.remote / b"odd\tna\x1b[31mme".decode(), "odd\n")
    os.chmod(world.remote / "tool", 0o755)
    os.unlink(world.remote / "old.txt")
    os.unlink(world.remote / "link")
    os.symlink("both.txt", world.remote / "link")
    for i in range(30):
        write(world.remote / "many" / f"{i}.txt", f"{i}\n")
    write(world.local / "both.txt", TEXT.replace("line 9\n", "mine 9\n"))
    write(world.local / "clash.txt", "mine\n")


def test_restore_report(world):
    changes(world)
    r = world.run("restore", "box", check=3)
    assert "\x1b" not in r.out
    lines = r.out.splitlines()
    assert re.search(r"^  many/ +31 new$", r.out, re.M)
    assert re.search(r"^    new\.c +new$", r.out, re.M)
    assert re.search(r"^    a\.c +changed$", r.out, re.M)
    assert re.search(r"^  old\.txt +deleted$", r.out, re.M)
    assert re.search(r"^  both\.txt +merged$", r.out, re.M)
    assert re.search(r"^  tool +mode changed$", r.out, re.M)
    assert re.search(r"^  odd\\tna\\x1B\[31mme +new$", r.out, re.M)
    assert "1 conflict: your version stays in place, the sandbox's is " \
        "beside it" in lines
    at = lines.index("  clash.txt  (both sides changed the same lines)")
    assert lines[at + 1].split()[:2] == ["yours", "clash.txt"]
    assert lines[at + 2].split()[:2] == ["sandbox's", "clash.txt.box.conflict"]
    assert "rm clash.txt.box.conflict" in lines[at + 1]
    assert "mv clash.txt.box.conflict clash.txt" in lines[at + 2]
    at = lines.index("  .envrc")
    assert "could run on your machine: direnv runs it" in lines[at + 1]
    assert "35 files (32 new, 2 changed, 1 mode only) and 1 directory came " \
        "home, 1 file deleted, 1 file merged, 1 conflict, 1 path held back." \
        in lines
    assert "sandmount restore box --undo" in r.out

    undo = world.run("restore", "box", "--undo", check=0)
    assert "38 files and 1 directory undone." in undo.out
    assert re.search(r"^  old\.txt +undone$", undo.out, re.M)
    assert "--undo" not in undo.out


def test_nothing_to_bring_home(world):
    write(world.local / "a", "a\n")
    world.prepare()
    assert world.run("restore", "box", check=0).out == \
        "Nothing to bring home.\n"


def test_dry_run_says_would(world):
    changes(world)
    before = tree(world.local)
    out = world.run("restore", "--dry-run", "box", check=3).out
    assert "would come home" in out and "1 file would be deleted" in out
    assert "--undo" not in out
    assert tree(world.local) == before


def test_diff_is_what_git_applies(world):
    """`sandmount diff | git apply` in a copy makes what a restore makes."""
    changes(world)
    copy = world.top / "copy"
    shutil.copytree(world.local, copy, symlinks=True)
    diff = world.run("diff", "box", check=3).out
    assert "diff --git a/src/a.c b/src/a.c\n" in diff
    assert "deleted file mode 100644\n" in diff
    assert "old mode 100644\nnew mode 100755\n" in diff
    assert '"b/odd\\tna\\033[31mme"' in diff
    assert "\x1b" not in diff
    subprocess.run(["git", "apply", "--whitespace=nowarn", "-"], input=diff,
                   text=True, check=True, cwd=copy)
    world.restore(check=3)
    assert tree(copy) == tree(world.local)


def test_diff_colours_and_pager(world):
    changes(world)
    plain = world.run("diff", "box", check=3).out
    pager = world.top / "pager"
    seen = world.top / "paged"
    write(pager, f"#!/bin/sh\ncat >{seen}\n", 0o755)
    env = dict(world.env, PAGER=str(pager))
    env.pop("NO_COLOR", None)
    with Terminal([SANDMOUNT, "diff", "box"], env=env) as t:
        assert t.wait() == 3
    coloured = seen.read_text()
    assert "\x1b[32m+theirs" in coloured and "\x1b[31m-a\x1b[0m" in coloured
    assert re.sub(r"\x1b\[[0-9;]*m", "", coloured) == plain
    env["NO_COLOR"] = "1"
    with Terminal([SANDMOUNT, "diff", "box"], env=env) as t:
        assert t.wait() == 3
    assert seen.read_text() == plain
    env["PAGER"] = ""
    with Terminal([SANDMOUNT, "diff", "box"], env=env) as t:
        assert t.wait() == 3
        assert "diff --git a/src/a.c b/src/a.c" in t.text


def test_status_and_log_after_a_restore(world):
    changes(world)
    world.restore(check=3)
    status = world.run("status", "box", check=0).out
    assert "box: restored\n" in status
    assert re.search(r"last restore +\d+ s ago, exit code 3: 35 files",
                     status)
    assert "1 conflict and 1 held path; `sandmount log --report box`" in status
    log = world.run("log", "box", check=0).out
    assert "restore: conflict: clash.txt, the sandbox's is " \
        "clash.txt.box.conflict" in log
    assert "restore: held back: .envrc: could run on your machine" in log
    assert "\x1b" not in log
    report = world.run("log", "--report", "box", check=0).out
    assert "clash.txt.box.conflict" in report


def test_watch_on_a_terminal(world):
    write(world.local / "a", "a\n")
    world.mount()
    with Terminal([SANDMOUNT, "status", "--watch", "box"],
                  env=world.env) as t:
        t.wait_for("box: mounted")
        write(world.mnt / "b", "b\n")
        world.run("flush", "box", check=0)
        t.wait_for(r"sent +2 files, 4 bytes in 2 batches")
        t.wait_for(r"recent[\s\S]*\d\d:\d\d:\d\d  info mounted at")
        t.type("q")
        assert t.wait() == 0
        assert t.raw.endswith(b"\x1b[?25h\x1b[?1049l")
    world.umount()


def test_watch_in_a_pipe(world):
    write(world.local / "a", "a\n")
    world.prepare()
    p = subprocess.Popen([SANDMOUNT, "status", "--watch", "--json", "box"],
                         env=world.env, stdout=subprocess.PIPE, text=True)
    assert '"state":"prepared"' in p.stdout.readline().replace(" ", "")
    assert '"state":"prepared"' in p.stdout.readline().replace(" ", "")
    p.terminate()
    assert p.wait(30) == 0
    p.stdout.close()


def mount_on_terminal(world, env=None):
    t = Terminal([SANDMOUNT, "mount", "--name", "box", "--local", world.local,
                  world.spec, world.mnt], env=env or world.env)
    t.wait_for("is mounted at")
    return t


def test_line_on_the_terminal_that_mounted(world):
    """The mount command has ended; the terminal is still there."""
    write(world.local / "a", "a\n")
    with mount_on_terminal(world) as t:
        assert t.wait() == 0
        # A shell would hold the terminal; here the test itself does.
        name = t.name
        hold = os.open(name, os.O_RDWR | os.O_NOCTTY)
        try:
            write(world.mnt / "b", "b\n")
            subprocess.run(["fusermount3", "-u", str(world.mnt)], check=True)
            t.wait_for("sandmount: box was unmounted: "
                       r"1 file \(1 new\) came home")
        finally:
            os.close(hold)
    world.wait_state("restored")


def test_no_line_on_another_terminal_with_the_same_number(world):
    write(world.local / "a", "a\n")
    with mount_on_terminal(world) as t:
        assert t.wait() == 0
        name = t.name
    with Terminal(["sleep", "600"], env=world.env) as other:
        same = other.name == name
        write(world.mnt / "b", "b\n")
        subprocess.run(["fusermount3", "-u", str(world.mnt)], check=True)
        world.wait_state("restored")
        log = world.session() / "log"
        end = "ended with exit code 0"
        for _ in range(600):
            if end in log.read_text():
                break
            other.read_some(0.1)
        assert end in log.read_text()
        other.read_some(0.5)
        assert other.text == "", same


def test_no_line_when_umount_waited(world):
    write(world.local / "a", "a\n")
    with mount_on_terminal(world) as t:
        assert t.wait() == 0
        hold = os.open(t.name, os.O_RDWR | os.O_NOCTTY)
        write(world.mnt / "b", "b\n")
        world.umount()
        assert "ended with exit code 0" in \
            (world.session() / "log").read_text()
        t.read_some(0.5)
        os.close(hold)
        assert "was unmounted" not in t.text


def test_notification(world):
    """notify-send is asked when there is one and a desktop."""
    said = world.top / "said"
    fake = world.top / "bin" / "notify-send"
    write(fake, f'#!/bin/sh\nprintf "%s|" "$@" >{said}.tmp\n'
          f'mv {said}.tmp {said}\n', 0o755)
    env = dict(world.env, PATH=f"{fake.parent}:{world.env['PATH']}",
               DISPLAY=":99")
    write(world.local / "a", "a\n")
    subprocess.run([SANDMOUNT, "mount", "--name", "box", "--local",
                    str(world.local), world.spec, str(world.mnt)], env=env,
                   check=True, capture_output=True)
    write(world.mnt / "<b>&", "b\n")
    write(world.mnt / ".envrc", "evil\n")
    subprocess.run(["fusermount3", "-u", str(world.mnt)], check=True)
    world.wait_state("restored")
    for _ in range(600):
        if said.exists():
            break
        subprocess.run(["sleep", "0.1"])
    words = said.read_text().split("|")
    assert "--urgency=critical" in words and "box" in words
    assert words[-2].startswith("1 file (1 new) came home")
    assert stat.S_IMODE(fake.stat().st_mode) == 0o755
