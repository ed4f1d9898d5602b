"""The commands that the README gives for `kubectl`, `podman`, `nerdctl` and
`lxc`, with stand-ins that check their arguments and fail with the words and
exit codes of the real tools."""
import json
import os
import re

import pytest

from conftest import tree, write

README = os.path.join(os.path.dirname(__file__), "..", "..", "README.md")

# tool: (a failure's exit code, its words)
FAILURES = {
    "kubectl": [(1, 'Error from server (NotFound): pods "pod" not found'),
                (1, 'error: unable to upgrade connection: container not found '
                    '("main")'),
                (1, 'The connection to the server 10.0.0.1:6443 was refused')],
    "podman": [(125, 'Error: no container with name or ID "box" found: no such '
                     'container'),
               (255, 'Error: can only create exec sessions on running '
                     'containers: container state improper')],
    "nerdctl": [(1, 'time="2026-11-30T10:00:00Z" level=fatal msg="1 errors:\\n'
                    'no such container box"')],
    "lxc": [(1, 'Error: Instance is not running'),
            (1, 'Error: Failed to fetch instance "box" in project "default": '
                'Instance not found')],
}


def documented():
    """The README's "commands", by tool."""
    text = open(README).read()
    block = re.search(r'"commands": (\{.*?\})', text, re.S).group(1)
    return {argv[0]: argv for argv in json.loads(block).values()}


def stand_in(world, tool):
    """TOOL on PATH, for the README's words; `fails` in its directory makes it
    fail, "CODE WORDS"."""
    argv = documented()[tool]
    path = world.top / "bin" / tool
    checks = "".join(
        f'[ "$1" = "{word}" ] || {{ echo "{tool}: unknown: $1" >&2; exit 64; }}'
        "\nshift\n" for word in argv[1:])
    write(path, '#!/bin/bash\nif [ -e "$0.fails" ]; then\n'
          'read -r code words <"$0.fails"; echo "$words" >&2; exit "$code"\nfi\n'
          'echo "Defaulted container main out of: main, side" >&2\n'
          f'{checks}exec "$@"\n', 0o755)
    world.env["PATH"] = f"{path.parent}:{os.environ['PATH']}"
    write(world.top / "config" / "sandmount" / "config.json",
          json.dumps({"commands": {"it": argv}}))
    return path, f"command:it:{world.remote}"


@pytest.mark.parametrize("tool", sorted(FAILURES))
def test_preset(world, tool):
    path, spec = stand_in(world, tool)
    write(world.local / "sp ace", "a\n")
    world.run("mount", "--name", "box", "--local", world.local, spec,
              world.mnt, check=0)
    write(world.mnt / "b", "b\n")
    world.run("flush", "box", check=0)
    assert tree(world.mnt) == tree(world.remote)
    for code, words in FAILURES[tool]:
        write(f"{path}.fails", f"{code} {words}\n")
        r = world.run("flush", "box")
        assert r.code == 0      # nothing to be sent
        r = world.run("refresh", "box")
        assert r.code == 1 and words[:40] in r.err, r
    write(world.mnt / "c", "c\n")
    world.wait_state("offline")
    assert words[:40] in world.status()["last_error"]
    world.umount(check=4)
    assert (world.local / "c").read_text() == "c\n"
    os.unlink(f"{path}.fails")
    world.run("prepare", "--name", "box", "--local", world.local, spec,
              check=0)
    assert tree(world.local) == tree(world.remote)


def test_a_tool_that_is_not_there(world):
    path, spec = stand_in(world, "kubectl")
    path.unlink()
    r = world.run("prepare", "--name", "box", "--local", world.local, spec,
                  env={"PATH": "/nonexistent"}, check=1)
    assert "kubectl" in r.err
