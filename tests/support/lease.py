"""lease.py FILE...: holds a write lease on each file, so that who opens one waits.

Prints `held` when all are held, then `NUMBER` as soon as somebody waits for the file of that
number. A line `NUMBER` on standard input lets its reader go on. Ends with standard input."""

import fcntl
import os
import select
import signal
import sys

signal.signal(signal.SIGIO, signal.SIG_IGN)
held = {number: os.open(name, os.O_RDWR) for number, name in enumerate(sys.argv[1:])}
for descriptor in held.values():
    fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_WRLCK)
waiting = set()
print("held", flush=True)
while True:
    ready, _, _ = select.select([0], [], [], 0.005)
    if ready:
        # Unbuffered: `select` sees no line that Python has read ahead.
        line = b""
        while not line.endswith(b"\n"):
            byte = os.read(0, 1)
            if not byte:
                sys.exit()
            line += byte
        descriptor = held.pop(int(line))
        fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_UNLCK)
        os.close(descriptor)
    for number, descriptor in held.items():
        if number not in waiting and fcntl.fcntl(descriptor, fcntl.F_GETLEASE) != fcntl.F_WRLCK:
            waiting.add(number)
            print(number, flush=True)
