"""The questions of `headframe init` in their order, each answer checked when it is given. Writes nothing.

Who answers is an `Asker` (a terminal or a file), who looks at machines is a `Probe`; both are passed in.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final

from app.protocol.gpus import match_device_name
from infra.cli.init import checks
from infra.cli.init.askers import Asker, BadAnswerError, asked
from infra.cli.init.key_files import hotkey_address, hotkey_file_text, private_key_text
from infra.cli.init.probe import Machine, Probe, fingerprint
from infra.settings.rules import check_parts
from infra.settings.tree import HostName
from infra.spec import HostFacts
from infra.spec.model import Sha256

_MIB_PER_GIB: Final = 1024
_NODES_AT_MOST: Final = 1000
_SHA256: Final = checks.typed(Sha256, "64 hexadecimal digits")


@dataclass(frozen=True, kw_only=True)
class Answers:
    """Everything that a stack file needs and no default can know, in its own shape; the private key apart."""

    ssh_private_key: str = field(repr=False)
    hotkey_ss58: str
    #: Content of the hotkey's file; None where only its address was given.
    hotkey_file: str | None = field(default=None, repr=False)
    operator_networks: list[str]
    kubernetes: dict[str, Any]
    chart_digest: str
    control: dict[str, Any]
    gpu_nodes: list[dict[str, Any]]


def interview(asker: Asker, probe: Probe, defaults: Mapping[str, Any]) -> Answers:
    """Ask everything.

    Args:
        defaults: settings of the example stack file, of which versions are offered.

    Raises:
        BadAnswerError: an answer is wrong and the asker cannot be asked again.
    """
    key = private_key_text(asked(asker, "ssh_key", "File of the SSH private key for all machines", checks.key_file))
    hotkey = asked(asker, "hotkey", "Hotkey: its JSON file, or its SS58 address", checks.hotkey)
    text = "Networks that operators come from, with commas between"
    networks = asked(asker, "operator_networks", text, checks.networks, "0.0.0.0/0")
    kubernetes = _kubernetes(asker, probe, defaults["kubernetes"])
    chart_digest = _chart_digest(asker, probe, defaults["gpu_runtime"])
    control = _machine(asker, lambda: _control(asker, probe, key), lambda entry: {"control": entry})
    nodes: list[dict[str, Any]] = []
    while len(nodes) < _NODES_AT_MOST:
        at = f"gpu_nodes[{len(nodes)}]"
        free = checks.free_name_or_end([control["name"], *(node["name"] for node in nodes)])
        name = asked(asker, f"{at}.name", "Name of a GPU node; nothing ends the list", free, "")
        if not name:
            break
        nodes.append(_gpu_node(asker, probe, key, at, name, {"control": control, "gpu_nodes": nodes}))
    return Answers(
        ssh_private_key=key,
        hotkey_ss58=hotkey_address(hotkey),
        hotkey_file=hotkey_file_text(hotkey),
        operator_networks=[part.strip() for part in networks.split(",")],
        kubernetes=kubernetes,
        chart_digest=chart_digest,
        control=control,
        gpu_nodes=nodes,
    )


def _machine(
    asker: Asker, describe: Callable[[], dict[str, Any]], settings: Callable[[dict[str, Any]], dict[str, Any]]
) -> dict[str, Any]:
    """One machine, described again until no rule speaks against it."""
    while True:
        entry = describe()
        found = check_parts(settings(entry))
        if not found:
            return entry
        problems = "\n".join(f"{mistake.path}: {mistake.wrong}" for mistake in found)
        if not asker.patient:
            raise BadAnswerError(problems)
        asker.say(f"{problems}\nOnce more:")


def _kubernetes(asker: Asker, probe: Probe, offered: Mapping[str, Any]) -> dict[str, Any]:
    version = asked(asker, "kubernetes.version", "k3s version", checks.k3s_version, str(offered["version"]))
    url = f"https://github.com/k3s-io/k3s/releases/download/{version.replace('+', '%2B')}/k3s"
    source = asked(asker, "kubernetes.source", "Where its binary comes from (https:// or file:///)", checks.source, url)
    if not source.startswith("https://"):
        return {"version": version, "source": source}
    text = "SHA-256 of the binary, from the release's checksum file"
    known = partial(probe.k3s_checksum, version) if source == url else None
    return {"version": version, "source": source, "sha256": asked(asker, "kubernetes.sha256", text, _SHA256, known)}


def _chart_digest(asker: Asker, probe: Probe, runtime: Mapping[str, Any]) -> str:
    """Which content of the GPU operator's chart is accepted; what its repository serves now is offered."""
    place = tuple(str(runtime[key]) for key in ("repository", "chart", "version"))
    text = f"SHA-256 of chart {place[1]} {place[2]} of {place[0]}"
    return asked(asker, "gpu_runtime.digest", text, _SHA256, partial(probe.chart_digest, *place))


def _control(asker: Asker, probe: Probe, key: str) -> dict[str, Any]:
    name = asked(asker, "control.name", "Name of the control host (never changes)", checks.name, "control")
    address = asked(asker, "control.address", "Its public IPv4 address", checks.public)
    ssh, facts = _reached(asker, probe, "control", name, address, key)
    cores, ram = _measured(facts)
    return {
        "name": name, "address": address,
        "cores": int(asked(asker, "control.cores", "Cores", checks.count, cores)),
        "ram_gib": int(asked(asker, "control.ram_gib", "RAM in GiB", checks.count, ram)),
        "ssh": ssh,
    }  # fmt: skip


def _gpu_node(asker: Asker, probe: Probe, key: str, at: str, name: str, others: Mapping[str, Any]) -> dict[str, Any]:
    def describe() -> dict[str, Any]:
        kind = asked(asker, f"{at}.kind", "Kind: bare, or tee for a confidential VM", checks.kind, "bare")
        address = asked(asker, f"{at}.address", "Its public IPv4 address", checks.public)
        common = {"name": name, "address": address} | ({"kind": "tee"} if kind == "tee" else {})
        if kind == "tee":
            return common | _gpus(asker, at, None)
        ssh, facts = _reached(asker, probe, at, name, address, key)
        ram = asked(asker, f"{at}.ram_gib", "RAM in GiB", checks.count, _measured(facts)[1])
        return common | _gpus(asker, at, facts) | {"ram_gib": int(ram), "ssh": ssh}

    return _machine(asker, describe, lambda entry: {**others, "gpu_nodes": [*others["gpu_nodes"], entry]})


def _gpus(asker: Asker, at: str, facts: HostFacts | None) -> dict[str, Any]:
    seen = facts.gpus if facts else ()
    model = match_device_name(seen[0].name) if seen else None
    offered, number = model.short_ref if model else None, str(len(seen)) if seen else None
    return {
        "gpu": asked(asker, f"{at}.gpu", "GPU model", checks.gpu_model, offered),
        "gpu_count": int(asked(asker, f"{at}.gpu_count", "Number of GPUs", checks.count, number)),
        "hourly_cost_usd": float(asked(asker, f"{at}.hourly_cost_usd", "USD an hour for all of it", checks.cost)),
    }


def _reached(
    asker: Asker, probe: Probe, at: str, name: str, address: str, key: str
) -> tuple[dict[str, Any], HostFacts | None]:
    """How the machine is reached, and what it is. One that does not answer is told of and described by hand."""
    host = asked(asker, f"{at}.ssh_host", "SSH address", checks.typed(HostName, "an address or name"), address)
    port = asked(asker, f"{at}.ssh_port", "SSH port", checks.count, "22")
    user = asked(asker, f"{at}.ssh_user", "SSH user (root, or one with password-less sudo)", checks.account, "root")
    scanned = probe.host_key(host, int(port))
    if scanned is None:
        asker.say(f"{host}:{port} shows no SSH host key: is the machine on? `ssh -p {port} {user}@{host}` shows more")
        text = "Its public SSH host key, as `cat /etc/ssh/ssh_host_ed25519_key.pub` prints it there"
    else:
        asker.say(f"{host}:{port} shows {scanned}, fingerprint {fingerprint(scanned)}")
        text = "Compare it with the provider's console. `yes` takes it; or the right key"
    answer = asked(asker, f"{at}.host_key", text, lambda given: checks.host_key(given, scanned))
    pinned = scanned if answer == "yes" and scanned else " ".join(answer.split()[:2])
    facts, problem = probe.facts(Machine(name, host, int(port), user, pinned, key))
    asker.say(f"{name}: {problem}" if facts is None else f"{name}: logged in; {_described(facts)}")
    ssh: dict[str, Any] = {"user": user, "host_key": pinned}
    ssh |= {"host": host} if host != address else {}
    return ssh | ({"port": int(port)} if port != "22" else {}), facts


def _described(facts: HostFacts) -> str:
    gpus = f", {len(facts.gpus)} x {facts.gpus[0].name}" if facts.gpus else ""
    return f"{facts.os_id} {facts.os_version}, {facts.cores} cores, {facts.ram_mib} MiB of RAM{gpus}"


def _measured(facts: HostFacts | None) -> tuple[str | None, str | None]:
    """Cores and RAM as answers that are offered. RAM is rounded up: firmware keeps some."""
    if facts is None or facts.cores is None or facts.ram_mib is None:
        return None, None
    return str(facts.cores), str(-(-facts.ram_mib // _MIB_PER_GIB))
