#!/usr/bin/env python3
"""Looks for options that write names, directories or the command line into an object, among all that clang and LLVM have.

usage: tests/option-sweep.py RELTO [SET...]     SET: llvm (options after -mllvm), driver, cc1 (options after -Xclang); all by default

Each option is given several values, and a ThinLTO backend is compiled twice by clang alone, in directories and under module
names that have nothing in common. Where the object differs, where clang fails or where it writes other files, relto compiles
the module too, and must do what clang does in place: the same object, the same files, failure for failure. Options that only
print are left out. LLVM=/usr/lib/llvm-22 names another release. It takes hours of processor time: with RELTO_SWEEP_SECONDS a
run stops after that time, and the next one goes on there. Sums are in the record of `tests/campaigns.py`.
"""

import itertools
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

LLVM = Path(os.environ.get("LLVM", "/usr/lib/llvm-22")) / "bin"
CLANG = str(LLVM / "clang")
BASE = ["-c", "-O2", "-ffunction-sections", "-x", "ir"]
TOGETHER = 12
SOURCES = {
    "a": """int shared(int); static int cells[4] = {1, 2};
__attribute__((noinline)) static int sum(int x) { int s = 0; for (int i = 0; i < x; i++) s += cells[i & 3] * i; return s; }
int twice(int x) { return 2 * x + cells[x & 3] + sum(x); }
int again(int x) __attribute__((alias("twice")));
float total(float *a, int n) { float s = 0; for (int i = 0; i < n; i++) s += a[i]; return s; }
int pick(int x) { switch (x) { case 1: return 5; case 2: return 8; case 9: return 1; default: return shared(x); } }
int main(int argc, char **argv) { return shared(argc) + again(argc) + pick(argc); }
""",
    "b": """int twice(int); static int cells[4] = {3}; const char *name(void) { return "hello"; }
__attribute__((noinline)) static int local(int x) { return cells[x & 3]++; }
int shared(int x) { char b[64]; __builtin_memset(b, x, 64); return twice(x + 1) + local(x) + b[x & 63]; }
""",
}
# What ends in another kind of output, needs another program, or names the parts that this script chooses itself.
LEFT_OUT = re.compile(
    r"-(###|o|x|E|S|M|c|cc1|ccc-.*|MJ|fthinlto-index=|-?version|-?help|-?save-temps.*|emit-.*|fsyntax-only|-?analyze.*|triple"
    r"|working-directory.*|gen-reproducer.*|fcrash.*|-offload.*|fmodule.*|main-file-name|-help-.*|h|W|print-(all-)?options)$"
)


class Place:
    """A directory with two modules and their shards, to be copied."""

    def __init__(self, root, first, second, output):
        self.root, self.module, self.output = root, first, output
        self.copies = itertools.count()
        (root / first).parent.mkdir(parents=True)
        for source, name in zip(SOURCES, (first, second)):
            compiled = [CLANG, "-g", "-O2", "-flto=thin", "-c", f"{source}.c", "-o", str(root / name)]
            subprocess.run(compiled, check=True, cwd=root.parent)
        thin = [str(LLVM / "ld.lld"), "--thinlto-index-only", "-e", "main", "-o", "app", first, second]
        subprocess.run(thin, check=True, cwd=root)

    def compile(self, options, before=(), environment=(), number=None):
        """Exit code, object, other files, messages without names. The number is that of the copy's directory."""
        copy = Path(f"{self.root}.{next(self.copies) if number is None else number}")
        shutil.copytree(self.root, copy)
        known = set(os.listdir(copy))
        words = [*before, CLANG, *BASE, self.module, f"-fthinlto-index={self.module}.thinlto.bc", "-o", self.output, *options]
        variables = {"PATH": "/usr/bin:/bin", "TMPDIR": str(copy), **dict(environment)}
        try:
            run = subprocess.run(words, cwd=copy, capture_output=True, timeout=120, stdin=subprocess.DEVNULL, env=variables)
            found = copy / self.output
            made = found.read_bytes() if found.exists() else None
            # Temporary files have random names.
            others = {re.sub("-[0-9a-f]{6}", "", name) for name in set(os.listdir(copy)) - known - {self.output}}
            said = (run.stdout + run.stderr).replace(str(copy).encode(), b"").replace(self.module.encode(), b"")
            return run.returncode, made, sorted(others), said
        except subprocess.TimeoutExpired:
            return "timeout", None, [], b""
        finally:
            shutil.rmtree(copy, ignore_errors=True)


def llvm_options():
    printed = subprocess.run([CLANG, "-mllvm", "--help-list-hidden", "-xc", "-c", "/dev/null", "-o", "/dev/null"],
                             capture_output=True, text=True).stdout
    name = None
    for line in printed.splitlines():
        if option := re.match(r"  --?([\w.-]+)(?:\[?=<([^>]*)>\]?)?( |$)", line):
            name, kind = option.group(1), option.group(2)
            if LEFT_OUT.match(f"-{name}"):
                name = None
            elif kind is None:
                yield from (["-mllvm", f"-{name}"], ["-mllvm", f"-{name}=false"])
            elif kind in ("int", "uint", "long", "ulong", "number", "unsigned"):
                yield from (["-mllvm", f"-{name}={value}"] for value in (0, 1, 64))
            else:
                yield from (["-mllvm", f"-{name}={value}"] for value in ("main", "cells", "*", "./x.txt", "1"))
        elif (value := re.match(r"    =(\S+)", line)) and name:
            yield ["-mllvm", f"-{name}={value.group(1)}"]


def completed(start):
    printed = subprocess.run([CLANG, f"--autocomplete={start}"], capture_output=True, text=True).stdout
    return [line.split("\t")[0] for line in printed.splitlines()]


def driver_options():
    for name in sorted(set(completed("-"))):
        if LEFT_OUT.match(name) or not name.startswith("-"):
            continue
        if name.endswith("="):
            yield from ([name + value] for value in completed(f"{name},")[:6] or ("main", "./x.txt", "1", "a=b"))
        else:
            yield from ([name], [name, "x1"])


def cc1_options():
    printed = subprocess.run([CLANG, "-cc1", "--help"], capture_output=True, text=True).stdout
    for line in printed.splitlines():
        option = re.match(r"  (-[\w.+-]+)(=?)(\s?<[^>]*>)?", line)
        if not option or LEFT_OUT.match(option.group(1)):
            continue
        name, joined, value = option.groups()
        if joined:
            yield from (["-Xclang", f"{name}={it}"] for it in ("main", "./x.txt", "1"))
        elif value:
            yield from (["-Xclang", name, "-Xclang", it] for it in ("main", "1"))
        else:
            yield ["-Xclang", name]


SETS = {"llvm": llvm_options, "driver": driver_options, "cc1": cc1_options}


class Sweep:
    def __init__(self, relto, work):
        for name, text in SOURCES.items():
            (work / f"{name}.c").write_text(text)
        self.here = Place(work / "one", "a.o", "b.o", "n.o")
        self.there = Place(work / "another", "relto/m/0000.bc", "relto/m/0001.bc", "relto/out.o")
        self.relto = relto
        home = {"HOME": str(work), "XDG_CACHE_HOME": str(work / "cache"), "RELTO_DAEMON": "off"}
        self.environment = home

    def group(self, options):
        """Many at a time, as long as nothing is remarkable about them."""
        words = [word for option in options for word in option]
        one, another = self.here.compile(words), self.there.compile(words)
        if one[0] == 0 and one[:3] == another[:3] and not one[2] and not one[3]:
            return [(option, "same", None) for option in options]
        if len(options) == 1:
            return [self.judge(options[0], one, another)]
        part = max(1, len(options) // 3)
        parts = (options[at : at + part] for at in range(0, len(options), part))
        return [judged for some in parts for judged in self.group(some)]

    def judge(self, option, one, another):
        if one[0] == 0 == another[0] and one[1] == another[1] and not one[2]:
            return option, "prints", None
        differs = one[0] == 0 and one[1] != another[1]
        kind = "differs" if differs else "fails" if one[0] != 0 else "writes files"
        wrong = None
        # In the same directory: what clang writes may name it.
        number = next(self.here.copies)
        one = self.here.compile(option, number=number)
        if one[0] == 0 and one[1] != self.here.compile(option, number=number)[1]:
            return option, "differs each time", None
        for _ in range(2):  # the second time it may be cached
            ours = self.here.compile(option, (self.relto, "cc"), self.environment.items(), number)
            if (ours[0] == 0) != (one[0] == 0):
                wrong = f"exit code {ours[0]}, not {one[0]}: {ours[3][-300:]!r}"
            elif one[0] == 0 and ours[1:3] != one[1:3]:
                wrong = "another object" if ours[1] != one[1] else f"the files {ours[2]}, not {one[2]}"
        return option, kind, wrong


def record_of_campaigns():
    state = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local/state"
    return Path(state) / "relto-test"


def begin_at(name, seconds):
    """Where the last run of a set stopped, if there is a limit."""
    place = record_of_campaigns() / f"option-sweep-{name}"
    return int(place.read_text()) if seconds and place.exists() else 0


def record(name, start, end, total, counts, seconds):
    """Remembers where to go on, and adds a line for `tests/campaigns.py`."""
    kept = record_of_campaigns()
    kept.mkdir(parents=True, exist_ok=True)
    (kept / f"option-sweep-{name}").write_text(str(end % max(1, total)))
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True).stdout.strip()
    line = {"campaign": f"option-sweep {name}", "time": int(time.time()), "commit": commit, "seconds": int(seconds),
            "first_seed": start, "last_seed": end, "counts": dict(counts)}
    with open(kept / "campaigns.jsonl", "a") as file:
        file.write(json.dumps(line) + "\n")


def main():
    relto, names = os.path.realpath(sys.argv[1]), sys.argv[2:] or list(SETS)
    seconds = float(os.environ.get("RELTO_SWEEP_SECONDS", "0"))
    failed = False
    with tempfile.TemporaryDirectory() as work, ThreadPoolExecutor(os.cpu_count()) as pool:
        sweep = Sweep(relto, Path(work))
        for name in names:
            options = list(SETS[name]())
            groups = [options[at : at + TOGETHER] for at in range(0, len(options), TOGETHER)]
            counts, began = Counter(), time.time()
            start = at = begin_at(name, seconds)
            while at < len(groups) and not (seconds and time.time() - began > seconds / len(names)):
                some = groups[at : at + 2 * os.cpu_count()]
                at += len(some)
                for option, kind, wrong in itertools.chain.from_iterable(pool.map(sweep.group, some)):
                    counts[kind] += 1
                    if kind == "differs" or wrong:
                        print(" ".join(option), "|", kind, "|", f"WRONG: {wrong}" if wrong else "right", flush=True)
                    counts["wrong"] += wrong is not None
                    failed |= wrong is not None
            record(name, start, at, len(groups), counts, time.time() - began)
            print(f"{name}: groups {start} to {at} of {len(groups)}:", ", ".join(f"{n} {kind}" for kind, n in counts.items()))
    sys.exit(failed)


main()
