"""A provider of one resource, `thing:index:Thing`, that keeps its inputs. Copied into tests' projects.

`seconds` of a thing is how long its creation takes.
"""

from __future__ import annotations

import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
from google.protobuf.empty_pb2 import Empty
from pulumi.runtime.proto import provider_pb2 as wire
from pulumi.runtime.proto import provider_pb2_grpc
from pulumi.runtime.proto.plugin_pb2 import PluginInfo

PROJECT = "name: tiny\nruntime: python\nplugins:\n  providers:\n    - {name: thing, path: ./provider}\n"
PROGRAM = """import pulumi


class Thing(pulumi.CustomResource):
    def __init__(self, name, **inputs):
        super().__init__('thing:index:Thing', name, inputs)


"""


class Things(provider_pb2_grpc.ResourceProviderServicer):
    """Everything succeeds; a changed input is an update in place."""

    def GetPluginInfo(self, request: Empty, context: Any) -> PluginInfo:  # noqa: N802
        return PluginInfo(version="0.0.1")

    def CheckConfig(self, request: wire.CheckRequest, context: Any) -> wire.CheckResponse:  # noqa: N802
        return wire.CheckResponse(inputs=request.news)

    def Configure(self, request: wire.ConfigureRequest, context: Any) -> wire.ConfigureResponse:  # noqa: N802
        return wire.ConfigureResponse(acceptSecrets=True, supportsPreview=True)

    def Check(self, request: wire.CheckRequest, context: Any) -> wire.CheckResponse:  # noqa: N802
        return wire.CheckResponse(inputs=request.news)

    def Diff(self, request: wire.DiffRequest, context: Any) -> wire.DiffResponse:  # noqa: N802
        changed = request.old_inputs != request.news
        return wire.DiffResponse(changes=wire.DiffResponse.DIFF_SOME if changed else wire.DiffResponse.DIFF_NONE)

    def Create(self, request: wire.CreateRequest, context: Any) -> wire.CreateResponse:  # noqa: N802
        if not request.preview:
            seconds = dict(request.properties).get("seconds", 0.0)
            time.sleep(seconds if isinstance(seconds, float) else 0.0)
        return wire.CreateResponse(id="thing", properties=request.properties)

    def Update(self, request: wire.UpdateRequest, context: Any) -> wire.UpdateResponse:  # noqa: N802
        return wire.UpdateResponse(properties=request.news)

    def Delete(self, request: wire.DeleteRequest, context: Any) -> Empty:  # noqa: N802
        return Empty()


if __name__ == "__main__":
    server = grpc.server(ThreadPoolExecutor(4))
    provider_pb2_grpc.add_ResourceProviderServicer_to_server(Things(), server)
    print(server.add_insecure_port("127.0.0.1:0"), flush=True)
    server.start()
    print("thing provider:", sys.argv[1:], file=sys.stderr)
    threading.Event().wait()
