#!/usr/bin/env python3
"""The distributor that relto is measured against: runs lld's jobs as they stand, in place, several at once.

Ends with the same summary line that relto prints, under its own name.
"""

import json
import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor


def size(job):
    return sum(os.path.getsize(path) for path in job["inputs"])


def main():
    start = time.monotonic()
    with open(sys.argv[-1], encoding="utf-8") as file:
        link = json.load(file)

    def compile(job):
        return subprocess.run(link["common"]["args"] + job["args"]).returncode

    jobs = sorted(link["jobs"], key=size, reverse=True)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        failed = [code for code in pool.map(compile, jobs) if code != 0]
    seconds = time.monotonic() - start
    print(f"reference: {len(jobs)} jobs, {len(jobs)} local, {seconds:.1f} s", file=sys.stderr)
    return 1 if failed else 0


sys.exit(main())
