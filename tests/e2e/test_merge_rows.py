"""Every row of the restore's table, on the local provider: a change in the
local directory, a change in the sandbox, and what comes out."""
import os
import socket

import pytest

from conftest import paths, remove, tree, write

TEXT = "".join(f"line {i}\n" for i in range(10))


def edit(line, text="changed"):
    return TEXT.replace(f"line {line}\n", f"{text} {line}\n")


def put(text, mode=None):
    return lambda p: write(p, text, mode)


def link(target):
    def make(p):
        if os.path.lexists(p):
            remove(p)
        os.symlink(target, p)
    return make


def mode(m):
    return lambda p: p.chmod(m)


def delete(p):
    remove(p)


def nothing(p):
    pass


def to_dir(p):
    if os.path.lexists(p):
        remove(p)
    write(p / "x", "in dir\n")


def touch(p):
    os.utime(p, (1, 1))


def to_file(p):
    remove(p)
    write(p, "now a file\n")


BINARY = b"\0\1\2"
CONFLICT = "f.box.conflict"

# name, base of f, local change, sandbox change, list -> [paths], exit code,
# files afterwards ("f" -> content or None, …)
FILES = [
    ("1", TEXT, nothing, put("M\n"), {"applied": ["f"]}, 0, {"f": "M\n"}),
    ("2", TEXT, put("L\n"), nothing, {}, 0, {"f": "L\n"}),
    ("3", TEXT, put("S\n"), put("S\n"), {}, 0, {"f": "S\n"}),
    ("4", TEXT, put(edit(1)), put(edit(8)), {"merged": ["f"]}, 0,
     {"f": edit(1).replace("line 8\n", "changed 8\n")}),
    ("5", TEXT, put(edit(5, "L")), put(edit(5, "M")), {"conflicts": ["f"]}, 3,
     {"f": edit(5, "L"), CONFLICT: edit(5, "M")}),
    ("6", BINARY, put(BINARY + b"L"), put(BINARY + b"M"),
     {"conflicts": ["f"]}, 3, {"f": "\0\1\2L", CONFLICT: "\0\1\2M"}),
    ("7", TEXT, touch, put("M\n"), {"applied": ["f"]}, 0, {"f": "M\n"}),
    ("8", TEXT, delete, nothing, {}, 0, {"f": None}),
    ("9", TEXT, nothing, delete, {"deleted": ["f"]}, 0, {"f": None}),
    ("10", TEXT, delete, put("M\n"), {"applied": ["f"]}, 0, {"f": "M\n"}),
    ("11", TEXT, put("L\n"), delete, {"kept_local": ["f"]}, 0, {"f": "L\n"}),
    ("12", TEXT, delete, delete, {}, 0, {"f": None}),
    ("13", None, put("L\n"), nothing, {}, 0, {"f": "L\n"}),
    ("14", None, nothing, put("M\n"), {"applied": ["f"]}, 0, {"f": "M\n"}),
    ("15", None, put("S\n"), put("S\n"), {}, 0, {"f": "S\n"}),
    ("16", None, put("L\n"), put("M\n"), {"conflicts": ["f"]}, 3,
     {"f": "L\n", CONFLICT: "M\n"}),
    ("23", TEXT, nothing, link("other"), {"applied": ["f"]}, 0,
     {"f": "-> other"}),
    ("24", TEXT, put("L\n"), link("other"), {"conflicts": ["f"]}, 3,
     {"f": "L\n", CONFLICT: "-> other"}),
    ("25", TEXT, nothing, to_dir, {"applied": ["f", "f/x"]}, 0,
     {"f/x": "in dir\n"}),
    ("26", TEXT, put("L\n"), to_dir, {"conflicts": ["f"]}, 3,
     {"f": "L\n", CONFLICT + "/x": "in dir\n"}),
    ("27", TEXT, delete, to_dir, {"applied": ["f", "f/x"]}, 0,
     {"f/x": "in dir\n"}),
    ("28", None, put("L\n"), to_dir, {"conflicts": ["f"]}, 3,
     {"f": "L\n", CONFLICT + "/x": "in dir\n"}),
]


def content(path):
    if os.path.islink(path):
        return f"-> {os.readlink(path)}"
    if not os.path.lexists(path):
        return None
    return path.read_bytes().decode("latin-1")


def check(world, change, expect):
    for name, text in expect.items():
        assert content(world.local / name) == text, name


@pytest.mark.parametrize("row", FILES, ids=[r[0] for r in FILES])
def test_file_rows(world, row):
    _, base, ours, theirs, lists, code, after = row
    write(world.local / "keep", "keep\n")
    write(world.local / "other", "other\n")
    if base is not None:
        write(world.local / "f", base)
    world.prepare()
    ours(world.local / "f")
    theirs(world.remote / "f")
    r = world.restore(check=code).json
    for key in ("applied", "deleted", "merged", "conflicts", "held",
                "kept_local"):
        assert paths(r, key) == lists.get(key, []), key
    check(world, None, after)
    # A second run changes nothing.
    before = tree(world.local, mtimes=True)
    again = world.restore(check=None).json
    assert not again["applied"] and not again["deleted"]
    assert tree(world.local, mtimes=True) == before


MODES = [
    ("17", mode(0o755), nothing, {}, 0o755, None),
    ("18", nothing, mode(0o755), {"applied": ["f"]}, 0o755, None),
    ("19", mode(0o755), put("M\n"), {"applied": ["f"]}, 0o755, "M\n"),
    ("20", mode(0o755), mode(0o600), {"kept_local": ["f"]}, 0o755, None),
    ("22", nothing, mode(0o4755), {"applied": ["f"]}, 0o755, None),
]


@pytest.mark.parametrize("row", MODES, ids=[r[0] for r in MODES])
def test_mode_rows(world, row):
    _, ours, theirs, lists, want, text = row
    write(world.local / "f", TEXT, 0o644)
    write(world.local / "g", "g")
    world.prepare()
    ours(world.local / "f")
    theirs(world.remote / "f")
    r = world.restore().json
    for key in ("applied", "kept_local", "conflicts"):
        assert paths(r, key) == lists.get(key, []), key
    assert (world.local / "f").stat().st_mode & 0o7777 == want
    assert (world.local / "f").read_text() == (text or TEXT)


def test_21_mode_of_a_deleted_file(world):
    write(world.local / "f", TEXT)
    write(world.local / "g", "g")
    world.prepare()
    remove(world.local / "f")
    mode(0o755)(world.remote / "f")
    r = world.restore().json
    assert not (world.local / "f").exists()
    assert paths(r, "kept_local") == ["f"]


def make_dir(world):
    write(world.local / "d" / "x", "x\n")
    write(world.local / "d" / "y", "y\n")
    write(world.local / "keep", "k\n")
    world.prepare()


DIRS = [
    ("29", to_file, lambda d: None, {}, 0, {"d": "now a file\n"}),
    ("30", to_file, lambda d: write(d / "x", "M\n"), {"conflicts": ["d"]}, 3,
     {"d": "now a file\n", "d.box.conflict/x": "M\n"}),
    ("31", to_file, delete, {}, 0, {"d": "now a file\n"}),
    ("32", link("keep"), lambda d: None, {}, 0, {"d": "-> keep"}),
    ("33", link("keep"), lambda d: write(d / "x", "M\n"),
     {"conflicts": ["d"]}, 3, {"d": "-> keep", "keep": "k\n",
                               "d.box.conflict/x": "M\n"}),
    ("34", lambda d: None, delete, {"deleted": ["d", "d/x", "d/y"]}, 0,
     {"d": None}),
    ("35", lambda d: write(d / "x", "L\n"), delete,
     {"deleted": ["d/y"], "kept_local": ["d/x"]}, 0,
     {"d/x": "L\n", "d/y": None}),
    ("36", lambda d: write(d / "z", "L\n"), delete,
     {"deleted": ["d/x", "d/y"], "kept_local": ["d/z"]}, 0,
     {"d/z": "L\n", "d/x": None}),
    ("37", lambda d: remove(d / "x"), delete, {"deleted": ["d", "d/y"]}, 0,
     {"d": None}),
    ("38", delete, lambda d: write(d / "x", "M\n"),
     {"applied": ["d", "d/x"]}, 0, {"d/x": "M\n", "d/y": None}),
    ("dir to file", lambda d: None, to_file, {"applied": ["d"]}, 0,
     {"d": "now a file\n"}),
    ("dir to file, edited", lambda d: write(d / "x", "L\n"), to_file,
     {"conflicts": ["d"]}, 3, {"d/x": "L\n", "d.box.conflict":
                               "now a file\n"}),
]


@pytest.mark.parametrize("row", DIRS, ids=[r[0] for r in DIRS])
def test_dir_rows(world, row):
    _, ours, theirs, lists, code, after = row
    make_dir(world)
    ours(world.local / "d")
    theirs(world.remote / "d")
    r = world.restore(check=code).json
    for key in ("applied", "deleted", "conflicts", "kept_local", "held"):
        want = lists.get(key, [])
        if key == "deleted" and row[0] == "dir to file":
            continue
        assert paths(r, key) == want, key
    check(world, None, after)


def test_39_40_41_empty_directories(world):
    for name in ("a", "b", "c"):
        (world.local / name).mkdir()
    write(world.local / "keep", "k")
    write(world.local / "keep2", "k")
    world.prepare()
    write(world.local / "a" / "new", "L\n")
    remove(world.remote / "a")
    remove(world.remote / "b")
    (world.remote / "fresh").mkdir()
    (world.local / "c").chmod(0o700)
    write(world.remote / "c" / "in", "M\n")
    world.restore()
    assert (world.local / "a" / "new").read_text() == "L\n"
    assert not (world.local / "b").exists()
    assert (world.local / "fresh").is_dir()
    assert (world.local / "c").stat().st_mode & 0o777 == 0o700
    assert (world.local / "c" / "in").read_text() == "M\n"


def test_42_43_44_links(world):
    for name in ("same", "both", "gone"):
        os.symlink("a", world.local / name)
    write(world.local / "a", "a")
    world.prepare()
    link("b")(world.remote / "same")
    link("l")(world.local / "both")
    link("m")(world.remote / "both")
    remove(world.local / "gone")
    link("m")(world.remote / "gone")
    r = world.restore(check=3).json
    assert os.readlink(world.local / "same") == "b"
    assert os.readlink(world.local / "both") == "l"
    assert os.readlink(world.local / "both.box.conflict") == "m"
    assert os.readlink(world.local / "gone") == "m"
    assert paths(r, "conflicts") == ["both"]


def test_45_links_out_of_the_workspace_are_held(world):
    write(world.local / "a", "a")
    os.symlink("/etc/hostname", world.local / "trusted")
    world.prepare()
    os.symlink("/etc/passwd", world.remote / "abs")
    os.symlink("../../up", world.remote / "up")
    os.symlink(f"{world.remote}/a", world.remote / "inside")
    r = world.restore(check=3).json
    assert paths(r, "held") == ["abs", "up"]
    assert not os.path.lexists(world.local / "abs")
    assert os.readlink(world.local / "inside") == "a"
    assert os.readlink(world.local / "trusted") == "/etc/hostname"


def test_46_47_renames(world):
    write(world.local / "f", TEXT)
    write(world.local / "p", TEXT + "p\n")
    world.prepare()
    os.rename(world.local / "f", world.local / "g")
    write(world.remote / "f", edit(2))
    write(world.local / "p", TEXT.replace("line 1\n", "L\n") + "p\n")
    os.rename(world.remote / "p", world.remote / "q")
    r = world.restore().json
    assert content(world.local / "g") == edit(2)
    assert not (world.local / "f").exists()
    assert content(world.local / "q") == TEXT.replace(
        "line 1\n", "L\n") + "p\n"
    assert not (world.local / "p").exists()
    assert [line["action"] for line in r["applied"]
            if line["path"] == "g"] == ["renamed"]
    assert "q" in paths(r, "merged")


def test_48_51_renames_apart(world):
    write(world.local / "f", TEXT)
    write(world.local / "u", TEXT + "u\n")
    world.prepare()
    os.rename(world.local / "f", world.local / "g")
    os.rename(world.remote / "f", world.remote / "h")
    os.rename(world.local / "u", world.local / "v")
    write(world.remote / "v", "M's v\n")
    world.restore(check=3)
    assert content(world.local / "g") == TEXT
    assert content(world.local / "h") == TEXT
    assert content(world.local / "v") == TEXT + "u\n"
    assert content(world.local / "v.box.conflict") == "M's v\n"


def test_49_50_directory_renamed_here(world):
    write(world.local / "d" / "x", TEXT)
    write(world.local / "d" / "y", TEXT + "y\n")
    write(world.local / "k", "k")
    world.prepare()
    os.rename(world.local / "d", world.local / "e")
    write(world.remote / "d" / "new", "new\n")
    write(world.remote / "d" / "x", edit(3))
    world.restore()
    assert content(world.local / "d" / "new") == "new\n"
    assert content(world.local / "e" / "x") == edit(3)
    assert not (world.local / "d" / "x").exists()


def test_53_54_odd_names(world):
    names = [b"not-utf8-\xff\xfe", b"new\nline", b"tab\tname", b"-dash",
             b"'quote\"", b"sp ace", b"\\back", b"*star?[", b"x" * 255,
             b"\x1b[31mred", b" lead", b"trail ", b"$HOME`id`"]
    write(world.local / "a", "a")
    for n in names[:6]:
        with open(os.path.join(os.fsencode(world.local), n), "wb") as f:
            f.write(n)
    world.prepare()
    assert tree(world.local) == tree(world.remote)
    for n in names[6:]:
        with open(os.path.join(os.fsencode(world.remote), n), "wb") as f:
            f.write(n)
    for n in names[:3]:
        with open(os.path.join(os.fsencode(world.remote), n), "ab") as f:
            f.write(b"more")
    r = world.restore()
    assert tree(world.local) == tree(world.remote)
    assert any("path_base64" in line for line in r.json["applied"])
    text = world.run("diff", "box").out
    assert "\x1b" not in text


def test_56_special_files(world):
    write(world.local / "a", "a")
    os.mkfifo(world.local / "pipe")
    world.prepare()
    assert not (world.remote / "pipe").exists()
    s = socket.socket(socket.AF_UNIX)
    s.bind(str(world.remote / "sock"))
    os.mkfifo(world.remote / "fifo")
    write(world.remote / "b", "b")
    remove(world.remote / "a")
    os.mkfifo(world.remote / "a")
    for applied in (["b"], []):     # the second time still there to be seen
        r = world.restore(check=3).json
        assert paths(r, "applied") == applied
        assert paths(r, "held") == ["a", "fifo", "sock"]
        assert all(line["kind"] == "special" for line in r["held"])
        assert r["deleted"] == []
        assert not os.path.lexists(world.local / "fifo")
        assert os.path.lexists(world.local / "pipe")
        assert (world.local / "a").read_text() == "a"
    s.close()
    for name in ("a", "fifo", "sock"):
        remove(world.remote / name)
    r = world.restore(check=0).json
    assert r["held"] == [] and paths(r, "deleted") == ["a"]


def test_gate_mass_deletion(world):
    for i in range(120):
        write(world.local / "many" / f"f{i}", f"{i}\n")
    write(world.local / "keep", "k")
    world.prepare()
    remove(world.remote / "many")
    write(world.remote / "added", "added\n")
    r = world.restore(check=4).json
    assert paths(r, "applied") == ["added"]
    assert len(r["held"]) >= 120 and not r["deleted"]
    assert (world.local / "many" / "f5").exists()
    assert world.status()["state"] == "failed"
    r = world.restore("--allow-deletes").json
    assert not (world.local / "many").exists()
    assert world.status()["state"] == "restored"
    world.restore("--undo")
    assert (world.local / "many" / "f5").read_text() == "5\n"


def test_gate_emptied_sandbox(world):
    write(world.local / "a", "a")
    write(world.local / "b", "b")
    write(world.local / "c", "c")
    world.prepare()
    for name in ("a", "b", "c"):
        remove(world.remote / name)
    world.restore(check=4)
    assert (world.local / "a").read_text() == "a"


def test_gate_replaced_sandbox(world):
    for i in range(5):
        write(world.local / f"f{i}", f"{i}\n")
    world.prepare()
    remove(world.remote)
    world.remote.mkdir()
    r = world.restore(check=4).json
    assert not r["deleted"]
    assert (world.local / "f3").read_text() == "3\n"


def test_held_for_review(world):
    write(world.local / "a", "a")
    world.prepare()
    write(world.remote / ".git" / "hooks" / "post-checkout", "evil\n", 0o755)
    write(world.remote / ".envrc", "evil\n")
    write(world.remote / "sub" / ".vscode" / "tasks.json", "{}\n")
    write(world.remote / ".husky" / "pre-commit", "evil\n")
    r = world.restore(check=3).json
    assert paths(r, "held") == [".envrc", ".git/hooks/post-checkout",
                                ".husky/pre-commit", "sub/.vscode/tasks.json"]
    assert not (world.local / ".envrc").exists()
    assert not (world.local / ".git" / "hooks" / "post-checkout").exists()


def test_58_no_copies_of_copies(world):
    write(world.local / "f", TEXT)
    write(world.local / "g", "g")
    world.prepare()
    write(world.local / "f", edit(5, "L"))
    write(world.remote / "f", edit(5, "M"))
    world.restore(check=3)
    world.restore(check=0)
    write(world.remote / "f", edit(5, "M2"))
    world.restore(check=3)
    found = sorted(p.name for p in world.local.iterdir())
    assert found == ["f", "f.box.conflict", "f.box.conflict2", "g"]


def test_umask_in_the_sandbox_is_no_change(world):
    write(world.local / "f", "f\n", 0o666)
    write(world.local / "g", "g\n", 0o664)
    world.prepare()
    (world.remote / "f").chmod(0o644)
    write(world.local / "f", "local edit\n")
    world.restore()
    assert (world.local / "f").read_text() == "local edit\n"


def test_apple_double_and_nested_repositories_stay(world):
    write(world.local / "._notes", "a user's own file\n")
    write(world.local / "nested" / ".git" / "HEAD", "ref: refs/heads/x\n")
    write(world.local / "nested" / "f", "f\n")
    world.prepare()
    assert tree(world.local) == tree(world.remote)
    write(world.remote / "new", "n\n")
    world.restore()
    assert (world.local / "._notes").exists()
    assert (world.local / "nested" / ".git" / "HEAD").exists()


def test_planted_link_is_not_written_through(world):
    outside = world.top / "outside"
    outside.mkdir()
    write(outside / "x", "precious\n")
    write(world.local / "d" / "x", "x\n")
    write(world.local / "k", "k\n")
    world.prepare()
    write(world.remote / "d" / "x", "changed\n")
    remove(world.local / "d")
    os.symlink(outside, world.local / "d")
    world.restore(check=3)
    assert (outside / "x").read_text() == "precious\n"
    assert os.path.islink(world.local / "d")
