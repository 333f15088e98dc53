"""Every route of the public API, its answers and status codes (spec: protocol 3)."""

from __future__ import annotations

import hashlib
import time
from collections.abc import AsyncIterator
from datetime import datetime
from pathlib import Path

import orjson
import pytest
from fastapi import FastAPI
from redis.asyncio import Redis
from sqlalchemy import text

from app.api.registry import TokenCache
from app.gepetto.decision.configuration import Configuration
from app.gepetto.decision.eligibility import ServerObstacle
from app.gepetto.decision.gate import Refusal
from app.gepetto.decision.intents import Launch
from app.gepetto.why import EXPIRY_SECONDS, Weighed, publish
from app.protocol.channels import MINER_EVENTS
from app.protocol.signing import Purpose, body_digest, message_v1, verify
from app.storage.seed import CHUTES, gpu_id, seed_id
from lab.services.redis import EmbeddedRedis
from tests.support.api import ApiClient, client_for, running_app, settings
from tests.support.control import MINER
from tests.support.gepetto import make_chute, make_server, make_snapshot

pytestmark = pytest.mark.service

NODE = "simulated-gpu-0"
NODE_ID = seed_id(NODE)
SERVER_FIELDS = {
    "server_id",
    "validator",
    "name",
    "ip_address",
    "agent_api",
    "verification_port",
    "status",
    "created_at",
    "labels",
    "seed",
    "gpu_count",
    "cpu_per_gpu",
    "memory_per_gpu",
    "hourly_cost",
    "locked",
    "kubeconfig",
    "is_tee",
    "gpus",
    "deployments",
}
GPU_FIELDS = {"gpu_id", "validator", "server_id", "deployment_id", "device_info", "model_short_ref", "verified"}
DEPLOYMENT_FIELDS = {
    "deployment_id",
    "instance_id",
    "validator",
    "host",
    "port",
    "chute_id",
    "server_id",
    "version",
    "active",
    "verified_at",
    "activated_at",
    "stub",
    "job_id",
    "config_id",
    "created_at",
    "preemptible",
    "gpus",
    "chute",
}
CHUTE_FIELDS = {
    "chute_id",
    "validator",
    "name",
    "image",
    "code",
    "filename",
    "ref_str",
    "version",
    "supported_gpus",
    "gpu_count",
    "created_at",
    "updated_at",
    "ban_reason",
    "chutes_version",
    "preemptible",
    "tee",
}


@pytest.fixture
async def app(database_url: str, redis: Redis, redis_server: EmbeddedRedis) -> AsyncIterator[FastAPI]:
    async with running_app(settings(database_url, redis_server.url)) as app:
        yield app


@pytest.fixture
async def client(app: FastAPI) -> AsyncIterator[ApiClient]:
    async with client_for(app) as client:
        yield client


async def execute(app: FastAPI, *statements: str) -> None:
    async with app.state.services.engine.begin() as connection:
        for statement in statements:
            await connection.exec_driver_sql(statement)


async def scalars(app: FastAPI, statement: str) -> list[object]:
    async with app.state.services.engine.connect() as connection:
        return list((await connection.execute(text(statement))).scalars())


async def test_ping_needs_no_signature(client: ApiClient) -> None:
    assert (await client.http.get("/ping")).json() == {"message": "pong"}


async def test_the_list_has_every_field_that_clients_read(client: ApiClient) -> None:
    servers = (await client.send("GET", "/servers/")).json()
    assert [s["name"] for s in servers] == ["simulated-gpu-0", "simulated-gpu-1", "simulated-gpu-2"]
    first = servers[0]
    assert set(first) == SERVER_FIELDS
    assert set(first["gpus"][0]) == GPU_FIELDS
    (deployment,) = first["deployments"]
    assert set(deployment) == DEPLOYMENT_FIELDS
    assert set(deployment["chute"]) == CHUTE_FIELDS
    assert len(deployment["gpus"]) == 4
    assert first["gpus"][0]["device_info"]["name"] == "SIMULATED h100_sxm"
    assert datetime.fromisoformat(first["created_at"]).tzinfo is not None
    assert len(first["created_at"]) == len("2026-01-01T00:00:00.000000+00:00")


async def test_the_list_keeps_secrets_and_source_to_itself(app: FastAPI, client: ApiClient) -> None:
    await execute(
        app, "UPDATE servers SET kubeconfig = 'SECRET', ip_address = NULL", "UPDATE chutes SET code = 'SOURCE'"
    )
    answer = await client.send("GET", "/servers/")
    assert b"SECRET" not in answer.content
    assert b"SOURCE" not in answer.content
    assert {s["ip_address"] for s in answer.json()} == {""}


async def test_an_empty_list_is_an_empty_array(app: FastAPI, client: ApiClient) -> None:
    await execute(app, "DELETE FROM servers")
    assert (await client.send("GET", "/servers/")).json() == []


@pytest.mark.parametrize("key", [NODE, NODE_ID])
@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_lock_and_unlock_by_name_or_id_by_get_or_post(client: ApiClient, method: str, key: str) -> None:
    assert (await client.send(method, f"/servers/{key}/lock")).json()["locked"] is True
    assert (await client.send("GET", "/servers/")).json()[0]["locked"] is True
    unlocked = await client.send(method, f"/servers/{key}/unlock")
    assert unlocked.json()["locked"] is False
    assert unlocked.headers["cache-control"] == "no-store"


@pytest.mark.parametrize(
    ("method", "target"),
    [
        ("GET", "/servers/nobody/lock"), ("GET", "/servers/nobody/unlock"), ("POST", "/servers/nobody/lock"),
        ("GET", "/servers/nobody/delete_preflight"), ("DELETE", "/servers/nobody"), ("DELETE", "/deployments/nobody"),
    ],
)  # fmt: skip
async def test_what_is_unknown_is_404_and_named(client: ApiClient, method: str, target: str) -> None:
    answer = await client.send(method, target)
    assert answer.status_code == 404
    assert "nobody" in answer.json()["detail"]


async def test_preflight_lists_jobs_flat(app: FastAPI, client: ApiClient) -> None:
    assert (await client.send("GET", f"/servers/{NODE}/delete_preflight")).json() == {"jobs": []}
    await execute(app, "UPDATE deployments SET job_id = 'job-1'")
    (job,) = (await client.send("GET", f"/servers/{NODE}/delete_preflight")).json()["jobs"]
    assert (job["job_id"], job["server_id"]) == ("job-1", NODE_ID)
    assert set(job) == DEPLOYMENT_FIELDS - {"gpus", "chute"}


async def test_deleting_a_server_is_written_down_and_announced(app: FastAPI, client: ApiClient, redis: Redis) -> None:
    async with redis.pubsub() as listener:
        await listener.subscribe(MINER_EVENTS)
        await listener.get_message(timeout=2)
        assert (await client.send("DELETE", f"/servers/{NODE}")).json()["status"] == "started"
        message = await listener.get_message(timeout=5)
    assert message is not None
    assert orjson.loads(message["data"]) == {"event_type": "server_deleted", "event_data": {"server_id": NODE_ID}}
    assert await scalars(app, "SELECT kind || ' ' || subject FROM intents") == [f"delete_server {NODE_ID}"]
    assert len(await scalars(app, "SELECT name FROM servers")) == 3


async def test_purging_a_server_spares_jobs_and_lists_the_rest(app: FastAPI, client: ApiClient) -> None:
    answer = (await client.send("DELETE", f"/servers/{NODE}/deployments")).json()
    assert answer["status"] == "initiated"
    assert answer["deployments_purged"] == [
        {
            "chute_id": seed_id(CHUTES[0][0]), "chute_name": CHUTES[0][0], "server_id": NODE_ID, "server_name": NODE,
            "gpu_count": 4,
        }
    ]  # fmt: skip
    await execute(app, "UPDATE deployments SET job_id = 'j'")
    assert (await client.send("DELETE", f"/servers/{NODE}/deployments")).json()["deployments_purged"] == []
    unknown = await client.send("DELETE", "/servers/nobody/deployments")
    assert (unknown.status_code, unknown.json()["deployments_purged"]) == (200, [])


async def test_purging_all_keeps_jobs_unless_told_otherwise(
    app: FastAPI, client: ApiClient, database_url: str, redis_server: EmbeddedRedis
) -> None:
    await execute(app, f"UPDATE deployments SET job_id = 'j' WHERE server_id = '{NODE_ID}'")
    assert len((await client.send("DELETE", "/deployments/purge")).json()["deployments_purged"]) == 2
    assert len(await scalars(app, "SELECT subject FROM intents WHERE kind = 'undeploy'")) == 2
    config = settings(database_url, redis_server.url, purge_includes_jobs=True)
    async with running_app(config) as other, client_for(other) as everything:
        assert len((await everything.send("DELETE", "/deployments/purge")).json()["deployments_purged"]) == 3


async def test_purging_one_deployment_answers_it_flat(app: FastAPI, client: ApiClient) -> None:
    deployment_id = seed_id(f"{CHUTES[0][0]}@{NODE}")
    answer = (await client.send("DELETE", f"/deployments/{deployment_id}")).json()
    assert answer["status"] == "initiated"
    assert set(answer["deployment_purged"]) == DEPLOYMENT_FIELDS - {"gpus", "chute"} | {"chute_name"}
    assert await scalars(app, "SELECT subject FROM intents") == [deployment_id]


async def test_one_kubeconfig_of_all_clusters(
    database_url: str, redis: Redis, redis_server: EmbeddedRedis, tmp_path: Path
) -> None:
    (tmp_path / "token").write_text("control-token\n")
    (tmp_path / "ca").write_text("authority")
    config = settings(
        database_url, redis_server.url, control_node_name="control", control_external_ip="192.0.2.1",
        service_account_token_path=str(tmp_path / "token"), service_account_ca_path=str(tmp_path / "ca"),
    )  # fmt: skip
    stored = {
        "clusters": [{"name": NODE, "cluster": {"server": "https://192.0.2.10:6443", "odd": 1}}],
        "users": [{"name": NODE, "user": {"token": "t", "exec": {"command": "rm"}}}],
        "contexts": [{"name": NODE, "context": {"cluster": NODE, "user": NODE}}],
    }
    async with running_app(config) as app, client_for(app) as client:
        vault, other = config.vault, seed_id("simulated-gpu-1")
        sealed = vault.seal(NODE_ID, orjson.dumps(stored).decode())
        of_a_stranger = orjson.dumps(stored).decode().replace(NODE, "simulated-gpu-2")  # who can write here, unsealed
        change = "UPDATE servers SET kubeconfig = :text WHERE server_id = :id"
        async with app.state.services.engine.begin() as connection:
            for server_id, written in (
                (NODE_ID, sealed),
                (other, vault.seal(other, ": broken")),
                (seed_id("simulated-gpu-2"), of_a_stranger),
            ):
                await connection.execute(text(change), {"text": written, "id": server_id})
        assert (await client.send("GET", "/servers/kubeconfig")).status_code == 401
        merged = (await client.send("GET", "/servers/kubeconfig", purpose=Purpose.KUBECONFIG)).json()
    assert (merged["apiVersion"], merged["kind"], merged["current-context"]) == ("v1", "Config", "control")
    assert [c["name"] for c in merged["contexts"]] == ["control", NODE]
    assert {c["context"]["namespace"] for c in merged["contexts"]} == {"chutes"}
    assert merged["users"][0]["user"] == {"token": "control-token"}
    assert merged["users"][1]["user"] == {"token": "t"}


async def test_kubeconfigs_can_be_kept_back(database_url: str, redis: Redis, redis_server: EmbeddedRedis) -> None:
    config = settings(database_url, redis_server.url, kubeconfig_enabled=False)
    async with running_app(config) as app, client_for(app) as client:
        assert (await client.send("GET", "/servers/kubeconfig", purpose=Purpose.KUBECONFIG)).status_code == 403


async def test_every_route_works_with_version_2(app: FastAPI) -> None:
    async with client_for(app, version=2) as client:
        assert (await client.send("GET", "/servers/")).status_code == 200
        assert (await client.send("POST", f"/servers/{NODE}/lock")).status_code == 200
        assert (await client.send("GET", f"/why?subject={NODE}")).status_code == 200
        body = {"registry_token_sha256": body_digest(b"t")}
        assert (await client.send("PUT", f"/servers/{NODE}/registry-token", body)).status_code == 200


async def test_what_a_server_costs_can_be_set(client: ApiClient) -> None:
    assert (await client.send("PUT", f"/servers/{NODE}/hourly-cost", {"hourly_cost": 3.25})).status_code == 200
    costs = {server["name"]: server["hourly_cost"] for server in (await client.send("GET", "/servers/")).json()}
    assert costs[NODE] == 3.25
    assert (await client.send("PUT", f"/servers/{NODE}/hourly-cost", {"hourly_cost": -1})).status_code == 422
    assert (await client.send("PUT", "/servers/nobody/hourly-cost", {"hourly_cost": 1})).status_code == 404


@pytest.mark.parametrize(
    ("subject", "codes"),
    [
        (NODE, {"gpu_allocated", "gpu_idle"}),
        (seed_id(CHUTES[0][0]), {"deployment_unverified"}),
        (seed_id(CHUTES[2][0]), {"chute_not_deployed"}),
        (seed_id(f"{CHUTES[0][0]}@{NODE}"), {"deployment_unverified"}),
        (gpu_id(NODE, 0), {"gpu_allocated"}),
        ("nobody", {"unknown_subject"}),
    ],
)
async def test_why_gives_reason_codes(client: ApiClient, subject: str, codes: set[str]) -> None:
    answer = (await client.send("GET", f"/why?subject={subject}")).json()
    assert {reason["code"] for reason in answer["reasons"]} == codes
    assert answer["scheduler"] is None


async def test_why_shows_what_the_scheduler_weighed(client: ApiClient, redis: Redis) -> None:
    """What Gepetto publishes is what the route finds: of a chute, of a server, and of a GPU by its server."""
    chute_id, copy = seed_id(CHUTES[2][0]), seed_id(f"{CHUTES[0][0]}@{NODE}")
    server = make_server(id=NODE_ID, name=NODE, locked=True)
    snapshot = make_snapshot((server,), (make_chute(id=chute_id), make_chute(id=seed_id(CHUTES[0][0]))))
    refused = (Refusal(Launch(chute_id, "1", NODE_ID, 1), "a chosen GPU is not free"),)
    assert await publish(redis, Weighed(snapshot, Configuration(), "built-in", (), refused)) == 3
    said = (await client.send("GET", f"/why?subject={chute_id}")).json()["scheduler"]
    assert said["verdict"] == "no launch: no server can hold it now"
    assert said["server_obstacles"] == {NODE: [ServerObstacle.LOCKED]}
    assert said["held_back"] == [f"launch:{chute_id}:{NODE_ID}:1:: a chosen GPU is not free"]
    assert (await client.send("GET", f"/why?subject={copy}")).json()["scheduler"]["chute_id"] == seed_id(CHUTES[0][0])
    for subject in (NODE, gpu_id(NODE, 0)):
        assert (await client.send("GET", f"/why?subject={subject}")).json()["scheduler"]["locked"] is True
    assert 0 < await redis.ttl("headframe:why") <= EXPIRY_SECONDS
    await publish(redis, Weighed(make_snapshot((server,), ()), Configuration(), "built-in"))
    assert (await client.send("GET", f"/why?subject={chute_id}")).json()["scheduler"] is None, "written as a whole"
    await publish(redis, Weighed(make_snapshot((), ()), Configuration(), "built-in"))
    assert await redis.exists("headframe:why") == 0


async def test_why_shows_what_the_scheduler_wrote(client: ApiClient, redis: Redis) -> None:
    await redis.hset("headframe:why", NODE_ID, orjson.dumps({"verdict": "full"}))
    assert (await client.send("GET", f"/why?subject={NODE}")).json()["scheduler"] == {"verdict": "full"}


async def test_registry_headers_go_to_a_known_node_with_its_token_only(app: FastAPI, client: ApiClient) -> None:
    body = {"registry_token_sha256": hashlib.sha256(b"node-token").hexdigest()}
    assert (await client.send("PUT", "/servers/simulated-gpu-2/registry-token", body)).status_code == 200
    token = {"X-Headframe-Node-Token": "node-token", "X-Original-URI": "/v2/a/b/manifests/1"}
    answer = await client.http.get("/registry/auth", headers=token)
    assert (answer.status_code, answer.json()) == (200, {"authenticated": True})
    message = message_v1((MINER.ss58,), answer.headers["X-Chutes-Nonce"], "registry")
    assert verify(answer.headers["X-Chutes-Hotkey"], message, answer.headers["X-Chutes-Signature"])
    for wrong in (
        {}, token | {"X-Headframe-Node-Token": "other"}, token | {"X-Original-Method": "PUT"},
        token | {"X-Original-URI": "/servers/"},
    ):  # fmt: skip
        refused = await client.http.get("/registry/auth", headers=wrong)
        assert (refused.status_code, refused.content) == (401, b'{"detail":"go away"}')
    for peer in ("192.0.2.11", "127.0.0.1"):
        async with client_for(app, peer=peer) as elsewhere:
            forged = token | {"X-Forwarded-For": "192.0.2.12"}
            assert (await elsewhere.http.get("/registry/auth", headers=forged)).status_code == 401


async def test_a_revoked_registry_token_ends_within_seconds_though_the_wall_clock_is_set_back(
    app: FastAPI, client: ApiClient
) -> None:
    seconds, services = [100.0], app.state.services
    app.state.registry_tokens = TokenCache(monotonic=lambda: seconds[0])
    path, headers = "/servers/simulated-gpu-2/registry-token", {"X-Headframe-Node-Token": "old"}
    for token, expected in (("old", 200), ("new", 401)):
        body = {"registry_token_sha256": hashlib.sha256(token.encode()).hexdigest()}
        assert (await client.send("PUT", path, body)).status_code == 200
        seconds[0] += 6
        assert (await client.http.get("/registry/auth", headers=headers)).status_code == expected
        services.clock = lambda: time.time() - 20.0  # a clock that was ahead is put right


async def test_a_forwarded_address_counts_from_a_trusted_proxy(
    database_url: str, redis: Redis, redis_server: EmbeddedRedis
) -> None:
    config = settings(database_url, redis_server.url, trusted_proxies=frozenset({"10.0.0.1"}))
    async with running_app(config) as app:
        async with client_for(app) as client:
            body = {"registry_token_sha256": hashlib.sha256(b"t").hexdigest()}
            await client.send("PUT", "/servers/simulated-gpu-2/registry-token", body)
        async with client_for(app, peer="10.0.0.1") as proxied:
            for lines, status in (
                (["198.51.100.1, 192.0.2.12"], 200),
                (["192.0.2.12"], 200),
                (["192.0.2.12, 10.0.0.1"], 200),  # two proxies of ours, the nearer one appended the other
                (["198.51.100.1", "192.0.2.12"], 200),  # a proxy that appends a line of its own
                (["192.0.2.12", "198.51.100.1"], 401),  # a stranger who wrote the first line himself
                (["192.0.2.12, 198.51.100.1"], 401),
                (["192.0.2.12, unknown"], 401),
                (["10.0.0.1"], 401),
                ([], 401),
            ):
                headers = [("X-Headframe-Node-Token", "t"), *(("X-Forwarded-For", line) for line in lines)]
                answer = await proxied.http.get("/registry/auth", headers=headers)
                assert answer.status_code == status, lines


async def test_health_readiness_and_metrics_say_what_is_up(client: ApiClient) -> None:
    assert (await client.http.get("/health")).json() == {"status": "healthy", "leader": False, "feeds": {}}
    assert (await client.http.get("/ready")).json() == {"status": "ready"}
    assert "headframe_api_signatures" in (await client.http.get("/metrics")).text


async def test_the_openapi_document_names_every_route_and_its_signature(client: ApiClient) -> None:
    document = (await client.http.get("/openapi.json")).json()
    paths = document["paths"]
    assert {
        "/ping", "/servers/", "/servers/{id_or_name}/lock", "/servers/{id_or_name}/unlock",
        "/servers/{id_or_name}/delete_preflight", "/servers/{id_or_name}", "/servers/{id_or_name}/deployments",
        "/servers/kubeconfig", "/deployments/purge", "/deployments/{deployment_id}", "/registry/auth", "/why",
    } <= set(paths)  # fmt: skip
    assert "security" in paths["/servers/"]["get"]
    assert "security" not in paths["/ping"]["get"]
    assert set(paths["/servers/"]["post"]["responses"]) >= {
        "200",
        "400",
        "401",
        "404",
        "409",
        "422",
        "500",
        "502",
        "503",
    }
