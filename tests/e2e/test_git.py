"""`.git` is a unit (MERGE.md): real repositories of some hundred commits, on
both sides; after each restore `git fsck` finds nothing and no commit is lost."""
import os
import subprocess

import pytest

from conftest import paths, remove, write

ENV = {"GIT_AUTHOR_NAME": "a", "GIT_AUTHOR_EMAIL": "a@b",
       "GIT_COMMITTER_NAME": "a", "GIT_COMMITTER_EMAIL": "a@b",
       "GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_NOSYSTEM": "1"}


def git(where, *words, code=0, given=None):
    done = subprocess.run(["git", "-c", "gc.auto=0", "-c",
                           "protocol.file.allow=always", *map(str, words)],
                          cwd=where, env=dict(os.environ, **ENV), text=True,
                          input=given, capture_output=True, timeout=300)
    assert done.returncode == code, (words, done.stdout, done.stderr)
    return done.stdout.strip()


def build(where, commits=300):
    """A repository with history, a nested branch, a tag and loose objects."""
    where.mkdir(exist_ok=True)
    git(where, "init", "-q", "-b", "main")
    text = []
    for i in range(1, commits + 1):
        body = f"file {i % 40} at {i}\n"
        text.append(f"commit refs/heads/main\nmark :{i}\n"
                    f"committer a <a@b> {1700000000 + i} +0000\n"
                    f"data <<E\ncommit {i}\nE\n"
                    f"M 100644 inline dir{i % 7}/f{i % 40}\n"
                    f"data {len(body)}\n{body}\n")
    git(where, "fast-import", "--quiet", given="".join(text))
    git(where, "reset", "-q", "--hard")
    git(where, "branch", "feature/one", "HEAD~20")
    git(where, "tag", "-a", "v1", "-m", "one", "HEAD~10")
    git(where, "pack-refs", "--all")
    commit(where, "loose")


def commit(where, word, code=0):
    write(where / f"{word}.txt", f"{word}\n")
    git(where, "add", "-A", "--", f"{word}.txt")
    git(where, "commit", "-qm", word, code=code)
    return git(where, "rev-parse", "HEAD")


def all_commits(where):
    return set(git(where, "rev-list", "--all", "--reflog").split())


def check(where):
    assert git(where, "fsck", "--full", "--strict", "--no-dangling") == ""


@pytest.fixture
def two(world):
    """The same repository at home and in the sandbox."""
    build(world.local)
    world.prepare("--exclude", "*.ignored")
    check(world.remote)
    return world


def test_only_the_sandbox_worked(two):
    git(two.remote, "checkout", "-q", "-b", "agent")
    for i in range(5):
        head = commit(two.remote, f"agent{i}")
    git(two.remote, "gc", "-q", "--prune=now")
    git(two.remote, "config", "alias.x", "!evil")
    write(two.remote / ".git" / "hooks" / "post-checkout", "evil\n", 0o755)
    write(two.remote / ".git" / "index.lock", "")
    r = two.restore("--allow-deletes", check=3).json
    assert paths(r, "held") == [".git/config", ".git/hooks/post-checkout"]
    check(two.local)
    assert git(two.local, "rev-parse", "HEAD") == head
    assert git(two.local, "symbolic-ref", "HEAD") == "refs/heads/agent"
    assert git(two.local, "status", "--porcelain") == ""
    commit(two.local, "goes-on")


def test_only_home_worked(two):
    head = commit(two.local, "mine")
    git(two.local, "gc", "-q", "--prune=now")
    git(two.remote, "status")
    r = two.restore(check=0).json
    assert r["applied"] == [] and r["merged"] == []
    assert git(two.local, "rev-parse", "HEAD") == head
    check(two.local)


def test_both_committed(two):
    index = (two.local / ".git" / "index").read_bytes()
    for i in range(30):
        theirs = commit(two.remote, f"agent{i}")
    git(two.remote, "checkout", "-q", "feature/one")
    feature = commit(two.remote, "feature")
    git(two.remote, "tag", "-a", "v2", "-m", "two")
    git(two.remote, "gc", "-q", "--prune=now")
    mine = commit(two.local, "mine")
    index = (two.local / ".git" / "index").read_bytes()
    lost = all_commits(two.remote) | all_commits(two.local)
    r = two.restore(check=None)
    assert r.code == 0, r
    assert [line["kind"] for line in r.json["merged"]] == ["git"]
    check(two.local)
    assert (two.local / ".git" / "index").read_bytes() == index
    assert git(two.local, "symbolic-ref", "HEAD") == "refs/heads/main"
    assert git(two.local, "rev-parse", "HEAD") == mine
    ref = "refs/sandmount/box/"
    assert git(two.local, "rev-parse", ref + "main") == theirs
    assert git(two.local, "rev-parse", ref + "feature/one") == feature
    assert git(two.local, "rev-parse", ref + "tags/v2^{commit}") == feature
    assert lost <= set(git(two.local, "rev-list", "--all").split())
    # As a person goes on; their files came home, not yet committed here.
    git(two.local, "stash", "-q", "-u")
    git(two.local, "merge", "-q", "-m", "theirs", ref + "main")
    git(two.local, "gc", "-q", "--prune=now")
    check(two.local)
    # And again, on top of it.
    again = commit(two.remote, "again")
    commit(two.local, "mine2")
    two.restore(check=0)
    check(two.local)
    assert git(two.local, "rev-parse", ref + "feature/one") == again


def test_detached_heads_and_stashes(two):
    git(two.remote, "checkout", "-q", "--detach")
    detached = commit(two.remote, "detached")
    write(two.remote / "loose.txt", "stashed\n")
    git(two.remote, "stash", "-q")
    stash = git(two.remote, "rev-parse", "refs/stash")
    git(two.local, "checkout", "-q", "--detach", "HEAD~3")
    mine = commit(two.local, "mine")
    two.restore(check=None)
    check(two.local)
    assert git(two.local, "rev-parse", "HEAD") == mine
    ref = "refs/sandmount/box/"
    assert git(two.local, "rev-parse", ref + "HEAD") == detached
    assert git(two.local, "rev-parse", ref + "stash") == stash
    git(two.local, "gc", "-q", "--prune=now")
    assert git(two.local, "cat-file", "-t", detached) == "commit"


def test_git_at_work_at_home(two):
    theirs = commit(two.remote, "agent")
    head = git(two.local, "rev-parse", "HEAD")
    lock = two.local / ".git" / "index.lock"
    lock.touch()
    r = two.restore(check=3).json
    assert r["held"] and all("git is at work here" in line["why"]
                             for line in r["held"])
    assert paths(r, "applied") == ["agent.txt"]
    assert lock.exists()
    assert git(two.local, "rev-parse", "HEAD") == head
    check(two.local)
    lock.unlink()
    r = two.restore(check=0).json
    assert git(two.local, "rev-parse", "HEAD") == theirs
    assert git(two.local, "status", "--porcelain") == ""
    check(two.local)


def test_submodule_and_worktree(world):
    other = world.top / "other"
    build(other, 30)
    build(world.local, 50)
    git(world.local, "submodule", "--quiet", "add", other, "sub")
    git(world.local, "commit", "-qm", "sub")
    assert (world.local / "sub" / ".git").is_file()
    world.prepare()
    inner = commit(world.remote / "sub", "inner")
    git(world.remote, "commit", "-qam", "sub moves")
    write(world.remote / "sub" / ".git", "gitdir: ../evil\n")
    write(world.remote / ".git" / "modules" / "sub" / "hooks" / "pre-push",
          "evil\n", 0o755)
    commit(world.local / "sub", "mine")
    commit(world.local, "mine2")
    r = world.restore(check=3).json
    assert "sub/.git" in paths(r, "held")
    assert (world.local / "sub" / ".git").read_text() != "gitdir: ../evil\n"
    assert not (world.local / ".git/modules/sub/hooks/pre-push").exists()
    check(world.local)
    check(world.local / "sub")
    got = git(world.local / "sub", "for-each-ref", "--format=%(objectname)",
              "refs/sandmount/box")
    assert inner in got.split()


def test_no_repository_at_home_yet(world):
    """`git init` in the sandbox: comes home but for what git would run."""
    write(world.local / "a", "a\n")
    world.prepare()
    build(world.remote, 30)
    r = world.restore(check=3).json
    assert ".git/config" in paths(r, "held")
    git(world.local, "init", "-q")
    check(world.local)
    assert git(world.local, "rev-parse", "HEAD") == \
        git(world.remote, "rev-parse", "HEAD")
    remove(world.remote / "a")
    world.restore(check=None)
    assert not (world.local / "a").exists()
