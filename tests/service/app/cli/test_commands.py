"""Our commands against our API, the simulated validator and a stand-in VM: calls, output, prompts, exit codes."""

from __future__ import annotations

import hashlib
import stat
from collections.abc import AsyncIterator
from pathlib import Path

import orjson
import pytest
import yaml
from aiohttp import web

from app.api import bootstrap
from app.cli import output, tee
from app.cli.main import run
from app.protocol.signing import Header, body_digest, message_v1, verify
from app.storage.seed import CHUTES, SERVERS, seed_id
from app.validators.transport import new_http_client
from lab.services.redis import EmbeddedRedis
from lab.validator.app import SimulatedValidator
from lab.validator.faults import Fault, FaultKind
from tests.support.api import serving, settings
from tests.support.control import MINER, VALIDATOR, client_of, entry_of, registration
from tests.support.waiting import in_thread
from tests.support.worker import SimulatedWorker

pytestmark = pytest.mark.service

NODE = SERVERS[0][0]
SEED = hashlib.sha256(b"headframe test key miner").hexdigest()


@pytest.fixture
def hotkey(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "hotkey.json"
    path.write_bytes(orjson.dumps({"ss58Address": MINER.ss58, "secretSeed": f"0x{SEED}"}))
    monkeypatch.setenv("HOTKEY", str(path))
    monkeypatch.setenv("COLUMNS", "200")
    return path


class Commands:
    def __init__(self, api: str, validator: SimulatedValidator, capture: pytest.CaptureFixture[str]) -> None:
        self.api, self.validator, self._capture = api, validator, capture

    async def run(self, *tokens: str) -> tuple[int, str, str]:
        where = [] if tokens[0] in ("instance-logs",) else ["--miner-api", self.api]
        self._capture.readouterr()
        code = await in_thread(lambda: run([*tokens, *where, "--validator-api", self.validator.url]))
        shown = self._capture.readouterr()
        return code, shown.out, shown.err

    async def json(self, *tokens: str) -> object:
        code, shown, error = await self.run(*tokens, "--json")
        assert code == 0, error
        found: object = orjson.loads(shown)
        return found


@pytest.fixture
async def commands(
    database_url: str, redis: object, redis_server: EmbeddedRedis, tmp_path: Path, hotkey: Path,
    capsys: pytest.CaptureFixture[str],
) -> AsyncIterator[Commands]:  # fmt: skip
    async with (
        SimulatedValidator(VALIDATOR.ss58).listening() as validator,
        serving(settings(database_url, redis_server.url, validator=entry_of(validator))) as url,
    ):
        yield Commands(url, validator, capsys)


def answers(monkeypatch: pytest.MonkeyPatch, *given: str) -> list[str]:
    left, asked = list(given), []

    def reply(question: str = "") -> str:
        asked.append(question)
        return left.pop(0)

    monkeypatch.setattr("builtins.input", reply)
    return asked


async def test_the_inventory_is_shown_as_tables_and_as_json(commands: Commands) -> None:
    code, shown, _ = await commands.run("local-inventory")
    assert code == 0
    for expected in (NODE, "SIMULATED h100_sxm", "simulated/llama-70b", "74.5", "1980"):
        assert expected in shown
    servers = await commands.json("local-inventory")
    assert isinstance(servers, list)
    assert len(servers) == 3
    assert await commands.json("local-inventory", "--signature-version", "2") == servers


async def test_lock_unlock_and_purges(commands: Commands) -> None:
    assert (await commands.run("lock", "--name", NODE))[1] == f"Server {NODE} lock status is now: True\n"
    assert await commands.json("unlock", "--name", NODE) == {"name": NODE, "locked": False}
    assert await commands.json("why", NODE)
    code, shown, _ = await commands.run("why", NODE)
    assert (code, "gpu_idle" in shown) == (0, True)
    deployment = seed_id(f"{CHUTES[0][0]}@{NODE}")
    assert deployment in (await commands.run("purge-deployment", "-d", deployment))[1]
    assert "deployments_purged" in (await commands.run("purge-deployment", "--node-id", NODE))[1]
    assert "deployments_purged" in (await commands.run("purge-server", "-n", NODE))[1]
    assert (await commands.run("purge-deployments"))[1].count("gpu_count") == 3
    assert (await commands.run("purge-deployment"))[0] == 1
    assert (await commands.run("purge-deployment", "-d", "a", "-n", "b"))[0] == 1


async def test_delete_node_starts_and_an_unknown_node_is_a_warning(commands: Commands) -> None:
    code, shown, _ = await commands.run("delete-node", "--name", NODE)
    assert (code, orjson.loads(shown)["status"]) == (0, "started")
    code, _, error = await commands.run("delete-node", "--name", "nobody")
    assert (code, "Node not found" in error) == (0, True)


@pytest.mark.parametrize("answer", ["n", "y"])
async def test_running_jobs_are_asked_about(
    commands: Commands, monkeypatch: pytest.MonkeyPatch, answer: str, database_url: str
) -> None:
    from app.storage.engine import create_engine

    engine = create_engine(database_url)
    async with engine.begin() as connection:
        await connection.exec_driver_sql("UPDATE deployments SET job_id = 'j'")
    await engine.dispose()
    asked = answers(monkeypatch, answer)
    code, shown, error = await commands.run("delete-node", "--name", NODE)
    assert (code, len(asked), "started" in shown) == (0, 1, answer == "y")
    assert "1 jobs are running" in error


async def test_an_error_of_the_api_ends_with_its_words_and_1(commands: Commands) -> None:
    code, _, error = await commands.run("lock", "--name", "nobody")
    assert (code, error) == (1, "Error 404: no server has the name or id nobody\n")
    code, _, error = await commands.run("lock", "--name", "a/b")
    assert code == 1


async def test_usage_errors_end_with_2_and_an_absent_api_with_1(commands: Commands) -> None:
    assert (await commands.run("lock"))[0] == 2
    assert (await commands.run("no-such-command"))[0] == 2
    commands.api = "http://127.0.0.1:9"
    code, _, error = await commands.run("lock", "--name", NODE)
    assert (code, "ConnectError" in error) == (1, True)


async def test_add_node_follows_the_stream_and_fails_unless_it_was_completed(
    commands: Commands, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bootstrap, "SETTLE_SECONDS", 0.5)  # how long the API waits for a node to be Ready
    monkeypatch.setattr(bootstrap, "SETTLE_POLL_SECONDS", 0.1)
    options = ("--validator", VALIDATOR.ss58, "--hourly-cost", "2.5", "--gpu-short-ref", "h100_sxm")
    async with SimulatedWorker("127.9.1.1").listening(tmp_path) as worker:
        add = ("add-node", "--name", worker.name, *options, "--agent-api", worker.agent_url)
        worker.is_ready = False
        code, shown, error = await commands.run(*add)
        assert (code, "is not Ready" in shown) == (1, True)
        assert "was not added" in error
        worker.is_ready = True
        code, shown, _ = await commands.run(*add)
        assert (code, "completed server bootstrapping in" in shown) == (0, True), shown
        code, _, error = await commands.run(*add, "--json")
        assert (code, "Error adding node: Error 409" in error) == (1, True)
        remote = await commands.json("remote-inventory")
        assert isinstance(remote, dict)
        assert remote["servers"][0]["gpus"][0]["chute"] is None
        assert worker.name in (await commands.run("remote-inventory"))[1]
        path = tmp_path / "kube" / "config"
        sync = ("sync-node-kubeconfig", "--agent-api", worker.agent_url, "--context-name", worker.name)
        assert (await commands.run(*sync, "--path", str(path), "--yes"))[0] == 0
        code, _, error = await commands.run(*sync, "--path", str(path), "--yes")
        assert (code, "use --overwrite" in error) == (1, True)
        assert (await commands.run(*sync, "--path", str(path), "--yes", "--overwrite"))[0] == 0
    assert yaml.safe_load(path.read_text())["current-context"] == "worker-1"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


async def test_sync_kubeconfig_asks_writes_privately_and_keeps_a_backup(
    commands: Commands, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    path = tmp_path / "config"
    path.write_text("old")
    asked = answers(monkeypatch, "n", "y")
    assert (await commands.run("sync-kubeconfig", "--path", str(path)))[0] == 1
    assert path.read_text() == "old"
    code, _, error = await commands.run("sync-kubeconfig", "--path", str(path))
    assert code == 0, error
    assert len(asked) == 2
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert (tmp_path / "config.bak").read_text() == "old"
    monkeypatch.setenv("KUBECONFIG", f"{tmp_path}/first:{tmp_path}/second")
    assert await commands.json("sync-kubeconfig", "--yes") == {"path": f"{tmp_path}/first", "contexts": 0}


async def test_scorch_asks_and_signs_each_deletion(commands: Commands, monkeypatch: pytest.MonkeyPatch) -> None:
    async with new_http_client() as http:
        await client_of(commands.validator, http).register_server(registration())
    answers(monkeypatch, "no")
    assert (await commands.run("scorch-remote"))[0] == 1
    assert commands.validator.state.servers
    code, shown, _ = await commands.run("scorch-remote", "-y")
    assert (code, "successfully deleted node-1" in shown) == (0, True)
    assert commands.validator.state.servers == {}
    assert (await commands.run("scorch-remote"))[0] == 0
    assert await commands.json("scorch-remote", "--yes") == []
    code, _, error = await commands.run("delete-remote", "--name", "node-1")
    assert (code, error.startswith("Error 404")) == (1, True)


async def test_instance_logs_are_followed(commands: Commands) -> None:
    chute_id = commands.validator.state.add_chute("a")
    async with new_http_client() as http:
        token = (await client_of(commands.validator, http).launch_config(chute_id)).token
    code, shown, _ = await commands.run("instance-logs", "--jwt", token)
    assert code == 0
    assert shown.splitlines() == ["SIMULATED line 0", "SIMULATED line 1", "SIMULATED line 2", "plain SIMULATED text"]
    assert (await commands.run("instance-logs", "-j", token, "-c", "yesterday"))[0] == 1
    code, _, error = await commands.run("instance-logs", "-j", "forged")
    assert (code, "HTTP 401" in error) == (1, True)


async def test_maintenance_locks_first_and_unlocks_when_the_validator_refuses(
    commands: Commands, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with new_http_client() as http:
        await client_of(commands.validator, http).register_server(registration(name=NODE, server_id=seed_id(NODE)))
    assert (await commands.run("tee", "maintenance-status"))[0] == 0
    assert await commands.json("tee", "maintenance-status")
    commands.validator.faults.add(Fault("PUT /servers/*", FaultKind.REFUSE, status=409))
    code, _, error = await commands.run("tee", "start-maintenance", "-n", NODE, "-y")
    assert (code, "unlocked" in error) == (1, True)
    done = await commands.json("tee", "start-maintenance", "--name", NODE, "--yes")
    assert isinstance(done, dict)
    assert done["purged_instance_ids"] == []
    code, _, error = await commands.run("tee", "start-maintenance", "--name", NODE, "--yes")
    assert (code, "maintenance_pending" in error) == (1, True)
    code, _, error = await commands.run("tee", "cache-overview", "--name", NODE)
    assert (code, "is no TEE server" in error) == (1, True)
    code, _, error = await commands.run("tee", "cache-overview", "--name", "nobody")
    assert (code, "no server is called" in error) == (1, True)


VM_CALLS = [
    (("cache-download", "--chute-id", "c", "--force"), "POST /cache/download?force=true", "cache"),
    (("cache-download-status", "--chute-id", "c"), "GET /cache/download/status?chute_id=c", "cache"),
    (("cache-overview",), "GET /cache/overview", "cache"),
    (("cache-delete", "--chute-id", "c"), "DELETE /cache/c?force=false", "cache"),
    (("cache-cleanup", "--exclude-pattern", "x"), "POST /cache/cleanup", "cache"),
    (("cache-cancel", "--chute-id", "c", "--cleanup"), "POST /cache/c/cancel?cleanup=true", "cache"),
    (("cache-purge",), "POST /cache/purge", "cache"),
    (("image-list",), "GET /images/", "images"),
    (("image-delete", "--image", "a/b:1"), "DELETE /images/a/b:1?force=false", "images"),
    (("image-prune",), "POST /images/prune", "images"),
    (("node-health",), "GET /status/health", "status"),
    (("services",), "GET /status/services", "status"),
    (("services", "--overview"), "GET /status/overview", "status"),
    (("services", "--status", "k3s"), "GET /status/services/k3s/status", "status"),
    (("services", "--logs", "k3s"), "GET /status/services/k3s/logs?lines=200&since_minutes=0", "status"),
    (("services", "--logs", "k3s", "--stream"), "GET /status/services/k3s/logs/stream?since_minutes=0", "status"),
    (("gpu", "--detail"), "GET /status/gpu/nvidia-smi?gpu=all&detail=true", "status"),
    (
        ("disk",),
        "GET /status/disk/space?path=/&diagnostic=false&max_depth=3&top_n=10&cross_filesystems=false",
        "status",
    ),
    (("shutdown", "--confirm"), "POST /status/system/shutdown", "status"),
]


class Vm:
    def __init__(self) -> None:
        self.asked: list[str] = []
        self.signed: list[bool] = []
        self.purpose = ""

    async def answer(self, request: web.Request) -> web.Response:
        body = await request.read()
        self.asked.append(f"{request.method} {request.path}" + (f"?{request.query_string}" if request.query else ""))
        payload = body_digest(body) if body else self.purpose
        headers = request.headers
        message = message_v1((headers[Header.HOTKEY],), headers[Header.NONCE], payload)
        self.signed.append(verify(headers[Header.HOTKEY], message, headers[Header.SIGNATURE]))
        return web.json_response({"status": "ok", "chutes": [{"chute_id": "c"}], "logs": ["line"], "services": []})


@pytest.fixture
async def vm(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Vm]:
    machine = Vm()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", machine.answer)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    port = runner.addresses[0][1]
    monkeypatch.setattr(tee, "_base", lambda address: f"http://{address}:{port}")
    yield machine
    await runner.cleanup()


@pytest.mark.parametrize("as_json", [False, True])
@pytest.mark.parametrize(("tokens", "call", "purpose"), VM_CALLS, ids=[" ".join(tokens) for tokens, *_ in VM_CALLS])
async def test_a_vm_command_makes_its_call_signed_for_its_purpose(
    vm: Vm,
    hotkey: Path,
    capsys: pytest.CaptureFixture[str],
    tokens: tuple[str, ...],
    call: str,
    purpose: str,
    as_json: bool,
) -> None:
    vm.purpose = purpose
    code = await in_thread(lambda: run(["tee", *tokens, "--ip", "127.0.0.1", *(["--json"] if as_json else [])]))
    shown = capsys.readouterr()
    assert (code, vm.asked, vm.signed) == (0, [call], [True]), shown.err
    assert shown.out


@pytest.mark.parametrize(
    "tokens", [("shutdown", "--ip", "1"), ("cache-purge",), ("cache-purge", "--ip", "1", "-n", "x"),
               ("services", "--ip", "1", "--stream"), ("services", "--ip", "1", "--overview", "--logs", "x")],
)  # fmt: skip
def test_contradictory_vm_commands_end_with_1(hotkey: Path, tokens: tuple[str, ...]) -> None:
    assert run(["tee", *tokens]) == 1


def test_key_files_that_cannot_be_used_say_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "key"
    monkeypatch.setenv("HOTKEY", str(path))
    for content, why in (
        (None, "cannot be read"), (b"$NACL", "encrypted hotkey files are not supported"), (b"[]", "lacks secretSeed"),
        (orjson.dumps({"ss58Address": "x", "secretSeed": "12"}), "64 hex digits"),
        (orjson.dumps({"ss58Address": "x", "secretSeed": SEED}), "its seed belongs to"),
    ):  # fmt: skip
        if content is not None:
            path.write_bytes(content)
        assert run(["lock", "--name", "n"]) == 1
        error = capsys.readouterr().err.replace("\n", "")
        assert why in error
        assert SEED not in error


def test_the_end_of_input_counts_as_no(monkeypatch: pytest.MonkeyPatch) -> None:
    def end(_: str) -> str:
        raise EOFError

    monkeypatch.setattr("builtins.input", end)
    assert not output.confirmed("sure?")
