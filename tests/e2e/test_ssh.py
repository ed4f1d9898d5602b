"""The ssh provider against a real server on loopback: what it says when it
is not let in, cut connections, and what becomes of commands that were left."""
import os
import signal
import subprocess

import pytest

import sshd as server
from conftest import tree, wait_for, write


@pytest.fixture
def sshd(world, tmp_path):
    server.need()
    s = server.Sshd(tmp_path / "sshd")
    world.env.update(s.env)
    yield s
    world.clean()
    s.stop()


def spec(world):
    return f"ssh:box:{world.remote}"


def mount(world, *options, check=0):
    return world.run("mount", "--name", "box", "--local", world.local,
                     *options, spec(world), world.mnt, check=check)


def prepare(world, check=None):
    return world.run("prepare", "--name", "box", "--local", world.local,
                     spec(world), check=check)


def is_running(pid):
    try:
        with open(f"/proc/{pid}/stat") as f:
            return f.read().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def processes_with(word):
    """Ids of processes that have WORD on their command line."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/cmdline", "rb") as f:
                if word.encode() in f.read() and is_running(int(pid)):
                    found.append(int(pid))
        except OSError:
            pass
    return found


def master(world):
    """The control master of the session: the ssh that owns our socket."""
    pids = [p for p in processes_with("-oControlMaster=yes")
            if str(world.top).encode() in
            open(f"/proc/{p}/cmdline", "rb").read()]
    assert len(pids) == 1, pids
    return pids[0]


def test_round_trip_over_one_connection(world, sshd):
    for i in range(40):
        write(world.local / f"d{i % 4}" / f"f{i}", f"{i}\n" * 30)
    mount(world)
    write(world.mnt / "new", "new\n")
    world.run("flush", "box", check=0)
    write(world.remote / "theirs", "theirs\n")
    world.run("refresh", "box", check=0)
    assert (world.mnt / "theirs").read_text() == "theirs\n"
    assert tree(world.mnt) == tree(world.remote)
    world.umount()
    assert tree(world.local) == tree(world.remote)
    assert sshd.text().count("Accepted publickey") == 1
    # Nothing of ours stays: connection, socket, directory.
    wait_for(lambda: not sshd.connections())
    assert not list((world.top / "run" / "sandmount").glob("ssh-*"))


def test_hosts_that_are_options_are_refused(world, sshd):
    for host in ("-oProxyCommand=touch /tmp/x", "-F/dev/null", "a b", "a\nb"):
        r = world.run("prepare", "--name", "box", "--local", world.local,
                      f"ssh:{host}:{world.remote}", check=2)
        assert "one word" in r.err


def test_unknown_host_key(world, sshd):
    sshd.write_client(known=False)
    r = prepare(world, check=1)
    assert "host key is not known" in r.err and "`ssh box`" in r.err
    # Refused means refused: nothing was accepted on the way.
    assert "Accepted" not in sshd.text()
    assert (sshd.top / "known").read_text() == ""
    sshd.write_client()
    prepare(world, check=0)


def test_changed_host_key(world, sshd):
    prepare(world, check=0)
    sshd.stop()
    for name in ("host_key", "host_key.pub"):
        os.unlink(sshd.top / name)
    known = (sshd.top / "known").read_text()
    server.keygen(sshd.top / "host_key")
    sshd.start()
    (sshd.top / "known").write_text(known)
    r = prepare(world, check=1)
    assert "host key is not the one you know" in r.err
    assert "ssh-keygen -R" in r.err


def test_wrong_key(world, sshd):
    server.keygen(sshd.top / "other_key")
    sshd.write_client(key="other_key")
    r = prepare(world, check=1)
    assert "accepts none of your keys" in r.err and "ssh-add" in r.err


def test_nobody_listens(world, sshd):
    sshd.stop()
    r = prepare(world, check=1)
    assert "no ssh server listens" in r.err


def test_unknown_name_and_no_program(world, sshd):
    r = world.run("prepare", "--name", "box", "--local", world.local,
                  f"ssh:host.invalid:{world.remote}", check=1)
    assert "name is not known" in r.err
    r = world.run("prepare", "--name", "box", "--local", world.local,
                  spec(world), env={"SANDMOUNT_SSH": "/nonexistent/ssh"},
                  check=1)
    assert "/nonexistent/ssh" in r.err


def test_an_account_without_a_shell(world, tmp_path):
    server.need()
    s = server.Sshd(tmp_path / "sshd", "ForceCommand echo only mail here; "
                    "exit 3")
    world.env.update(s.env)
    r = prepare(world, check=1)
    assert "ran no command" in r.err and "exit 3" in r.err
    s.stop()


def test_a_server_that_allows_one_session(world, tmp_path):
    """The lifeline takes it; commands then connect on their own."""
    server.need()
    s = server.Sshd(tmp_path / "sshd", "MaxSessions 1")
    world.env.update(s.env)
    write(world.local / "a", "a\n")
    prepare(world, check=0)
    assert (world.remote / "a").read_text() == "a\n"
    world.restore()
    s.stop()


def test_noisy_login(world, tmp_path):
    server.need()
    banner = tmp_path / "banner"
    banner.write_text("Authorised use only!\n" * 20)
    s = server.Sshd(tmp_path / "sshd", f"Banner {banner}\n"
                    'ForceCommand echo "Welcome"; echo "motd" >&2; '
                    'eval "$SSH_ORIGINAL_COMMAND"')
    world.env.update(s.env)
    write(world.local / "sp ace", "a\n")
    prepare(world, check=0)
    assert tree(world.local) == tree(world.remote)
    s.stop()


def test_cut_connection_is_made_again(world, sshd):
    write(world.local / "a", "a\n")
    mount(world)
    first = master(world)
    os.kill(first, signal.SIGKILL)
    write(world.mnt / "b", "b\n")
    world.run("flush", "box", check=0)
    assert (world.remote / "b").read_text() == "b\n"
    assert master(world) != first
    # From the other side.
    sshd.signal_connections(signal.SIGKILL)
    write(world.mnt / "c", "c\n")
    world.run("flush", "box", check=0)
    assert (world.remote / "c").read_text() == "c\n"
    world.umount()
    assert tree(world.local) == tree(world.remote)


def test_server_down_and_up(world, sshd):
    write(world.local / "a", "a\n")
    mount(world)
    sshd.stop()
    write(world.mnt / "b", "b\n")
    world.wait_state("offline")
    assert "ssh" in world.status()["last_error"]
    assert (world.mnt / "b").read_text() == "b\n"
    sshd.start()
    world.wait_state("mounted")
    world.run("flush", "box", check=0)
    assert tree(world.mnt) == tree(world.remote)
    world.umount()


def test_silence_is_noticed(world, sshd):
    """The server neither closes nor answers, as with a pulled cable."""
    world.env["SANDMOUNT_SSH"] += " -oServerAliveInterval=2 -oConnectTimeout=2"
    write(world.local / "a", "a\n")
    mount(world)
    first = master(world)
    sshd.signal_connections(signal.SIGSTOP)
    # A new connection gets through: nobody needs to know.
    write(world.mnt / "b", "b\n")
    world.run("flush", "box", check=0)
    assert (world.remote / "b").read_text() == "b\n"
    wait_for(lambda: not is_running(first))
    # None gets through.
    sshd.signal_connections(signal.SIGSTOP)
    os.kill(sshd.process.pid, signal.SIGSTOP)
    write(world.mnt / "c", "c\n")
    world.wait_state("offline")
    os.kill(sshd.process.pid, signal.SIGCONT)
    world.wait_state("mounted")
    world.run("flush", "box", check=0)
    assert tree(world.mnt) == tree(world.remote)
    world.umount()


def slow_tar(world, sshd):
    """A PATH at the far side whose tar hangs, in a way that it ignores a
    closed input; returns the word to find it by."""
    word = f"hang-{world.top.name}-{os.getpid()}"
    tools = world.top / "tools"
    write(tools / "tar", f'#!/bin/sh\n[ -e {world.top}/hang ] || '
          f'exec {tar_path()} "$@"\n'
          f'exec sh -c "while :; do sleep 1000; done" {word}\n', 0o755)
    return word


def tar_path():
    return subprocess.run(["sh", "-c", "command -v tar"], text=True,
                          capture_output=True).stdout.strip()


@pytest.fixture
def hanging(world, tmp_path):
    """A mount whose next batch hangs in the sandbox. Its remote process is
    running when the fixture is entered."""
    server.need()
    tools = world.top / "tools"
    s = server.Sshd(tmp_path / "sshd",
                    path=f"{tools}:{os.environ['PATH']}")
    world.env.update(s.env)
    word = slow_tar(world, s)
    write(world.local / "a", "a\n")
    mount(world)
    write(world.top / "hang", "")
    write(world.mnt / "b", "b\n")
    wait_for(lambda: processes_with(word))
    yield s, word
    world.clean()
    for pid in processes_with(word):
        os.kill(pid, signal.SIGKILL)
    s.stop()


def test_a_killed_daemon_leaves_nothing_running(world, hanging):
    s, word = hanging
    os.kill(world.daemon_pid(), signal.SIGKILL)
    wait_for(lambda: not processes_with(word))
    wait_for(lambda: not s.connections())
    os.unlink(world.top / "hang")
    subprocess.run(["fusermount3", "-uz", str(world.mnt)])
    world.run("restore", "box", check=0)
    assert (world.local / "b").read_text() == "b\n"


def test_a_cut_connection_leaves_nothing_running(world, hanging):
    s, word = hanging
    old = set(processes_with(word))
    os.unlink(world.top / "hang")
    os.kill(master(world), signal.SIGKILL)
    wait_for(lambda: not old & set(processes_with(word)))
    world.run("flush", "box", check=0)
    assert tree(world.mnt) == tree(world.remote)
    world.umount()


def test_a_command_that_is_too_slow_is_ended(world, tmp_path):
    server.need()
    tools = world.top / "tools"
    s = server.Sshd(tmp_path / "sshd",
                    path=f"{tools}:{os.environ['PATH']}")
    world.env.update(s.env)
    word = slow_tar(world, s)
    write(world.local / "a", "a\n")
    mount(world, "--timeout", "8")
    write(world.top / "hang", "")
    write(world.mnt / "b", "b\n")
    wait_for(lambda: processes_with(word))
    old = set(processes_with(word))
    wait_for(lambda: not old & set(processes_with(word)))
    # The connection itself was not lost over it.
    assert s.text().count("Accepted publickey") == 1
    os.unlink(world.top / "hang")
    world.run("flush", "box", check=0)
    world.umount()
    s.stop()
