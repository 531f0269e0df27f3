#!/usr/bin/env python3
"""The distributor that relto is measured against: runs lld's jobs as they stand, in place, several at once.

Where REFERENCE_OBJECTS names a directory, objects are kept there, and a job whose arguments and inputs are all as they
were takes its object from it.

Ends with the same summary line that relto prints, under its own name.
"""

import hashlib
import json
import os
import shutil
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor


KEPT = os.environ.get("REFERENCE_OBJECTS")


def size(job):
    return sum(os.path.getsize(path) for path in job["inputs"])


def key(common, job):
    """Everything that a job reads. Only the names of shard and output are left out: they hold a PID."""
    with open(common[0], "rb") as file:
        parts = [hashlib.file_digest(file, "sha256").hexdigest()]
    shard = next(word for word in job["args"] if word.startswith("-fthinlto-index="))
    names = [shard, job["outputs"][0]]
    parts += [word for word in common + job["args"] if word not in names]
    for path in job["inputs"]:
        with open(path, "rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        parts.append(digest if path in shard else f"{path}={digest}")
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def main():
    start = time.monotonic()
    with open(sys.argv[-1], encoding="utf-8") as file:
        link = json.load(file)

    common = link["common"]["args"]

    def compile(job):
        kept = KEPT and os.path.join(KEPT, key(common, job))
        if kept and os.path.exists(kept):
            shutil.copyfile(kept, job["outputs"][0])
            return 0
        code = subprocess.run(common + job["args"]).returncode
        if kept and code == 0:
            shutil.copyfile(job["outputs"][0], kept + ".partial")
            os.rename(kept + ".partial", kept)
        return code

    jobs = sorted(link["jobs"], key=size, reverse=True)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        failed = [code for code in pool.map(compile, jobs) if code != 0]
    seconds = time.monotonic() - start
    print(f"reference: {len(jobs)} jobs, {len(jobs)} local, {seconds:.1f} s", file=sys.stderr)
    return 1 if failed else 0


sys.exit(main())
