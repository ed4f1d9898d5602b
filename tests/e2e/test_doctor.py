"""`doctor`: what it finds and the command that mends it."""
import json
import os
import resource
import shutil
import subprocess

from conftest import SANDMOUNT, write


def doctor(world, *args, check=0):
    return {f["check"] + ("+" if f["level"] == "note" else ""): f
            for f in world.run("doctor", "--json", *args, check=check).json}


def command(world, name, script):
    """A sandbox that is reached through a script of ours."""
    write(world.top / name, "#!/bin/sh\n" + script, 0o755)
    write(world.top / "config" / "sandmount" / "config.json",
          json.dumps({"commands": {name: [str(world.top / name)]}}))
    return f"command:{name}:{world.remote}"


def test_a_good_sandbox(world):
    found = doctor(world, world.spec)
    assert found["sandbox"]["level"] == "ok"
    for check in ("its tools", "workspace", "its clock", "its lifetime"):
        assert found[check]["level"] == "ok", found[check]
    assert found["its disk"]["text"].endswith("free")
    assert not list(world.remote.iterdir())     # it changed nothing
    text = world.run("doctor", world.spec, check=0).out
    assert "ok       sandbox" in text and "\x1b" not in text


def test_missing_tools_are_named(world):
    tools = world.top / "tools"
    tools.mkdir()
    for name in ("sh", "cat", "mkdir", "rm", "mv", "ln", "chmod", "date",
                 "uname", "id", "df", "sed", "tail", "head", "printf"):
        if shutil.which(name):
            os.symlink(shutil.which(name), tools / name)
    spec = command(world, "bare", f'PATH={tools} exec "$@"\n')
    found = doctor(world, spec, check=1)
    missing = found["its tools"]
    assert missing["level"] == "failed"
    for name in ("tar", "find", "xargs", "sort", "grep", "cmp"):
        assert name in missing["text"].replace(",", " ").split()
    assert "apt-get install" in missing["mend"]


def test_no_answer(world):
    spec = command(world, "dead", "echo gone >&2; exit 1\n")
    found = doctor(world, spec, check=1)
    assert found["sandbox"]["level"] == "failed"
    assert "by hand" in found["sandbox"]["mend"]


def test_wrong_clock_and_hostile_words(world):
    tools = world.top / "tools"
    write(tools / "date", "#!/bin/sh\necho 86400\n", 0o755)
    write(tools / "uname", "#!/bin/sh\nprintf 'Evil\\033[2J\\n'\n", 0o755)
    spec = command(world, "old", f'PATH={tools}:$PATH exec "$@"\n')
    found = doctor(world, spec)
    assert found["its clock"]["level"] == "warning"
    assert "behind yours" in found["its clock"]["text"]
    assert "Evil\\x1B[2J" in found["its tools"]["text"]


def test_unwritable_workspace(world):
    write(world.remote / "file", "in the way\n")
    found = doctor(world, f"local:{world.remote}/file/work", check=1)
    assert found["workspace"]["level"] == "failed"
    assert "is no directory" in found["workspace"]["text"]
    if os.geteuid() != 0:
        world.remote.chmod(0o500)
        found = doctor(world, world.spec, check=1)
        assert found["workspace"]["level"] == "failed"


def test_few_open_files(world):
    done = subprocess.run(
        [SANDMOUNT, "doctor", "--json"], env=world.env, capture_output=True,
        text=True, preexec_fn=lambda: resource.setrlimit(
            resource.RLIMIT_NOFILE, (128, 128)))
    found = {f["check"]: f for f in json.loads(done.stdout)}
    assert done.returncode == 1
    assert found["open files"]["level"] == "failed"
    assert "ulimit -n" in found["open files"]["mend"]


def test_usage(world):
    assert world.run("doctor", "a", "b", check=2).err.startswith("sandmount: ")
    found = doctor(world, "nowhere:x:/y", check=1)
    assert found["sandbox"]["level"] == "failed"
