"""Bad input: one clear line, the right exit code, nothing changed."""
import os
import signal
import subprocess

import pytest

from conftest import SANDMOUNT, tree, write

SPEC = ('{"transport": "sandbox", "provider": "local", "sandboxId": "x", '
        '"remoteCwd": "/tmp/x", "timeoutMs": 1000}')


def one_line(r):
    lines = r.err.strip().split("\n")
    assert len(lines) == 1 and lines[0].startswith("sandmount: "), r
    return lines[0]


def test_missing_local_directory(world):
    r = world.run("prepare", "--local", world.top / "nope", world.spec, check=1)
    assert "nope" in one_line(r)
    assert not any(world.remote.iterdir())


def test_local_is_a_file(world):
    write(world.top / "file", "x")
    r = world.run("prepare", "--local", world.top / "file", world.spec, check=1)
    assert "not a directory" in one_line(r)


def test_mount_point_not_empty(world):
    write(world.mnt / "x", "x")
    r = world.run("mount", "--local", world.local, world.spec, world.mnt,
                  check=1)
    assert "not empty" in one_line(r)


def test_mounted_twice(world):
    write(world.local / "a", "a")
    world.mount()
    r = world.run("mount", "--name", "other", world.spec, world.mnt, check=1)
    assert "umount" in one_line(r)
    r = world.run("prepare", "--name", "box", "--local", world.local,
                  world.spec, check=1)
    assert "in use" in one_line(r)
    world.umount()


BAD_SPECS = [
    ("{", "JSON"),
    ("[]", "object"),
    ("{}", "transport"),
    (SPEC.replace('"sandbox"', '"other"'), "transport"),
    (SPEC.replace('"local"', '"  "'), "provider"),
    (SPEC.replace('"x"', "7"), "sandboxId"),
    (SPEC.replace('"/tmp/x"', '"relative"'), "remoteCwd"),
    (SPEC.replace("1000", "0"), "timeoutMs"),
    (SPEC.replace("1000", "-5"), "timeoutMs"),
    (SPEC.replace("1000", '"9"'), "timeoutMs"),
    (SPEC.replace("}", ', "apiKey": 7}'), "apiKey"),
    (SPEC.replace("}", ', "sandboxID": "y"}'), "sandboxID"),
    (SPEC.replace("}", ', "provider": "x"}'), "twice"),
]


@pytest.mark.parametrize("text,key", BAD_SPECS,
                         ids=[f"{i}-{k}" for i, (_, k) in
                              enumerate(BAD_SPECS)])
def test_bad_spec(world, text, key):
    write(world.top / "spec.json", text)
    r = world.run("spec", world.top / "spec.json", check=2)
    assert key in one_line(r)


def test_good_spec_hides_the_key(world):
    write(world.top / "s.json", SPEC.replace("}", ', "apiKey": " secret "}'))
    r = world.run("spec", world.top / "s.json", check=0)
    assert "secret" not in r.out
    assert r.json["identity"] == {"transport": "sandbox", "provider": "local",
                                  "sandboxId": "x", "remoteCwd": "/tmp/x"}


def test_spec_match(world):
    write(world.local / "a", "a")
    world.prepare()
    world.run("spec", "--match", "box", world.spec, check=0)
    world.run("spec", "--match", "box", f"local:{world.top}/other", check=1)
    world.run("spec", "--match", "nobody", world.spec, check=1)


def test_unknown_provider(world):
    r = world.run("prepare", "--local", world.local, "nope:x:/y", check=2)
    assert "local" in one_line(r) and "command" in one_line(r)


def test_unknown_things(world):
    for args in (["nope"], ["prepare"], ["mount"], ["prepare", "--nope"],
                 ["restore", "nobody"], ["umount", "nobody"],
                 ["conflicts"], ["doctor", "--nope"],
                 ["prepare", "--on-conflict", "x", world.spec],
                 ["prepare", "--asset", "x", world.spec],
                 ["prepare", "--name", "../x", world.spec]):
        one_line(world.run(*args, check=2))
    one_line(world.run("exec", "x", "--", "true", check=255))
    world.run("status", "nobody", check=1)
    world.run("list", check=0)
    assert world.run("list", "--json", check=0).json == []


def test_help_everywhere(world):
    commands = [line.split()[0] for line in
                world.run("--help", check=0).out.split("\n")
                if line.startswith("  ")]
    assert len(commands) >= 14
    for c in commands:
        if c not in ("exec", "conflicts", "doctor"):
            assert "Usage" in world.run(c, "--help", check=0).out


def test_missing_tools_in_the_sandbox(world):
    tools = world.top / "bin"
    tools.mkdir()
    for name in ("sh", "find", "stat", "xargs", "sort", "mkdir", "rm", "mv",
                 "ln", "cat", "chmod", "sed"):
        os.symlink(f"/usr/bin/{name}" if os.path.exists(f"/usr/bin/{name}")
                   else f"/bin/{name}", tools / name)
    write(world.top / "config" / "sandmount" / "config.json",
          '{"commands": {"poor": ["env", "PATH=%s"], "gone": ["false"],'
          ' "nothing": ["/no/such/program"]}}' % tools)
    write(world.local / "a", "a")
    r = world.run("prepare", "--local", world.local,
                  f"command:poor:{world.remote}", check=1)
    assert "`tar`" in one_line(r)
    r = world.run("prepare", "--local", world.local,
                  f"command:gone:{world.remote}", check=1)
    assert "cannot be reached" in one_line(r)
    r = world.run("prepare", "--local", world.local,
                  f"command:nothing:{world.remote}", check=1)
    assert "/no/such/program" in one_line(r)
    r = world.run("prepare", "--local", world.local,
                  f"command:unknown:{world.remote}", check=2)
    assert "commands" in one_line(r)


@pytest.fixture
def small_disk(world):
    """A file system of 4 MB at top/small."""
    if os.geteuid() != 0:
        pytest.skip("needs root to mount a small file system")
    small = world.top / "small"
    small.mkdir()
    r = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "none",
                        str(small)], capture_output=True)
    if r.returncode:
        pytest.skip("no small file system can be mounted here")
    yield small
    subprocess.run(["umount", "-l", str(small)])


def test_sandbox_disk_full(world, small_disk):
    write(world.local / "big", b"\1" * (8 << 20))
    write(world.local / "small", "s\n")
    r = world.run("prepare", "--name", "box", "--local", world.local,
                  f"local:{small_disk}/ws", check=1)
    assert "space" in one_line(r)
    assert (world.local / "small").read_text() == "s\n"
    subprocess.run(["mount", "-o", "remount,size=64m", str(small_disk)],
                   check=True)
    world.run("prepare", "--name", "box", "--local", world.local,
              f"local:{small_disk}/ws", check=0)
    assert (small_disk / "ws" / "big").stat().st_size == 8 << 20


def test_state_disk_full(world, small_disk):
    write(world.local / "big", b"\1" * (8 << 20))
    env = {"XDG_STATE_HOME": str(small_disk)}
    r = world.run("prepare", "--name", "box", "--local", world.local,
                  world.spec, env=env, check=1)
    assert "space" in one_line(r)
    assert tree(world.remote) == {}


def test_local_disk_full(world, small_disk):
    local = small_disk / "local"
    write(local / "a", "a\n")
    write(local / "b", "b\n")
    world.run("prepare", "--name", "box", "--local", local, world.spec,
              check=0)
    write(world.remote / "a", b"\2" * (8 << 20))
    write(world.remote / "b", "new b\n")
    r = world.run("restore", "--json", "box", check=4)
    assert (local / "a").read_text() == "a\n"
    assert not [p for p in local.iterdir() if p.name.startswith(".sandmount")]
    subprocess.run(["mount", "-o", "remount,size=64m", str(small_disk)],
                   check=True)
    world.run("restore", "--json", "box", check=0)
    assert (local / "a").stat().st_size == 8 << 20
    assert (local / "b").read_text() == "new b\n"
    assert r.json["held"]


def test_busy_mount_refuses(world):
    write(world.local / "a", "a")
    world.mount()
    with open(world.mnt / "a") as f:
        r = world.run("umount", world.mnt, check=1)
        assert "busy" in one_line(r)
        assert f.read() == "a"
    assert world.status()["state"] == "mounted"
    world.umount()


@pytest.mark.parametrize("sig", [signal.SIGTERM, signal.SIGINT])
def test_signals_end_in_a_restore(world, sig):
    write(world.local / "a", "a")
    world.mount()
    write(world.mnt / "b", "written\n")
    os.kill(world.daemon_pid(), sig)
    world.wait_state("restored")
    assert (world.local / "b").read_text() == "written\n"
    assert not world.is_mounted()


def test_killed_daemon_loses_nothing(world):
    write(world.local / "a", "a")
    world.mount()
    write(world.mnt / "unsent", "unsent\n")
    os.rename(world.mnt / "a", world.mnt / "renamed")
    os.kill(world.daemon_pid(), signal.SIGKILL)
    world.wait_state("crashed")
    world.mount()   # says so, and takes it up
    assert (world.mnt / "unsent").read_text() == "unsent\n"
    assert (world.mnt / "renamed").read_text() == "a"
    world.umount()
    assert (world.local / "unsent").read_text() == "unsent\n"
    assert tree(world.local) == tree(world.remote)


def test_recover_after_a_kill(world):
    write(world.local / "a", "a")
    world.mount()
    write(world.mnt / "unsent", "unsent\n")
    os.kill(world.daemon_pid(), signal.SIGKILL)
    world.wait_state("crashed")
    world.run("forget", "box", check=4)
    world.run("recover", check=0)
    assert not world.is_mounted()
    assert (world.local / "unsent").read_text() == "unsent\n"
    assert (world.remote / "unsent").read_text() == "unsent\n"
    world.run("recover", check=0)
    world.run("forget", "box", check=0)
    world.run("status", "box", check=1)


def test_sandbox_gone_while_mounted(world):
    write(world.local / "a", "a")
    world.mount()
    os.rename(world.remote, world.top / "away")
    write(world.mnt / "b", "after the sandbox went\n")
    r = world.umount(check=4).json
    assert "b" in [line["path"] for line in r["applied"]]
    assert (world.local / "b").read_text() == "after the sandbox went\n"
    os.rename(world.top / "away", world.remote)
    world.restore()
    assert (world.remote / "b").read_text() == "after the sandbox went\n"
    assert world.status()["state"] == "restored"


def test_dash_o_and_config_file(world):
    write(world.local / "a", "a")
    write(world.top / "config" / "sandmount" / "config.json",
          '{"sandboxes": {"mine": {"provider": "local", "sandboxId": "b",'
          ' "remoteCwd": "%s", "local": "%s", "exclude": ["*.o"],'
          ' "read-only": true}}}' % (world.remote, world.local))
    write(world.local / "x.o", "o")
    world.run("mount", "-o", "noatime,name=box", "mine", world.mnt, check=0)
    assert sorted(os.listdir(world.mnt)) == ["a"]
    with pytest.raises(OSError):
        write(world.mnt / "b", "b")
    world.umount()


def test_mirror_command(world):
    a, b = world.top / "a", world.top / "b"
    write(a / "x" / "f", "f\n", 0o755)
    os.symlink("x/f", a / "l")
    write(b / "old", "old\n")
    write(b / "keep" / "k", "k\n")
    world.run("mirror", a, b, "--preserve-absent", "keep", check=0)
    assert (b / "keep" / "k").read_text() == "k\n"
    got = {k: v for k, v in tree(b).items() if not k.startswith(b"keep")}
    assert got == tree(a)
    world.run("mirror", a, b, check=0)
    assert tree(b) == tree(a)


def test_no_fuse_device(world):
    if os.geteuid() != 0:
        pytest.skip("needs root for a mount namespace without /dev/fuse")
    write(world.local / "a", "a")
    r = subprocess.run(
        ["unshare", "-m", "--propagation", "unchanged", "sh", "-c",
         'mount -t tmpfs none /dev && mknod /dev/null c 1 3 && '
         'chmod 666 /dev/null && exec "$@"',
         "sh", SANDMOUNT, "mount", "--name", "box", "--local", world.local,
         world.spec, world.mnt], env=world.env, capture_output=True, text=True)
    assert r.returncode == 1, r
    assert "/dev/fuse" in r.stderr and "prepare" in r.stderr
