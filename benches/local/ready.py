#!/usr/bin/python3 -SE
"""The least that a distributor can do: gives lld objects that were there before and looks at nothing.

Arguments: `--ready=DIR`, where the objects are, and the job file. What is not there yet is compiled and kept. lld gets
hard links, or copies with `RELTO_BENCH_COPY`: files of its own, which it may change without changing what is kept.
"""

import json
import os
import sys

directory = sys.argv[1].removeprefix("--ready=")
with open(sys.argv[-1], encoding="utf-8") as file:
    link = json.load(file)
for number, job in enumerate(link["jobs"]):
    kept, output = f"{directory}/{number}", job["outputs"][0]
    if not os.path.exists(kept):
        import subprocess

        subprocess.run(link["common"]["args"] + job["args"], check=True)
        os.rename(output, kept)
    if "RELTO_BENCH_COPY" in os.environ:
        source, target = os.open(kept, os.O_RDONLY), os.open(output, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
        while os.sendfile(target, source, None, 1 << 30):
            pass
        os.close(source)
        os.close(target)
    else:
        os.link(kept, output)
