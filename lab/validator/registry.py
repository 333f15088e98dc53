"""The registry front (spec: protocol 15.3): signed reads of manifests and blobs, else 401. Images are made up."""

from __future__ import annotations

import hashlib
from typing import Final

import orjson
from aiohttp import web

from app.protocol.signing import Purpose
from lab.validator.web import reply, signed

MANIFEST_TYPE: Final = "application/vnd.oci.image.manifest.v1+json"
EMPTY_CONFIG: Final = b'{"architecture":"amd64","os":"linux","rootfs":{"type":"layers","diff_ids":[]}}'


def routes() -> list[web.RouteDef]:
    """The routes of this file; aiohttp answers HEAD where GET is given."""
    return [
        web.get("/registry/auth", signed(Purpose.REGISTRY, _authorise)),
        web.get("/v2/", signed(Purpose.REGISTRY, _version)),
        web.get("/v2/{name:.+}/manifests/{reference}", signed(Purpose.REGISTRY, _manifest)),
        web.get("/v2/{name:.+}/blobs/{digest}", signed(Purpose.REGISTRY, _blob)),
    ]


def _digest(content: bytes) -> str:
    return "sha256:" + hashlib.sha256(content).hexdigest()


async def _authorise(_: web.Request) -> web.Response:
    return reply({"authenticated": True})


async def _version(_: web.Request) -> web.Response:
    return reply({})


async def _manifest(request: web.Request) -> web.Response:
    manifest = orjson.dumps(
        {
            "schemaVersion": 2, "mediaType": MANIFEST_TYPE, "layers": [],
            "config": {
                "mediaType": "application/vnd.oci.image.config.v1+json",
                "digest": _digest(EMPTY_CONFIG), "size": len(EMPTY_CONFIG),
            },
            "annotations": {"headframe/simulated": "true", "name": request.match_info["name"]},
        }
    )  # fmt: skip
    headers = {"Docker-Content-Digest": _digest(manifest)}
    return web.Response(body=manifest, content_type=MANIFEST_TYPE, headers=headers)


async def _blob(request: web.Request) -> web.Response:
    if request.match_info["digest"] != _digest(EMPTY_CONFIG):
        return reply({"errors": [{"code": "BLOB_UNKNOWN"}]}, 404)
    return web.Response(body=EMPTY_CONFIG, content_type="application/octet-stream")
