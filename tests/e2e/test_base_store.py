"""Earlier bytes are kept for as long as a merge may ask for them, and no
longer."""
from conftest import paths, write


def kept(world):
    return sum(p.is_file() for p in (world.session() / "base").rglob("*"))


def text(n):
    return "".join(f"{i} of {n}\n" for i in range(30))


def test_what_no_baseline_names_goes(world):
    write(world.local / "f.txt", text(0))
    world.prepare()
    for n in range(1, 6):
        write(world.remote / "f.txt", text(n))
        world.restore()
        # This baseline's, and the one's before for an undo.
        assert kept(world) <= 2
    # What is left is enough to merge against ...
    write(world.local / "f.txt", "mine\n" + text(5))
    write(world.remote / "f.txt", text(5) + "theirs\n")
    assert paths(world.restore().json, "merged") == ["f.txt"]
    assert (world.local / "f.txt").read_text() == \
        "mine\n" + text(5) + "theirs\n"
    # ... also once the merge was undone.
    world.restore("--undo")
    assert paths(world.restore().json, "merged") == ["f.txt"]
    assert kept(world) <= 4
