"""`headframe doctor | plan | inventory | node ...`: commands about the stack and its list of nodes."""

from __future__ import annotations

import asyncio
import pprint
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter
from rich.console import Console
from rich.table import Table

from infra.cli import doctor as checks
from infra.cli import selection, stack_file
from infra.cli.engine import CLONE, Engine, EngineError
from infra.cli.machines import machines_of
from infra.cli.plan import plan
from infra.settings.tree import NodeState
from infra.spec import HostSpec

Stack = Annotated[str | None, Parameter(name=["--stack", "-s"], help="Stack; default: the selected one.")]
_COLOURS = {checks.Verdict.OK: "green", checks.Verdict.WARN: "yellow", checks.Verdict.FAIL: "red"}


def register(app: App) -> None:
    """Put the commands into the app."""
    app.command(up)
    app.command(doctor)
    app.command(plan)
    app.command(inventory)
    app.command(register_hotkey, name="register")
    node = App(name="node", help="The list of GPU nodes in the stack file.")
    node.command(add)
    node.command(drain)
    node.command(remove)
    node.command(list_nodes, name="list")
    app.command(node)


def up(
    *,
    only: Annotated[str | None, Parameter(help="Parts, comma-separated, such as api,gepetto.")] = None,
    preview: bool = False,
    yes: bool = False,
    stack: Stack = None,
) -> int:
    """Update the stack, or only some parts of it; `--preview` shows what would change."""
    names = [name.strip() for name in only.split(",") if name.strip()] if only else []
    try:
        command = selection.arguments(names, preview=preview, yes=yes)
    except selection.UnknownPartError as error:
        print(error.args[0], file=sys.stderr)
        return 2
    return Engine(stack=stack).visibly(*command)


def doctor(*, stack: Stack = None, json: bool = False, chain: str | None = None) -> int:
    """Is everything fit for `pulumi up`? Ends with 0 (yes), 1 (warnings) or 2 (no).

    Args:
        chain: also ask this chain whether the hotkey holds one UID; a network such as finney, or a websocket address.
    """
    try:
        path = stack_file.stack_file(CLONE, Engine(stack=stack).stack_name())
    except EngineError as error:
        found = [*checks.tools({}), checks.Check("stack", checks.Verdict.FAIL, str(error), "pulumi stack select NAME")]
    else:
        settings = _readable(path)
        found = [*checks.tools(settings), *checks.stack_settings(path), *checks.gpu_proof(settings)]
        found += asyncio.run(checks.machines(settings))
        found += _chain_checks(settings, chain) if chain else []
    if json:
        print(checks.as_json(found))
    else:
        _show(found)
    return int(checks.worst(found))


def _readable(path: Path) -> dict[str, object]:
    """The settings as far as there are any; that there are none is told by the check of the file."""
    try:
        return stack_file.settings_of(stack_file.read(path))
    except stack_file.StackFileError:
        return {}


def _chain_checks(settings: dict[str, object], network: str) -> list[checks.Check]:
    miner = settings.get("miner")
    if not isinstance(miner, dict) or "hotkey_ss58" not in miner:
        return []
    from infra.cli.chain import uid_checks  # noqa: PLC0415 the chain's SDK takes seconds, and is no part of `infra`

    return uid_checks(str(miner["hotkey_ss58"]), int(miner.get("netuid", 64)), network)


def register_hotkey(
    wallet: str,
    hotkey: str,
    *,
    network: str = "finney",
    wallets: Path = Path("~/.bittensor/wallets"),
    stack: Stack = None,
) -> int:
    """Register the stack's hotkey on its subnet with btcli, unless it or its coldkey holds a UID already.

    Args:
        wallet: name of the wallet, as btcli has it.
        hotkey: name of its hotkey.
        network: a network such as finney, or a websocket address.
        wallets: folder of the wallets.
    """
    # The chain's SDK takes seconds, and is no part of `infra`.
    from infra.cli.registering import RegistrationRefusedError, Wallet, register  # noqa: PLC0415

    try:
        miner = stack_file.settings_of(stack_file.read(_path(stack))).get("miner")
        if not isinstance(miner, dict) or "hotkey_ss58" not in miner:
            raise RegistrationRefusedError("the stack file has no miner.hotkey_ss58: headframe init")
        found = Wallet(wallets.expanduser(), wallet, hotkey)
        return register(found, str(miner["hotkey_ss58"]), int(miner.get("netuid", 64)), network)
    except (RegistrationRefusedError, stack_file.StackFileError, EngineError, OSError) as error:
        print(error, file=sys.stderr)
        return 1


def inventory(*, stack: Stack = None) -> int:
    """A pyinfra inventory of the machines as they were last applied. It holds no secret: bring your own SSH key."""
    try:
        machines = machines_of(Engine(stack=stack))
    except EngineError as error:
        print(error, file=sys.stderr)
        return 1
    print(inventory_of(machines), end="")
    return 0


def inventory_of(machines: Sequence[HostSpec]) -> str:
    """Python source of a pyinfra inventory: one group for each role."""
    text = '"""Made by `headframe inventory`."""\n\n'
    for role in sorted({machine.role for machine in machines}):
        group = [
            (machine.name, {"ssh_hostname": machine.host, "ssh_port": machine.port, "ssh_user": machine.user})
            for machine in machines
            if machine.role is role
        ]
        text += f"{role.value} = {pprint.pformat(group, sort_dicts=True)}\n"
    return text


def list_nodes(*, stack: Stack = None) -> int:
    """The GPU nodes of the stack file."""
    table = Table("name", "kind", "address", "gpus", "USD/h", "state")
    for node in stack_file.nodes_of(stack_file.read(_path(stack))):
        gpus = f"{node.get('gpu_count', '?')} x {node.get('gpu', '?')}"
        cells = (node.get("name"), node.get("kind", "bare"), node.get("address"), gpus)
        table.add_row(*map(str, cells), str(node.get("hourly_cost_usd")), str(node.get("state", "active")))
    Console().print(table)
    return 0


def add(  # noqa: PLR0913 one option a fact of the machine
    name: str,
    *,
    host: str,
    gpu: str,
    gpu_count: int,
    hourly_cost: float,
    ram: int | None = None,
    host_key: str | None = None,
    user: str = "root",
    port: int = 22,
    tee: bool = False,
    stack: Stack = None,
) -> int:
    """Add a GPU node to the stack file; `pulumi up` does the rest.

    Args:
        host: public IPv4 address.
        gpu: short reference of the GPU model, such as h100_sxm.
        hourly_cost: what the whole machine costs, in USD.
        ram: RAM in GiB; needed unless --tee.
        host_key: public SSH host key as ssh-keyscan prints it, without the address; needed unless --tee.
        tee: a confidential VM, which is never entered.
    """
    common = {
        "name": name,
        "address": host,
        "gpu": gpu,
        "gpu_count": gpu_count,
        "hourly_cost_usd": hourly_cost,
    }
    ssh = {"user": user, "port": port, **({"host_key": host_key} if host_key else {})}
    own = {"kind": "tee"} if tee else {**({"ram_gib": ram} if ram else {}), "ssh": ssh}
    return _edit(stack, lambda text: stack_file.add_node(text, {**common, **own}), f"{name} added: run pulumi up")


def drain(name: str, *, dead: bool = False, stack: Stack = None) -> int:
    """Take a node's workloads off, or with --dead give the machine up; `pulumi up` does it."""
    state = NodeState.DEAD if dead else NodeState.DRAINED
    return _edit(stack, lambda text: stack_file.set_state(text, name, state), f"{name} is {state}: run pulumi up")


def remove(name: str, *, stack: Stack = None) -> int:
    """Take a drained or dead node out of the stack file."""
    return _edit(stack, lambda text: stack_file.remove_node(text, name), f"{name} removed: run pulumi up")


def _edit(stack: str | None, change: Callable[[str], str], said: str) -> int:
    try:
        path = _path(stack)
        stack_file.write(path, change(stack_file.read(path)))
    except (stack_file.StackFileError, EngineError) as error:
        print(error, file=sys.stderr)
        return 1
    print(said)
    return 0


def _path(stack: str | None) -> Path:
    return stack_file.stack_file(CLONE, Engine(stack=stack).stack_name())


def _show(found: Sequence[checks.Check]) -> None:
    console = Console()
    for check in found:
        word = f"[{_COLOURS[check.verdict]}]{check.verdict.name.lower():4}[/]"
        console.print(f"{word} {check.name}: {check.seen}", highlight=False)
        if check.fix:
            console.print(f"       {check.fix}", highlight=False, markup=False)
