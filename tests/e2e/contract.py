"""The results of the contract suite, kept as JSON for the table in the README
(scripts/providers-table): {FEATURE: {PROVIDER: {"outcome", "why"}}}."""
import json
import os
import pathlib

FILE = pathlib.Path(os.environ.get("SANDMOUNT_CONTRACT",
                                   "build/contract.json"))
results = {}


def note(feature, provider, outcome, why=""):
    results.setdefault(feature, {})[provider] = {"outcome": outcome,
                                                 "why": why}


def save():
    """What this run did not ask stays as an earlier one left it."""
    if not results:
        return
    try:
        old = json.loads(FILE.read_text())
    except (OSError, ValueError):
        old = {}
    for feature, line in results.items():
        old.setdefault(feature, {}).update(line)
    FILE.parent.mkdir(parents=True, exist_ok=True)
    FILE.write_text(json.dumps(old, indent=1, sort_keys=True) + "\n")
