"""Pulls through a node's registry proxy: real nginx, our API, the simulated validator's registry, a real puller."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from redis.asyncio import Redis
from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine

from app.protocol.registry_proxy import proxy_host
from app.protocol.registry_proxy_settings import ProxySettings, Upstream
from lab.kubernetes.image_archive import Image, write_image
from lab.services.redis import EmbeddedRedis
from lab.validator.app import SimulatedValidator
from lab.validator.library import read_archive
from tests.support.api import serving, settings
from tests.support.control import VALIDATOR, entry_of
from tests.support.nginx import registry_proxy
from tests.support.waiting import in_thread

pytestmark = [
    pytest.mark.service,
    pytest.mark.skipif(shutil.which("nginx") is None, reason="needs nginx: apt install nginx-light"),
]

TOKEN = "a-node-token-of-the-tests"
NAME = "simulated/answers"


@dataclass(frozen=True)
class Way:
    """The way of a pull."""

    proxy: str
    api: str
    validator: SimulatedValidator


@pytest.fixture
async def way(database_url: str, redis: Redis, redis_server: EmbeddedRedis, tmp_path: Path) -> AsyncIterator[Way]:
    """Node `simulated-gpu-2` at 127.0.0.1, its proxy, and a registry with one image."""
    digest = hashlib.sha256(TOKEN.encode()).hexdigest()
    engine = create_async_engine(database_url)
    async with engine.begin() as connection:
        await connection.execute(text("UPDATE servers SET ip_address = '127.0.0.1' WHERE name = 'simulated-gpu-2'"))
        await connection.execute(
            text(
                "INSERT INTO node_profiles (server_id, kind, registry_token_sha256) SELECT server_id, 'bare', :digest "
                "FROM servers WHERE name = 'simulated-gpu-2' "
                "ON CONFLICT (server_id) DO UPDATE SET registry_token_sha256 = :digest"
            ),
            {"digest": digest},
        )
    await engine.dispose()
    async with SimulatedValidator(VALIDATOR.ss58).listening() as validator:
        validator.library.images[f"{NAME}:0.1"] = read_archive(_archive(tmp_path))
        config = settings(database_url, redis_server.url, validator=entry_of(validator))
        async with serving(config) as api:
            registries = {VALIDATOR.ss58: Upstream.parse(validator.url)}
            proxied = ProxySettings(miner_api=api, registries=registries, default=Upstream.parse(validator.url))
            async with registry_proxy(proxied, TOKEN, tmp_path) as proxy:
                yield Way(proxy, api, validator)


def _archive(folder: Path) -> Path:
    (folder / "content").write_bytes(os.urandom(3 << 20))
    archive = folder / "image.tar"
    write_image(Image(f"{NAME}:0.1", {"/content": folder / "content"}, entrypoint=("/content",)), archive)
    return archive


@pytest.mark.skipif(shutil.which("buildah") is None or os.geteuid() != 0, reason="needs buildah, as root")
async def test_a_container_tool_pulls_an_image_and_every_request_is_signed(way: Way, tmp_path: Path) -> None:
    store = ["buildah", "--root", str(tmp_path / "root"), "--runroot", str(tmp_path / "run"), "--storage-driver", "vfs"]
    source = f"docker://{way.proxy.removeprefix('http://')}/{NAME}:0.1"
    pull = [*store, "pull", "--tls-verify=false", "--policy", "always", source]
    done = await in_thread(lambda: subprocess.run(pull, capture_output=True, text=True, timeout=120, check=False))
    assert done.returncode == 0, done.stderr
    pulled = done.stdout.strip().splitlines()[-1]
    manifest = way.validator.library.images[f"{NAME}:0.1"].manifest
    assert pulled.encode() in manifest  # an image's id is the digest of its configuration
    asked = [line for line in way.validator.state.asked if line.path.startswith("/v2/")]
    assert {line.path.split("/")[-2] for line in asked} >= {"manifests", "blobs"}
    assert all(line.signature_valid and line.purpose == "registry" for line in asked)


async def test_the_validator_is_found_by_the_host_or_by_what_a_mirror_says(way: Way) -> None:
    host = proxy_host(VALIDATOR.ss58)
    async with httpx.AsyncClient(base_url=way.proxy) as http:
        by_host = await http.get(f"/v2/{NAME}/manifests/0.1", headers={"Host": f"{host}:30500"})
        by_mirror = await http.get(f"/v2/{NAME}/manifests/0.1", params={"ns": f"{host}:30500"})
    assert by_host.status_code == by_mirror.status_code == 200
    assert by_host.headers["docker-content-digest"] == "sha256:" + hashlib.sha256(by_mirror.content).hexdigest()


async def test_a_moved_tag_is_seen_at_once_because_nothing_is_cached(way: Way) -> None:
    async with httpx.AsyncClient(base_url=way.proxy) as http:
        before = await http.get(f"/v2/{NAME}/manifests/0.1")
        del way.validator.library.images[f"{NAME}:0.1"]
        after = await http.get(f"/v2/{NAME}/manifests/0.1")
    assert before.headers["docker-content-digest"] != after.headers["docker-content-digest"]


async def test_only_pulls_pass(way: Way) -> None:
    async with httpx.AsyncClient(base_url=way.proxy) as http:
        assert (await http.post(f"/v2/{NAME}/blobs/uploads/")).status_code == 405
        assert (await http.get("/servers/")).status_code == 404
        assert (await http.get("/auth")).status_code == 404
    assert not [line for line in way.validator.state.asked if line.path.startswith("/v2/")]


async def test_a_wrong_token_or_an_absent_api_is_unauthorised_and_never_reaches_the_registry(
    way: Way, tmp_path: Path
) -> None:
    (tmp_path / "other").mkdir()
    default = Upstream.parse(way.validator.url)
    for api, token in ((way.api, "not-the-token-of-this-node"), ("http://127.0.0.1:9", TOKEN)):
        wrong = ProxySettings(miner_api=api, registries={}, default=default)
        async with registry_proxy(wrong, token, tmp_path / "other") as proxy, httpx.AsyncClient(base_url=proxy) as http:
            assert (await http.get(f"/v2/{NAME}/manifests/0.1")).status_code == 401
    assert not [line for line in way.validator.state.asked if line.path.startswith("/v2/")]


async def test_what_the_registry_refuses_comes_through_as_it_is(way: Way) -> None:
    async with httpx.AsyncClient(base_url=way.proxy) as http:
        missing = await http.get(f"/v2/{NAME}/blobs/sha256:{'0' * 64}")
    assert (missing.status_code, missing.json()) == (404, {"errors": [{"code": "BLOB_UNKNOWN"}]})
