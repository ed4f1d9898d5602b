"""The main job as a user who is not root: of modes and permissions root sees
nothing."""
import os
import pathlib
import shutil
import stat
import subprocess
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


WORK = """
cd "$1"
echo new >new && chmod 640 new && ln new hard && ln -s new soft
mkdir -m 700 d && echo 1 >d/1 && mv d e && mv e/1 e/2
! echo x 2>/dev/null >fixed
chmod u+w fixed && echo more >>fixed && chmod 444 fixed
chmod 000 secret && ! cat secret 2>/dev/null && chmod 600 secret
! chown 0 new 2>/dev/null
rm run.sh && printf '#!/bin/sh\\nexit 3\\n' >run.sh && chmod +x run.sh
./run.sh || [ $? = 3 ]
git init -q repo && cd repo && git add . && git -c user.name=u -c user.email=u \
	commit -q --allow-empty -m first && git fsck 2>/dev/null
"""


def test_mounted(person):
    if not os.stat("/dev/fuse").st_mode & stat.S_IWOTH:
        pytest.skip("/dev/fuse is closed to other users")
    person.mount()
    done = subprocess.run(["sh", "-ec", WORK, "work", person.mnt], user=USER,
                          group=USER, extra_groups=[], env=person.env,
                          capture_output=True, text=True)
    assert done.returncode == 0, done
    person.run("exec", "box", "--", "sh", "-c", "echo built >built; "
               "chmod 700 built", check=0)
    person.umount(check=3)	# the repository's hooks are held
    assert (person.local / "built").read_text() == "built\n"
    for name in ("new", "hard", "e/2", "fixed", "run.sh", "soft", "secret"):
        here, there = person.local / name, person.remote / name
        assert here.lstat().st_mode == there.lstat().st_mode
        assert here.read_bytes() == there.read_bytes()
        assert here.lstat().st_uid == USER
    assert (person.local / "repo" / ".git" / "HEAD").exists()
