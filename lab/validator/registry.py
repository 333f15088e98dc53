"""The registry front (spec: protocol 15.3): signed reads of manifests and blobs, else 401. Its images are SIMULATED."""

from __future__ import annotations

from typing import Final

from aiohttp import web

from app.protocol.signing import Purpose
from lab.validator.library import MANIFEST_TYPE, Blob, Library
from lab.validator.web import reply, signed

LIBRARY: Final = web.AppKey("library", Library)


def routes() -> list[web.RouteDef]:
    """The routes of this file; aiohttp answers HEAD where GET is given."""
    return [
        web.get("/registry/auth", signed(Purpose.REGISTRY, _authorise)),
        web.get("/v2/", signed(Purpose.REGISTRY, _version)),
        web.get("/v2/{name:.+}/manifests/{reference}", signed(Purpose.REGISTRY, _manifest)),
        web.get("/v2/{name:.+}/blobs/{digest}", signed(Purpose.REGISTRY, _blob)),
    ]


async def _authorise(_: web.Request) -> web.Response:
    return reply({"authenticated": True})


async def _version(_: web.Request) -> web.Response:
    return reply({})


async def _manifest(request: web.Request) -> web.Response:
    found = request.app[LIBRARY].find(request.match_info["name"], request.match_info["reference"])
    if found is None:
        return reply({"errors": [{"code": "MANIFEST_UNKNOWN"}]}, 404)
    headers = {"Docker-Content-Digest": found.digest}
    return web.Response(body=found.manifest, content_type=MANIFEST_TYPE, headers=headers)


async def _blob(request: web.Request) -> web.StreamResponse:
    digest = request.match_info["digest"]
    blob = request.app[LIBRARY].blob(digest)
    if blob is None:
        return reply({"errors": [{"code": "BLOB_UNKNOWN"}]}, 404)
    return await _send(request, digest, blob)


async def _send(request: web.Request, digest: str, blob: Blob) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Docker-Content-Digest": digest, "Content-Type": "application/octet-stream"})
    response.content_length = blob.size
    await response.prepare(request)
    if request.method != "HEAD":
        async for chunk in blob.chunks():
            await response.write(chunk)
    await response.write_eof()
    return response
