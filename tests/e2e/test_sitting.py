"""The README's "One sitting", line by line as a newcomer types it, with a
directory, a host behind ssh and a container as the sandbox."""
import os
import pathlib
import re
import subprocess

import pytest

import sandboxes
from conftest import SANDMOUNT

README = pathlib.Path(__file__).resolve().parents[2] / "README.md"


def lines():
    """The commands of the block behind the marker, comments cut off."""
    text = README.read_text().split("<!-- test_sitting.py runs this -->")[1]
    block = re.match(r"\s*\n((?:    .*\n|\n)+)", text).group(1)
    found = [re.sub(r"  +# .*$", "", line[4:]).strip()
             for line in block.splitlines()]
    return [line for line in found if line]


def sit(world, spec):
    """[(line, exit code, everything it printed)]"""
    bin_ = world.top / "bin"
    bin_.mkdir()
    os.symlink(os.path.abspath(SANDMOUNT), bin_ / "sandmount")
    env = dict(world.env, PATH=f"{bin_}:{world.env['PATH']}", PAGER="cat")
    script = "cd\n"
    typed = [line.replace("local:/tmp/box", spec).replace(
        "/tmp/box", str(world.top / "box")) for line in lines()]
    for line in typed:
        script += f"{line}\nprintf '\\n@@ %d\\n' $?\n"
    world.mnt = world.home / "sandboxes" / "box"
    done = subprocess.run(["bash", "-c", script], env=env, text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          stdin=subprocess.DEVNULL, timeout=600)
    parts = re.split(r"\n@@ (\d+)\n", done.stdout)
    assert len(parts) == 2 * len(typed) + 1, done.stdout
    return [(line, int(parts[2 * i + 1]), parts[2 * i])
            for i, line in enumerate(typed)]


@pytest.mark.parametrize("provider", ["local", "ssh", "docker"])
def test_sitting(world, provider):
    world.remote = world.top / "box"
    world.remote.mkdir()
    box = sandboxes.PROVIDERS[provider](world)
    try:
        transcript = sit(world, box.spec)
        text = "\n".join(f"$ {line}\n{out}[{code}]"
                         for line, code, out in transcript)
        said = {line: (code, out) for line, code, out in transcript}

        def find(word):
            return next(v for line, v in said.items() if word in line)

        for line, code, out in transcript:
            conflict = line.startswith(("sandmount diff", "sandmount restore"))
            want = 3 if conflict and "--undo" not in line else 0
            assert code == want, text
        assert "is mounted at" in find("sandmount mount")[1], text
        assert re.search(r"^1 new\.txt$", find("sandmount exec")[1], re.M), \
            text
        assert "box: mounted" in find("sandmount status")[1], text
        assert "1 conflict" in find("sandmount restore box")[1], text
        assert "+changed in the mount" in find("sandmount diff")[1], text
        assert "changed in the mount" in find("cat ")[1], text
        assert "came home" in find("sandmount umount")[1], text
        assert "undone" in find("--undo")[1], text
        project = world.home / "project"
        assert (project / "notes.txt").read_text() == "changed in the mount\n"
        assert (project / "new.txt").read_text() == "written in the mount\n"
        assert not list(project.glob("*.conflict"))
    finally:
        world.clean()
        box.close()
