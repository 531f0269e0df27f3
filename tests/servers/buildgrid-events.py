#!/usr/bin/env python3
"""buildgrid-events.py install DIR | serve DIR PORT | query DIR PORT

BuildGrid's Build Event Service, out of the package registry: `install` puts it into DIR unless it is there, `serve` runs
it on 127.0.0.1:PORT, `query` prints each event that it has, one JSON object a line, as its own definitions decode it.
"""

import json
import os
import subprocess
import sys

PACKAGES = ["buildgrid==0.4.4", "googleapis-common-protos"]

CONFIG = """
server:
  - !channel {address: "127.0.0.1:%s", insecure-mode: true}
authorization: {method: none}
instances:
  - name: ""
    services:
      - !memory-build-events
thread-pool-size: 8
"""


# Release 0.4.4 gives the services of build events no instance, and then refuses each of their calls for that.
START = """
import contextvars, sys
import buildgrid.server.context as context
context._instance_name = contextvars.ContextVar("instance_name", default="")
from buildgrid.server.app import cli
sys.exit(cli())
"""


def install(directory):
    if os.path.isdir(directory):
        return
    part = "%s.%d" % (directory, os.getpid())
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-compile"]
    subprocess.run([*pip, "--target", part, *PACKAGES], check=True)
    try:
        os.rename(part, directory)
    except OSError:
        pass  # another process was first


def serve(directory, port):
    config = os.path.join(os.environ["TMPDIR"], "buildgrid-%s.yml" % port)
    with open(config, "w", encoding="utf-8") as file:
        file.write(CONFIG % port)
    os.environ["PYTHONPATH"] = directory
    os.execv(sys.executable, [sys.executable, "-c", START, "server", "start", config])


def query(directory, port):
    sys.path.insert(0, directory)
    import grpc
    from buildgrid._protos.build.buildgrid import query_build_events_pb2 as messages
    from buildgrid._protos.build.buildgrid import query_build_events_pb2_grpc as services

    with grpc.insecure_channel("127.0.0.1:%s" % port) as channel:
        grpc.channel_ready_future(channel).result(timeout=300)
        stub = services.QueryBuildEventsStub(channel)
        answer = stub.QueryEventStreams(messages.QueryEventStreamsRequest(build_id_pattern=".*"))
        for stream in answer.streams:
            for event in stream.events:
                print(json.dumps({
                    "invocation": event.stream_id.invocation_id,
                    "component": event.stream_id.component,
                    "number": event.sequence_number,
                    "kind": event.event.WhichOneof("event"),
                    "type": event.event.bazel_event.type_url,
                    "event": event.event.bazel_event.value.hex(),
                }))


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["install", directory]:
            install(directory)
        case ["serve", directory, port]:
            serve(directory, port)
        case ["query", directory, port]:
            query(directory, port)
        case _:
            sys.exit(__doc__)
