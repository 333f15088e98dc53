"""The public command line package, unchanged, against our API and the simulated validator, command by command.

It comes from the package registry into a virtual environment of its own.
"""

from __future__ import annotations

import hashlib
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import orjson
import pytest

from app.storage.seed import CHUTES, SERVERS, seed_id
from app.validators.transport import new_http_client
from lab.services.redis import EmbeddedRedis
from lab.validator.app import SimulatedValidator
from tests.support.api import serving, settings
from tests.support.control import MINER, VALIDATOR, client_of, device, entry_of, registration
from tests.support.waiting import in_thread

pytestmark = pytest.mark.service

NODE = SERVERS[0][0]


class Client:
    def __init__(self, executable: Path, hotkey: Path, api: str, validator: SimulatedValidator) -> None:
        self._executable, self._hotkey, self.api, self.validator = executable, hotkey, api, validator

    async def run(self, *arguments: str, remote: bool = False, stdin: str = "") -> subprocess.CompletedProcess[str]:
        where = ["--validator-api", self.validator.url] if remote else ["--miner-api", self.api]
        command = [str(self._executable), *arguments, "--hotkey", str(self._hotkey), *where]
        return await in_thread(
            lambda: subprocess.run(command, input=stdin, capture_output=True, text=True, timeout=120, check=False)
        )


@pytest.fixture
async def client(
    public_python: Path, database_url: str, redis: object, redis_server: EmbeddedRedis, tmp_path: Path
) -> AsyncIterator[Client]:
    hotkey = tmp_path / "hotkey.json"
    seed = hashlib.sha256(b"headframe test key miner").hexdigest()
    hotkey.write_bytes(orjson.dumps({"ss58Address": MINER.ss58, "secretSeed": seed}))
    async with (
        SimulatedValidator(VALIDATOR.ss58).listening() as validator,
        serving(settings(database_url, redis_server.url, validator=entry_of(validator))) as url,
    ):
        yield Client(public_python.with_name("chutes-miner"), hotkey, url, validator)


async def test_local_inventory_lock_unlock_and_purges_run_unchanged(client: Client) -> None:
    raw = await client.run("local-inventory", "--raw-json")
    assert raw.returncode == 0, raw.stderr
    assert [server["name"] for server in orjson.loads(raw.stdout)] == [name for name, *_ in SERVERS]
    shown = await client.run("local-inventory")
    assert shown.returncode == 0, shown.stderr
    assert NODE in shown.stdout
    for command, expected in (("lock", "True"), ("unlock", "False")):
        done = await client.run(command, "--name", NODE)
        assert done.returncode == 0, done.stderr
        assert expected in done.stdout
    deployment = seed_id(f"{CHUTES[0][0]}@{NODE}")
    one = await client.run("purge-deployment", "--deployment-id", deployment)
    assert one.returncode == 0, one.stderr
    assert deployment in one.stdout
    node = await client.run("purge-deployment", "--node-id", seed_id(NODE))
    assert node.returncode == 0, node.stderr
    everything = await client.run("purge-deployments")
    assert everything.returncode == 0, everything.stderr
    assert everything.stdout.count("gpu_count") == 3


async def test_delete_node_runs_unchanged(client: Client) -> None:
    done = await client.run("delete-node", "--name", NODE)
    assert done.returncode == 0, done.stderr
    assert "started" in done.stdout


async def test_add_node_of_the_old_client_is_told_what_is_missing(client: Client) -> None:
    """Version 0.1.0 knows no agent; the newer client's body is tested on the wire."""
    done = await client.run(
        "add-node", "--name", "n", "--validator", VALIDATOR.ss58, "--hourly-cost", "1", "--gpu-short-ref", "h100"
    )
    assert "agent_api is missing" in done.stdout + done.stderr


async def test_the_remote_commands_run_unchanged_against_the_simulated_validator(client: Client) -> None:
    async with new_http_client() as http:
        await client_of(client.validator, http).register_server(registration(1))
    shown = await client.run("remote-inventory", "--raw-json", remote=True)
    assert shown.returncode == 0, shown.stderr
    assert str(device(0)["uuid"]) in shown.stdout
    gone = await client.run("delete-remote", "--gpu-id", str(device(0)["uuid"]), remote=True)
    assert gone.returncode == 0, gone.stderr
    assert client.validator.state.nodes == {}
    scorched = await client.run("scorch-remote", remote=True)
    assert scorched.returncode == 0, scorched.stderr
