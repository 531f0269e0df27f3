#!/usr/bin/env python3
"""Adds up what the campaigns of all runs have counted: a line for each campaign.

usage: tests/campaigns.py [SINCE_COMMIT]    SINCE_COMMIT: only runs of commits that contain it

The record is $XDG_STATE_HOME/relto-test/campaigns.jsonl (~/.local/state without XDG_STATE_HOME). Each of its lines is one
piece of a run: campaign, time, commit, seconds, first and last seed, and counts.
"""

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path


def contains(commit, wanted, known={}):
    if commit not in known:
        command = ["git", "merge-base", "--is-ancestor", wanted, commit]
        known[commit] = subprocess.run(command, stderr=subprocess.DEVNULL).returncode == 0
    return known[commit]


def main():
    state = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local/state"
    record = Path(state) / "relto-test/campaigns.jsonl"
    if not record.exists():
        sys.exit(f"{record} does not exist: no campaign has run")
    seconds, counts, last = Counter(), {}, {}
    for line in record.read_text().splitlines():
        piece = json.loads(line)
        if len(sys.argv) > 1 and not contains(piece["commit"], sys.argv[1]):
            continue
        name = piece["campaign"]
        seconds[name] += piece["seconds"]
        counts.setdefault(name, Counter()).update(piece["counts"])
        last[name] = piece["commit"]
    for name in sorted(counts):
        sums = ", ".join(f"{count} {what}" for what, count in sorted(counts[name].items()))
        print(f"{name}: {sums}; {seconds[name]} s, last at {last[name]}")


main()
