"""The engine's LanguageRuntime service: how it starts Python programs, plugins and policy packs (spec: lab 2).

Programs and plugins run in children, so that nothing they do to their interpreter reaches this process.
"""

from __future__ import annotations

import json
import os
from collections.abc import AsyncIterator
from importlib import metadata
from pathlib import Path
from typing import Any, Final, TypeAlias

import grpc
from google.protobuf.empty_pb2 import Empty
from pulumi.runtime.proto import language_pb2 as wire
from pulumi.runtime.proto import language_pb2_grpc
from pulumi.runtime.proto.plugin_pb2 import PluginInfo

from lab.engine.language.children import Children, lines
from lab.engine.language.interpreters import Environment, UnknownToolchainError, environment_of
from lab.engine.language.program import EXIT_ERROR_ALREADY_SHOWN

_ANALYZER: Final = "analyzer"
_PACKAGES: Final = Path(__file__).with_name("packages.py")
_PROGRAM: Final = Path(__file__).with_name("program.py")
Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"


class PythonHost(language_pb2_grpc.LanguageRuntimeServicer):
    """Serves one engine; `close()` ends what it started."""

    def __init__(self, engine: str) -> None:
        self._engine = engine
        self._children = Children()

    def register(self, server: grpc.aio.Server) -> None:
        language_pb2_grpc.add_LanguageRuntimeServicer_to_server(self, server)

    async def close(self) -> None:
        await self._children.close()

    async def Handshake(
        self, request: wire.LanguageHandshakeRequest, context: Context
    ) -> wire.LanguageHandshakeResponse:
        self._engine = request.engine_address or self._engine
        return wire.LanguageHandshakeResponse()

    async def GetPluginInfo(self, request: Empty, context: Context) -> PluginInfo:
        return PluginInfo(version=metadata.version("pulumi"))

    async def GetRequiredPackages(
        self,
        request: wire.GetRequiredPackagesRequest,
        context: Context,
    ) -> wire.GetRequiredPackagesResponse:
        """None: the toolchain has put every plugin in place, and the engine asks again when a program needs one."""
        return wire.GetRequiredPackagesResponse()

    async def GetRequiredPlugins(
        self,
        request: wire.GetRequiredPluginsRequest,
        context: Context,
    ) -> wire.GetRequiredPluginsResponse:
        return wire.GetRequiredPluginsResponse()

    async def RuntimeOptionsPrompts(
        self,
        request: wire.RuntimeOptionsRequest,
        context: Context,
    ) -> wire.RuntimeOptionsResponse:
        return wire.RuntimeOptionsResponse()

    async def About(self, request: wire.AboutRequest, context: Context) -> wire.AboutResponse:
        environment = await _environment(request.info, context)
        code = "import platform; print(platform.python_version())"
        version = await self._output(environment, "-I", "-c", code)
        return wire.AboutResponse(
            executable=str(environment.python),
            version=version.strip(),
            metadata={"language host": "headframe lab stand-in", "pulumi SDK": metadata.version("pulumi")},
        )

    async def GetProgramDependencies(
        self, request: wire.GetProgramDependenciesRequest, context: Context
    ) -> wire.GetProgramDependenciesResponse:
        environment = await _environment(request.info, context)
        found = json.loads(await self._output(environment, str(_PACKAGES)))
        wanted = [package for package in found if package["direct"] or request.transitiveDependencies]
        return wire.GetProgramDependenciesResponse(
            dependencies=[wire.DependencyInfo(name=package["name"], version=package["version"]) for package in wanted]
        )

    async def InstallDependencies(
        self, request: wire.InstallDependenciesRequest, context: Context
    ) -> AsyncIterator[wire.InstallDependenciesResponse]:
        environment = await _environment(request.info, context)
        if not environment.install:
            yield wire.InstallDependenciesResponse(stdout=f"nothing to install for {environment.python}\n".encode())
            return
        child = await self._children.start(environment.install, folder=str(environment.folder))
        try:
            async for stream, data in lines(child):
                yield wire.InstallDependenciesResponse(**{stream: data})
        finally:
            status = await self._children.end(child)
        if status:
            shown = " ".join(environment.install)
            await context.abort(grpc.StatusCode.INTERNAL, f"`{shown}` in {environment.folder} ended with {status}")

    async def Run(self, request: wire.RunRequest, context: Context) -> wire.RunResponse:
        environment = await _environment(request.info, context)
        command = (str(environment.python), "-u", "-P", str(_PROGRAM), self._engine)
        child = await self._children.start(command, folder=request.pwd, streamed=False)
        try:
            await child.communicate(request.SerializeToString())
        finally:
            status = await self._children.end(child)
        if status == EXIT_ERROR_ALREADY_SHOWN:
            return wire.RunResponse(bail=True)
        return wire.RunResponse(error=f"the program ended with status {status}" if status else "")

    async def RunPlugin(
        self, request: wire.RunPluginRequest, context: Context
    ) -> AsyncIterator[wire.RunPluginResponse]:
        environment = await _environment(request.info, context)
        folder = request.info.program_directory
        if request.kind == _ANALYZER:  # a policy pack: its folder comes last and is its working directory
            command = ("-u", "-m", "pulumi.policy", *request.args, folder)
        else:
            command = ("-u", folder, *request.args)
        child = await self._children.start(
            (str(environment.python), *command),
            folder=folder if request.kind == _ANALYZER else request.pwd,
            environment={**os.environ, **dict(pair.split("=", 1) for pair in request.env)},
        )
        try:
            async for stream, data in lines(child):
                yield wire.RunPluginResponse(stdout=data) if stream == "stdout" else wire.RunPluginResponse(stderr=data)
        finally:
            status = await self._children.end(child)
        yield wire.RunPluginResponse(exitcode=status)

    async def Cancel(self, request: Empty, context: Context) -> Empty:
        await self._children.terminate_all()
        return Empty()

    async def _output(self, environment: Environment, *arguments: str) -> str:
        child = await self._children.start((str(environment.python), *arguments), folder=str(environment.folder))
        try:
            output, errors = await child.communicate()
        finally:
            status = await self._children.end(child)
        if status:
            raise RuntimeError(f"{environment.python} ended with {status}: {errors.decode(errors='replace')[-500:]}")
        return output.decode()


async def _environment(info: wire.ProgramInfo, context: Context) -> Environment:
    try:
        return environment_of(info)
    except UnknownToolchainError as error:
        await context.abort(grpc.StatusCode.FAILED_PRECONDITION, str(error))
        raise
