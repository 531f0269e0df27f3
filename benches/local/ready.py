#!/usr/bin/python3 -SE
"""The least that a distributor can do: gives lld objects that were there before, by a hard link, and looks at nothing.

Arguments: `--ready=DIR`, where the objects are, and the job file. What is not there yet is compiled and kept.
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
    os.link(kept, output)
