"""The main job as a user who is not root: of modes and permissions root sees
nothing."""
import os
import pathlib
import shutil
import stat
import tempfile

import pytest

from conftest import SANDMOUNT, World, paths, tree, write

USER = 65534


def give(top):
    """All of it to the user."""
    for d, dirs, files in os.walk(top):
        for name in [".", *dirs, *files]:
            os.chown(os.path.join(d, name), USER, USER, follow_symlinks=False)


@pytest.fixture
def person():
    if os.getuid() != 0:
        pytest.skip("only root can become another user")
    for part in [pathlib.Path(SANDMOUNT), *pathlib.Path(SANDMOUNT).parents]:
        if not part.stat().st_mode & stat.S_IXOTH:
            pytest.skip(f"{part} is closed to other users")
    top = pathlib.Path(tempfile.mkdtemp(prefix="sandmount-user-"))
    w = World(top)
    w.user = USER
    write(w.local / "plain", "plain\n")
    write(w.local / "run.sh", "#!/bin/sh\n", 0o755)
    write(w.local / "fixed", "read only\n", 0o444)
    write(w.local / "secret", "for me alone\n", 0o600)
    write(w.local / "closed" / "in", "in a directory without w\n")
    (w.local / "closed").chmod(0o555)
    os.symlink("plain", w.local / "link")
    give(top)
    yield w
    w.clean()
    shutil.rmtree(top)


def are_equal(person):
    """But for one: in the sandbox the owner may write into a directory."""
    there, here = tree(person.remote), tree(person.local)
    assert there.pop(b"closed")[1] == 0o755 and here.pop(b"closed")[1] == 0o555
    assert there == here


def test_headless(person):
    person.prepare()
    are_equal(person)
    write(person.remote / "plain", "changed\n")
    write(person.remote / "fixed", "changed, too\n", 0o444)
    (person.remote / "secret").unlink()
    give(person.remote)
    report = person.restore().json
    assert sorted(paths(report, "applied")) == ["fixed", "plain"]
    assert paths(report, "deleted") == ["secret"]
    person.restore("--undo")
    assert (person.local / "secret").stat().st_mode & 0o777 == 0o600
    assert (person.local / "plain").read_text() == "plain\n"
    for name in ("plain", "fixed", "secret"):
        assert (person.local / name).stat().st_uid == USER


def test_a_directory_closed_at_home_stays_closed(person):
    person.prepare()
    write(person.remote / "closed" / "more", "more\n")
    write(person.remote / "plain", "changed\n")
    give(person.remote)
    done = person.restore(check=4)
    assert "closed/more" in done.out
    assert paths(done.json, "applied") == ["plain"]
    assert (person.local / "closed").stat().st_mode & 0o777 == 0o555
    (person.local / "closed").chmod(0o755)
    assert paths(person.restore().json, "applied") == ["closed/more"]
    assert (person.local / "closed" / "more").read_text() == "more\n"


def test_what_cannot_be_read_is_left_alone(person):
    """Row 57: no longer readable at home, changed in the sandbox."""
    person.prepare()
    write(person.remote / "plain", "changed\n")
    write(person.remote / "run.sh", "#!/bin/sh\nexit\n", 0o755)
    give(person.remote)
    (person.local / "plain").chmod(0)
    done = person.restore(check=4)
    assert "run.sh" in paths(done.json, "applied")
    assert "plain" not in paths(done.json, "applied")
    assert "plain" in done.out
    assert (person.local / "plain").read_text() == "plain\n"
    # Readable again, the change is still to come home.
    (person.local / "plain").chmod(0o644)
    assert paths(person.restore().json, "applied") == ["plain"]
    assert (person.local / "plain").read_text() == "changed\n"


def test_mounted(person):
    if not os.stat("/dev/fuse").st_mode & stat.S_IWOTH:
        pytest.skip("/dev/fuse is closed to other users")
    person.mount()
    # root sees nothing of it: the user's own processes do.
    person.run("exec", "box", "--", "sh", "-c", "echo built >built; "
               "chmod 700 built", check=0)
    person.umount()
    assert (person.local / "built").read_text() == "built\n"
    are_equal(person)
