#!/usr/bin/env python3
"""report.py RESULTS.json: a run's numbers as RESULTS.md, results.svg and the
table in the README. Nothing in them is written by hand."""
import html
import json
import math
import pathlib
import re
import statistics
import sys

import jobs

HERE = pathlib.Path(__file__).resolve().parent
README = HERE.parent.parent / "README.md"
BEGIN, END = "<!-- bench: begin -->", "<!-- bench: end -->"
COLOURS = {"sandmount": "#2a7de1", "sshfs": "#d9822b", "rclone": "#8a8a8a"}


def median(runs):
    good = [r for r in runs if isinstance(r, (int, float))]
    return statistics.median(good) if good else None


def show_seconds(s):
    return f"{s * 1000:.1f} ms" if s < 1 else f"{s:.2f} s"


def cell(result, workload, system):
    """Seconds of one thing, or a word; as text with the ratio to native."""
    runs = result["cells"].get(workload["name"], {}).get(system)
    if not runs:
        return "–"
    value = median(runs)
    if value is None:
        return runs[0]
    text = show_seconds(value / workload["times"])
    native = median(result["cells"][workload["name"]].get("native", []))
    if system == "native" or not native:
        return text
    return f"{value / native:.2f}× ({text})"


def ratio(result, name, system):
    value = median(result["cells"].get(name, {}).get(system, []))
    native = median(result["cells"].get(name, {}).get("native", []))
    return value / native if value and native else None


def table(result, systems):
    rows = ["| workload | " + " | ".join(systems) + " | aim |",
            "| --- |" + " ---: |" * (len(systems) + 1)]
    for w in result["workloads"]:
        cells = [cell(result, w, s) for s in systems]
        aim = f"{w['aim']:.2f}×" if w["aim"] else ""
        rows.append(f"| {w['name']} | " + " | ".join(cells) + f" | {aim} |")
    return "\n".join(rows)


def mounts_table(result):
    if not result["mounts"]:
        return ""
    rows = ["| files | first mount | mount, unchanged | unmount | daemon's "
            "memory | a file |", "| ---: |" + " ---: |" * 5]
    for m in result["mounts"]:
        rows.append(
            f"| {m['files']} | {show_seconds(m['first_mount'])} | "
            f"{show_seconds(m['mount'])} | {show_seconds(m['umount'])} | "
            f"{m['rss_bytes'] / 1e6:.1f} MB | {m['bytes_per_file']:.0f} bytes |")
    return "\n".join(rows)


def jobs_table(result):
    if not result["jobs"]:
        return ""
    rows = [f"Whole jobs on {jobs.FILES:,} files, {jobs.BYTES >> 20} MiB, "
            "against a copy of the whole tree by tar in the same run:", "",
            "| job | time | `tar c \\| tar x` of the tree | times tar | bytes "
            "moved | largest memory |", "| --- |" + " ---: |" * 5]
    for j in result["jobs"]:
        rows.append(
            f"| {j['job']} | {show_seconds(j['seconds'])} | "
            f"{show_seconds(j['tar_seconds'])} | "
            f"{j['seconds'] / j['tar_seconds']:.2f}× | {j['bytes']:,} | "
            f"{j['memory_bytes'] / 1e6:.1f} MB |")
    return "\n".join(rows)


def head(result):
    m = result["machine"]
    return (f"{result['date']}, {m['cpu']}, {m['cpus']} processors, "
            f"{m['memory_gib']} GiB, Linux {m['kernel']}, {m['file_system']}"
            f"; load before: {m['load']}")


def missed(result):
    out = []
    for w in result["workloads"]:
        r = ratio(result, w["name"], "sandmount 0 ms")
        if w["aim"] and r and r > w["aim"]:
            out.append(f"{w['name']} {r:.2f}× (aim {w['aim']:.2f}×)")
    return out


def markdown(result):
    notes = [*result["notes"]]
    late = missed(result)
    if late:
        notes.append("behind the aim: " + ", ".join(late))
    return "\n".join([
        "# Speed", "",
        "Written by `make bench` from results.json of the same run; not by "
        "hand.", "", head(result) + ".", "",
        "Versions: " + "; ".join(result["versions"].values()) + ".", "",
        f"Medians of up to {result['rounds']} interleaved rounds (the peers "
        "play one); behind the times native stands what one run took. \"20 "
        "ms\" is the round trip to the sandbox or server, added by a proxy.",
        "", table(result, result["systems"]), "",
        "![times native, logarithmic](results.svg)", "",
        "Mounting a workspace (sandbox: a directory of this machine):", "",
        mounts_table(result), "",
        jobs_table(result), "",
        *(f"- {n}" for n in notes), ""])


def svg(result):
    systems = [s for s in result["systems"] if s != "native"
               and s.endswith(" 0 ms")]
    rows = [w["name"] for w in result["workloads"]
            if ratio(result, w["name"], "sandmount 0 ms")]
    left, width, bar = 170, 520, 11
    step = bar * len(systems) + 10
    height = step * len(rows) + 60
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{left + width + 80}"'
           f' height="{height}" font-family="sans-serif" font-size="11">',
           '<rect width="100%" height="100%" fill="white"/>']

    def x(r):
        return left + width * min(max(math.log10(r) + 0.3, 0), 3.3) / 3.3

    for r in (1, 10, 100, 1000):
        out.append(f'<line x1="{x(r):.0f}" x2="{x(r):.0f}" y1="24" '
                   f'y2="{height - 20}" stroke="#ccc"/><text x="{x(r):.0f}" '
                   f'y="{height - 6}" text-anchor="middle">{r}×</text>')
    for i, s in enumerate(systems):
        name = s.split()[0]
        out.append(f'<rect x="{left + i * 110}" y="6" width="10" height="10" '
                   f'fill="{COLOURS[name]}"/><text x="{left + i * 110 + 14}" '
                   f'y="15">{name}</text>')
    for k, name in enumerate(rows):
        y = 28 + k * step
        out.append(f'<text x="{left - 8}" y="{y + step / 2}" '
                   f'text-anchor="end">{html.escape(name)}</text>')
        for i, s in enumerate(systems):
            r = ratio(result, name, s)
            if r:
                out.append(
                    f'<rect x="{x(0.5):.0f}" y="{y + i * bar}" height="'
                    f'{bar - 2}" width="{max(x(r) - x(0.5), 1):.0f}" '
                    f'fill="{COLOURS[s.split()[0]]}"/><text x="'
                    f'{x(r) + 4:.0f}" y="{y + i * bar + 9}">{r:.1f}</text>')
    return "\n".join([*out, "</svg>", ""])


def readme_table(result):
    systems = [s for s in ("native", "sandmount 0 ms", "sandmount 20 ms",
                           "sshfs 20 ms", "rclone 20 ms")
               if s in result["systems"]]
    return "\n".join([BEGIN, f"Times native; {head(result)}. More in "
                      "tests/bench/RESULTS.md, written by `make bench`.", "",
                      table(result, systems), "", jobs_table(result), END])


def write(result, out):
    (out / "RESULTS.md").write_text(markdown(result))
    (out / "results.svg").write_text(svg(result))
    text = README.read_text()
    if out == HERE and BEGIN in text:
        README.write_text(re.sub(
            re.escape(BEGIN) + ".*" + re.escape(END),
            lambda _: readme_table(result), text, flags=re.S))


if __name__ == "__main__":
    write(json.loads(pathlib.Path(sys.argv[1]).read_text()), HERE)
