#!/usr/bin/env python3
"""count.py [WALK...]: counts the calls, files and hand-overs of one job's walk through the sources.

Fails if a file of the list has no function of that name."""
import pathlib
import re
import sys

root = pathlib.Path(__file__).resolve().parents[2]
walks = [pathlib.Path(name) for name in sys.argv[1:]] or sorted(pathlib.Path(__file__).parent.glob("*.txt"))
for walk in walks:
    calls, files, hand_overs = 0, set(), 0
    for line in walk.read_text().splitlines():
        if not line.strip() or line.startswith("#"):
            continue
        if line == "=>":
            hand_overs += 1
            continue
        file, function = line.split()
        source = (root / file).read_text()
        if not re.search(rf"\bfn {function}\b", source):
            sys.exit(f"{walk.name}: `{file}` has no function `{function}`")
        calls += 1
        files.add(file)
    print(f"{walk.stem}: {calls} calls, {len(files)} files, {hand_overs} hand-overs")
