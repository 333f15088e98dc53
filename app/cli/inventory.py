"""Commands that show: the local inventory, the validator's, and why something does not earn."""

from __future__ import annotations

from typing import Final

from app.cli.access import Access
from app.cli.output import GIBIBYTE, Json, mapping, minutes, number, out, print_json, sequence, table
from app.protocol.signing import Purpose

Row = dict[str, object]
SHOWN: Final = (
    "name", "status", "ip_address", "gpu_count", "cpu_per_gpu", "memory_per_gpu", "hourly_cost", "is_tee", "locked"
)  # fmt: skip
GPU_COLUMNS: Final = ("name", "memory GiB", "clock MHz", "processors", "verified")


def local_inventory(*, access: Access, json: Json = False) -> None:
    """Servers, their active deployments and their GPUs, as the miner API has them."""
    servers = sequence(access.miner("GET", "/servers/", timeout_seconds=30.0).json())
    if json:
        print_json(servers)
        return
    if not servers:
        out().print("no servers: add one with add-node")
    for server in servers:
        _show_server(server)


def _show_server(server: Row) -> None:
    rows: list[tuple[object, ...]] = [(name, server.get(name)) for name in SHOWN]
    rows.append(("created_at", minutes(server.get("created_at"))))
    table(f"Server {server.get('name')}", ("property", "value"), rows)
    deployments = sequence(server.get("deployments"))
    if deployments:
        table(
            "Deployments",
            ("chute", "GPUs", "port", "created", "active", "stub"),
            [
                (
                    mapping(d.get("chute")).get("name"), len(sequence(d.get("gpus"))), d.get("port"),
                    minutes(d.get("created_at")), d.get("active"), d.get("stub"),
                )
                for d in deployments
            ],
        )  # fmt: skip
    table(
        "GPUs",
        ("name", "memory GiB", "clock MHz", "processors", "verified"),
        [_gpu_row(g) for g in sequence(server.get("gpus"))],
    )


def _gpu_row(gpu: Row) -> tuple[object, ...]:
    device = mapping(gpu.get("device_info"))
    memory = f"{number(device.get('memory')) / GIBIBYTE:.1f}"
    clock = f"{number(device.get('clock_rate')) / 1000:.0f}"
    return device.get("name"), memory, clock, device.get("processors"), gpu.get("verified")


def remote_inventory(*, access: Access, json: Json = False) -> None:
    """Servers and GPUs as the validator has them; a server without GPUs is dangling."""
    servers = sequence(mapping(access.validator("GET", "/miner/servers/", Purpose.MINER).json()).get("servers"))
    inventory = {
        item.get("gpu_id"): item for item in sequence(access.validator("GET", "/miner/inventory", Purpose.MINER).json())
    }
    for server in servers:
        for gpu in sequence(server.get("gpus")):
            found = inventory.get(gpu.get("uuid"), {})
            gpu |= {
                "chute": found.get("chute_name"), "chute_id": found.get("chute_id"),
                "inst_verification_error": found.get("verification_error"),
                "inst_verified_at": found.get("last_verified_at"),
            }  # fmt: skip
    if json:
        print_json({"servers": servers})
        return
    for server in servers:
        gpus = sequence(server.get("gpus"))
        note = "" if gpus else " (dangling)"
        table(
            f"{server.get('name')} {server.get('ip')} version {server.get('version')}{note}",
            ("GPU", "model", "verified", "chute", "error"),
            [
                (
                    gpu.get("uuid"), gpu.get("gpu_identifier"), minutes(gpu.get("verified_at")), gpu.get("chute"),
                    gpu.get("verification_error"),
                )
                for gpu in gpus
            ],
        )  # fmt: skip


def why(subject: str, /, *, access: Access, json: Json = False) -> None:
    """Why something does not earn: reasons about a server, a GPU, a chute or a deployment.

    Parameters
    ----------
    subject
        Name or id of it.
    """
    answer = access.miner("GET", "/why", query={"subject": subject}).json()
    if json:
        print_json(answer)
        return
    rows: list[tuple[object, ...]] = [
        (r.get("code"), r.get("subject"), r.get("text"), r.get("fix")) for r in sequence(answer.get("reasons"))
    ]
    table(f"Why {subject}", ("code", "about", "reason", "what to do"), rows)
    for name, value in mapping(answer.get("scheduler")).items():
        out().print(f"scheduler: {name} = {value}", highlight=False, markup=False)
