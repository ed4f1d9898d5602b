"""Counts of what a run has shown, for `make proof`: added up in the file that
SANDMOUNT_PROOF names, a JSON object; nowhere without it."""
import json
import os
import pathlib

counts = {}


def count(what, n=1):
    counts[what] = counts.get(what, 0) + int(n)


def save():
    name = os.environ.get("SANDMOUNT_PROOF")
    if not name or not counts:
        return
    path = pathlib.Path(name)
    old = json.loads(path.read_text()) if path.exists() else {}
    for what, n in counts.items():
        old[what] = old.get(what, 0) + n
    path.write_text(json.dumps(old, indent=1, sort_keys=True) + "\n")
