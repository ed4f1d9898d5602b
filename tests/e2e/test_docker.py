"""The docker provider against real engines: what it says of containers that
cannot serve, and what becomes of those that go away. The rest is in
test_contract.py."""
import os
import subprocess

import pytest

import engines
from conftest import tree, write


@pytest.fixture
def engine(request, world):
    """dockerd; podman as well where a test asks for it."""
    if os.getuid() != 0:
        pytest.skip("engines need root here")
    e = engines.get(getattr(request, "param", "docker"))
    world.env["DOCKER_HOST"] = f"unix://{e.socket}"
    before = set(e.names())
    yield e
    world.clean()
    for name in set(e.names()) - before:
        e.remove(name)


def prepare(world, spec, check=None, env=None):
    return world.run("prepare", "--name", "box", "--local", world.local, spec,
                     check=check, env=env)


def mount(world, spec):
    return world.run("mount", "--name", "box", "--local", world.local, spec,
                     world.mnt, check=0)


BOTH = pytest.mark.parametrize("engine", ["docker", "podman"], indirect=True)


@BOTH
def test_containers_that_cannot_serve(world, engine):
    write(world.local / "a", "a\n")
    r = prepare(world, "docker:nobody:/w", check=1)
    assert "container nobody: there is none" in r.err
    for name in ("../x", "a b", "-x", "a/json?x="):
        r = prepare(world, f"docker:{name}:/w", check=2)
        assert "not a name or id" in r.err
    engine.run("ws")
    engine.act("ws", "stop")
    r = prepare(world, "docker:ws:/w", check=1)
    assert "does not run; `docker start ws`" in r.err
    engine.act("ws", "start")
    prepare(world, "docker:ws:/w", check=0)
    assert engine.sh("ws", "cat /w/a") == b"a\n"


@BOTH
def test_images_without_sh_or_tar(world, engine):
    write(world.local / "a", "a\n")
    bare = "localhost/sandmount-bare:latest"
    engine.import_image(bare, engines.root_file_system(links=False))
    engine.run("bare", bare, ("/busybox", "sleep", "36000"))
    r = prepare(world, "docker:bare:/w", check=1)
    assert "has no sh" in r.err, r
    notar = "localhost/sandmount-notar:latest"
    engine.import_image(notar, engines.root_file_system(without=("tar",)))
    engine.run("notar", notar)
    r = prepare(world, "docker:notar:/w", check=1)
    assert "no usable `tar`" in r.err, r


def test_where_the_engine_is(world, engine):
    for host, code, words in (
            ("tcp://127.0.0.1:2375", 2, "only a Unix socket"),
            ("ssh://host", 2, "provider ssh"),
            ("unix:///nonexistent/s", 1, "nobody answers")):
        r = prepare(world, "docker:ws:/w", env={"DOCKER_HOST": host},
                    check=code)
        assert words in r.err
    engine.run("ws")
    old = {"DOCKER_API_VERSION": "1.30"}
    prepare(world, "docker:ws:/w", env=old, check=0)
    r = prepare(world, "docker:ws:/w", env={"DOCKER_API_VERSION": "1.2"})
    assert r.code == 1 and "versions" in r.err


def test_another_container_of_the_same_name(world, engine):
    write(world.local / "a", "a\n")
    engine.run("ws")
    mount(world, "docker:ws:/w")
    engine.remove("ws")
    engine.run("ws")
    write(world.mnt / "b", "b\n")
    world.wait_state("offline")
    assert "replaced by another" in world.status()["last_error"]
    world.umount(check=4)
    assert (world.local / "a").read_text() == "a\n"
    assert (world.local / "b").read_text() == "b\n"
    prepare(world, "docker:ws:/w", check=0)
    assert engine.sh("ws", "cat /w/a /w/b") == b"a\nb\n"


def test_an_older_copy_of_the_workspace(world, engine):
    """A container made anew with yesterday's workspace (a volume's copy, an
    image): its mark is ours, and still nothing in it is news."""
    volume = world.top / "volume"
    volume.mkdir()
    write(world.local / "a", "old\n")
    engine.run("ws", binds=[f"{volume}:/w"])
    prepare(world, "docker:ws:/w", check=0)
    subprocess.run(["cp", "-a", volume, world.top / "copy"], check=True)
    write(world.local / "a", "new\n")
    write(world.local / "b", "new\n")
    prepare(world, "docker:ws:/w", check=0)
    engine.remove("ws")
    engine.run("ws", binds=[f"{world.top}/copy:/w"])
    r = world.run("restore", "--json", "box", check=4)
    assert not r.json["applied"] and not r.json["deleted"], r
    assert (world.local / "a").read_text() == "new\n"
    assert (world.local / "b").read_text() == "new\n"
    prepare(world, "docker:ws:/w", check=0)
    assert engine.sh("ws", "cat /w/a /w/b") == b"new\nnew\n"


def test_a_renamed_container_is_still_the_same(world, engine):
    write(world.local / "a", "a\n")
    engine.run("ws")
    mount(world, "docker:ws:/w")
    engine.must("POST", "/v1.41/containers/ws/rename?name=other")
    write(world.mnt / "b", "b\n")
    world.run("flush", "box", check=0)
    assert engine.sh("other", "cat /w/b") == b"b\n"
    world.umount()
    # Another process looks for the name, and it is gone.
    r = world.run("refresh", "box", check=1)
    assert "container ws: there is none" in r.err
    assert tree(world.local).keys() == {b"a", b"b"}
