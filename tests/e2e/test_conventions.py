"""What a person expects of any program: versions, help, manual, completions,
config file, fstab, systemd, make install, a Debian package."""
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess

import pytest

from conftest import SANDMOUNT, write

TOP = pathlib.Path(__file__).resolve().parents[2]
DIST = TOP / "scripts" / "dist"
MAN = (TOP / "fs" / "cli" / "sandmount.1").read_text()


def out(*argv, **options):
    return subprocess.run([str(a) for a in argv], check=True, text=True,
                          capture_output=True, stdin=subprocess.DEVNULL,
                          **options).stdout


def commands():
    text = out(SANDMOUNT, "--help")
    return re.findall(r"^  ([a-z]+)  ", text, re.M)


def options(command):
    """Long options of COMMAND --help, --help itself left out."""
    done = subprocess.run([SANDMOUNT, command, "--help"], text=True,
                          capture_output=True)
    found = re.findall(r"^  .*?--([a-z][a-z-]*)", done.stdout, re.M)
    return [o for o in found if o != "help"]


AVAILABLE = [c for c in commands() if options(c) or "not available" not in
             subprocess.run([SANDMOUNT, c, "--help"], text=True,
                            capture_output=True).stderr]


def test_version():
    lines = out(SANDMOUNT, "--version").splitlines()
    assert re.fullmatch(r"sandmount \d+\.\d+\.\d+", lines[0])
    names = {line.split()[0] for line in lines[1:]}
    assert names == {"libfuse", "libarchive", "libcurl", "json-c", "SQLite",
                     "libgit2", "OpenSSL", "GLib"}
    assert all(re.search(r" \d+\.\d+", line) for line in lines[1:])


def test_help_names_the_command():
    for command in AVAILABLE:
        assert f"sandmount {command}" in out(SANDMOUNT, command, "--help")


def test_manual_has_every_command_and_option():
    assert len(AVAILABLE) >= 16
    words = set(re.findall(r"[a-z]+", " ".join(
        re.findall(r"^\.(?:Cm|It Cm|Nm) (.*)", MAN, re.M))))
    fl = set(re.findall(r"Fl -([a-z-]+)", MAN))
    for command in AVAILABLE:
        assert command in words, command
        for option in options(command):
            assert option in fl or option == "option", (command, option)
    known = {o for c in AVAILABLE for o in options(c)} | {"version", "help"}
    assert fl <= known, fl - known


@pytest.mark.parametrize("page", ["sandmount.1", "sandmount-config.5"])
def test_manual_is_well_formed(page):
    if not shutil.which("mandoc"):
        pytest.skip("mandoc is not installed")
    done = subprocess.run(["mandoc", "-T", "lint", "-W", "warning",
                           str(TOP / "fs" / "cli" / page)], text=True,
                          capture_output=True)
    assert done.returncode == 0, done.stdout


# --- completions ---------------------------------------------------------

def complete_bash(world, *words):
    script = f"""source {DIST}/sandmount.bash
        COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1))
        _sandmount; printf '%s\\n' "${{COMPREPLY[@]}}" """
    return set(out("bash", "-c", script, "x", SANDMOUNT, *words,
                   env=world.env, cwd=world.top).split("\n")) - {""}


def complete_zsh(world, *words):
    if not shutil.which("zsh"):
        pytest.skip("zsh is not installed")
    script = f"""words=("$@"); CURRENT=$#
        _describe() {{ print -l -- ${{(P)2}} }}
        compadd() {{ while [[ $1 != -- ]]; do shift; done; shift; print -l -- "$@" }}
        _files() {{ print -l -- *(N) }}
        source {DIST}/_sandmount"""
    text = out("zsh", "-fc", script, "x", os.path.abspath(SANDMOUNT), *words,
               env=world.env, cwd=world.top)
    return {re.sub(r"([a-z]):.+", r"\1", line) for line in text.splitlines()}


def complete_fish(world, *words):
    if not shutil.which("fish"):
        pytest.skip("fish is not installed")
    bin_ = world.top / "bin"
    bin_.mkdir(exist_ok=True)
    if not (bin_ / "sandmount").exists():
        os.symlink(os.path.abspath(SANDMOUNT), bin_ / "sandmount")
    env = dict(world.env, PATH=f"{bin_}:{world.env['PATH']}")
    line = " ".join(["sandmount", *words])
    text = out("fish", "--no-config", "-c",
               f"source {DIST}/sandmount.fish; complete -C '{line}'",
               env=env, cwd=world.top)
    return {x.split("\t")[0].rstrip("/") for x in text.splitlines()}


@pytest.mark.parametrize("complete", [complete_bash, complete_zsh,
                                      complete_fish])
def test_completions(world, complete):
    write(world.local / "a", "a\n")
    world.prepare()
    first = complete(world, "")
    assert set(commands()) <= first
    for command in ("mount", "restore", "status", "list"):
        got = complete(world, command, "--")
        assert {f"--{o}" for o in options(command)} <= got, command
    assert "box" in complete(world, "restore", "")
    assert "box" in complete(world, "status", "")
    assert "local" in complete(world, "mount", "")
    assert "local:" in complete(world, "mount", "")


def test_bash_completes_values(world):
    assert complete_bash(world, "mount", "--fsync", "=", "l") == {"local"}
    assert complete_bash(world, "restore", "--progress", "") == {
        "auto", "always", "never"}


# --- config file ---------------------------------------------------------

def example():
    text = (DIST / "config.example.jsonc").read_text()
    return json.loads(re.sub(r"^\s*//.*$", "", text, flags=re.M))


def test_example_config_works(world):
    config = example()
    file = world.top / "config" / "sandmount" / "config.json"
    write(file, json.dumps(config))
    for name, entry in config["sandboxes"].items():
        spec = world.run("spec", name, check=0).json
        assert spec["provider"] == entry["provider"]
        assert spec["remoteCwd"] == entry["remoteCwd"]
    config["sandboxes"]["try"].update(
        sandboxId=str(world.remote), remoteCwd=str(world.remote),
        local=str(world.local))
    write(file, json.dumps(config))
    write(world.local / "a", "a\n")
    world.run("prepare", "try", check=0)
    assert (world.remote / "a").read_text() == "a\n"


def test_schema_knows_every_option():
    schema = json.loads((DIST / "config.schema.json").read_text())
    keys = set(schema["$defs"]["sandbox"]["properties"])
    spec = {"transport", "provider", "sandboxId", "remoteCwd", "timeoutMs",
            "apiKey"}
    assert set(options("mount")) - {"option"} <= keys
    assert keys - spec <= set(options("mount")) | {"template"}


def test_schema_judges():
    jsonschema = pytest.importorskip("jsonschema")
    schema = json.loads((DIST / "config.schema.json").read_text())
    jsonschema.validate(example(), schema)
    bad = example()
    bad["sandboxes"]["try"]["fsyncs"] = "local"
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(bad, schema)


# --- fstab and systemd ---------------------------------------------------

def test_mount_helper(world):
    """As mount(8) calls it for a line of fstab."""
    write(world.local / "a", "a\n")
    bin_ = world.top / "usr" / "bin"
    sbin = world.top / "usr" / "sbin"
    bin_.mkdir(parents=True)
    sbin.mkdir()
    os.symlink(os.path.abspath(SANDMOUNT), bin_ / "sandmount")
    shutil.copy(DIST / "mount.sandmount", sbin)
    helper = sbin / "mount.sandmount"
    out(helper, world.spec, world.mnt, "-f", "-o", "rw", env=world.env)
    assert not world.is_mounted()
    out(helper, world.spec, world.mnt, "-n", "-o",
        f"rw,noauto,user,name=box,local={world.local},x-systemd.automount",
        env=world.env)
    assert world.is_mounted()
    assert (world.mnt / "a").read_text() == "a\n"
    world.umount()
    assert subprocess.run([helper], capture_output=True).returncode == 1


def test_line_of_fstab(world):
    """By mount(8) itself, which looks for the helper in /sbin; under a type of
    this test's own, so that nothing of the machine is touched."""
    kind = f"sandmount-test{os.getpid()}"
    link = pathlib.Path("/sbin") / f"mount.{kind}"
    if os.geteuid() != 0 or not os.access("/sbin", os.W_OK):
        pytest.skip("needs root and a writable /sbin")
    bin_ = world.top / "usr" / "bin"
    sbin = world.top / "usr" / "sbin"
    bin_.mkdir(parents=True)
    sbin.mkdir()
    os.symlink(os.path.abspath(SANDMOUNT), bin_ / "sandmount")
    shutil.copy(DIST / "mount.sandmount", sbin)
    write(world.local / "a", "a\n")
    write(world.top / "fstab", f"{world.spec} {world.mnt} {kind} "
          f"noauto,user,name=box,local={world.local} 0 0\n")
    link.symlink_to(sbin / "mount.sandmount")
    try:
        out("mount", "-T", world.top / "fstab", world.mnt, env=world.env)
        assert world.is_mounted()
        assert (world.mnt / "a").read_text() == "a\n"
        write(world.mnt / "b", "b\n")
        out("umount", world.mnt, env=world.env)
        assert world.wait_state("restored", "failed",
                                seconds=180) == "restored"
    finally:
        link.unlink()
    assert (world.local / "b").read_text() == "b\n"


def test_systemd_accepts_the_unit(tmp_path):
    if not shutil.which("systemd-analyze"):
        pytest.skip("no systemd-analyze here")
    unit = (DIST / "sandmount@.service").read_text()
    bin_ = tmp_path / "bin"
    bin_.mkdir()
    os.symlink(os.path.abspath(SANDMOUNT), bin_ / "sandmount")
    file = tmp_path / "sandmount@.service"

    def verify(text):
        file.write_text(text.replace("@BINDIR@", str(bin_)))
        done = subprocess.run(
            ["systemd-analyze", "--man=no", "--user", "verify",
             str(tmp_path / "sandmount@box.service")], text=True,
            capture_output=True, env=dict(os.environ, XDG_RUNTIME_DIR=str(
                tmp_path)), stdin=subprocess.DEVNULL)
        return [line for line in done.stderr.splitlines()
                if "sandmount@" in line]

    if not verify(unit + "Nonsense=1\n"):
        pytest.skip("systemd-analyze cannot verify a unit here")
    assert verify(unit) == []


def test_systemd_unit_of_type_notify(world):
    """The unit's own command line: ready when mounted; SIGTERM restores."""
    unit = (DIST / "sandmount@.service").read_text()
    assert "Type=notify" in unit and "SuccessExitStatus=3" in unit
    line = re.search(r"^ExecStart=(.*)", unit, re.M).group(1)
    write(world.top / "config" / "sandmount" / "config.json", json.dumps(
        {"sandboxes": {"box": {
            "provider": "local", "sandboxId": str(world.remote),
            "remoteCwd": str(world.remote), "local": str(world.local)}}}))
    write(world.local / "a", "a\n")
    mnt = world.home / "sandboxes" / "box"
    world.mnt = mnt
    # An abstract socket, as user managers use.
    name = f"sandmount-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind("\0" + name)
        manager.settimeout(60)
        argv = line.replace("@BINDIR@/sandmount", SANDMOUNT)
        p = subprocess.Popen(argv.replace("%i", "box").split(),
                             env=dict(world.env, NOTIFY_SOCKET="@" + name),
                             stdout=subprocess.DEVNULL)
        try:
            assert b"READY=1" in manager.recv(4096)
            assert (mnt / "a").read_text() == "a\n"
            write(mnt / "b", "b\n")
            p.send_signal(signal.SIGTERM)
            assert b"STOPPING=1" in manager.recv(4096)
            assert p.wait(60) == 0
        finally:
            if p.poll() is None:
                p.kill()
    assert (world.local / "b").read_text() == "b\n"


# --- installation --------------------------------------------------------

def make(*words):
    env = dict(os.environ)
    for key in ("MAKEFLAGS", "MFLAGS", "MAKELEVEL"):
        env.pop(key, None)
    return out("make", "-s", *words,
               f"INSTALL_PROG={os.path.abspath(SANDMOUNT)}", cwd=TOP, env=env)


def files_in(top):
    return {str(p.relative_to(top)) for p in top.rglob("*")
            if not p.is_dir()}


def test_install_and_uninstall(tmp_path):
    make("install", f"DESTDIR={tmp_path}", "PREFIX=/usr")
    files = files_in(tmp_path)
    for path in ("usr/bin/sandmount", "usr/sbin/mount.sandmount",
                 "usr/share/man/man1/sandmount.1",
                 "usr/share/man/man5/sandmount-config.5",
                 "usr/share/bash-completion/completions/sandmount",
                 "usr/share/zsh/vendor-completions/_sandmount",
                 "usr/share/fish/vendor_completions.d/sandmount.fish",
                 "usr/share/sandmount/config.schema.json",
                 "usr/lib/systemd/user/sandmount@.service"):
        assert path in files, path
    unit = tmp_path / "usr/lib/systemd/user/sandmount@.service"
    assert "ExecStart=/usr/bin/sandmount mount" in unit.read_text()
    make("uninstall", f"DESTDIR={tmp_path}", "PREFIX=/usr")
    assert files_in(tmp_path) == set()


def test_debian_package(tmp_path):
    """Built, installed into a root of its own, run from there, removed."""
    if not shutil.which("dpkg-deb") or not shutil.which("objdump"):
        pytest.skip("no dpkg-deb or objdump here")
    version = out(SANDMOUNT, "--version").split()[1]
    deb = out(DIST / "make-deb", os.path.abspath(SANDMOUNT), version,
              tmp_path).strip()
    control = out("dpkg-deb", "-f", deb)
    assert f"Version: {version}" in control
    for package in ("libfuse3-3", "libarchive13", "libc6", "fuse3"):
        assert package in control
    root = tmp_path / "root"
    admin = root / "var" / "lib" / "dpkg"
    for d in ("info", "updates"):
        (admin / d).mkdir(parents=True)
    (admin / "status").touch()
    dpkg = ["dpkg", f"--root={root}", "--force-not-root", "--force-depends",
            "--force-bad-path", "--log=/dev/null"]
    out(*dpkg, "-i", deb)
    assert f"sandmount {version}" in out(root / "usr/bin/sandmount",
                                         "--version")
    listed = set(out(*dpkg, "-L", "sandmount").split())
    assert "/usr/share/doc/sandmount/changelog.gz" in listed
    assert "/usr/sbin/mount.sandmount" in listed
    sums = (admin / "info" / "sandmount.md5sums").read_text()
    assert "usr/bin/sandmount" in sums
    out("md5sum", "-c", "--quiet", admin / "info" / "sandmount.md5sums",
        cwd=root)
    out(*dpkg, "-r", "sandmount")
    assert not (root / "usr" / "bin" / "sandmount").exists()


def test_changelog_and_version_agree():
    top = (DIST / "changelog").read_text().split("\n", 1)[0]
    version = out(SANDMOUNT, "--version").split()[1]
    assert top.startswith(f"sandmount ({version}) ")
