"""Commands that bring kubeconfigs to this machine: written atomically, readable by their owner alone."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path
from typing import Annotated, Final

import yaml
from cyclopts import Parameter

from app.cli.access import Access, CommandError, Outgoing, Profile, send
from app.cli.output import Json, Yes, confirmed, mapping, out, print_json, sequence
from app.protocol.signing import Purpose

DEFAULT_PATH: Final = "~/.kube/chutes.config"
Row = dict[str, object]
#: Fields that may travel from a node to this machine: `exec` and auth-provider entries run commands.
SAFE_USER_FIELDS: Final = ("token", "client-certificate-data", "client-key-data", "username", "password")
SAFE_CLUSTER_FIELDS: Final = ("server", "certificate-authority-data", "insecure-skip-tls-verify")


def target_path(given: Path | None) -> Path:
    """Where to write: the option, else the first of $KUBECONFIG, else the default."""
    if given is not None:
        return given.expanduser()
    listed = os.environ.get("KUBECONFIG", "").split(os.pathsep)[0]
    return Path(listed or DEFAULT_PATH).expanduser()


def write(path: Path, config: Row) -> None:
    """Replace a file as a whole, mode 0600, with a backup beside it where there was one."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    if path.exists():
        backup = path.with_name(path.name + ".bak")
        shutil.copyfile(path, backup)
        backup.chmod(0o600)
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")  # mode 0600
    with os.fdopen(descriptor, "w") as file:
        yaml.safe_dump(config, file, sort_keys=False)
        file.flush()
        os.fsync(file.fileno())
    Path(name).replace(path)


def sync_kubeconfig(*, access: Access, path: Path | None = None, yes: Yes = False, json: Json = False) -> None:
    """Fetch one kubeconfig of all clusters; replaces the file.

    Parameters
    ----------
    path
        Where to write it; the first of $KUBECONFIG, else ~/.kube/chutes.config.
    yes
        Do not ask.
    """
    target = target_path(path)
    if not yes and not confirmed(f"Overwrite {target} with the kubeconfig of all clusters?"):
        raise CommandError("nothing was written")
    config = mapping(access.miner("GET", "/servers/kubeconfig", Purpose.KUBECONFIG).json())
    write(target, config)
    _report(target, len(sequence(config.get("contexts"))), json=json)


def _report(target: Path, contexts: int, *, json: bool) -> None:
    if json:
        print_json({"path": str(target), "contexts": contexts})
    else:
        out().print(f"wrote {target} with {contexts} contexts", highlight=False)


def sync_node_kubeconfig(
    *,
    access: Access,
    agent_api: str,
    context_name: str,
    path: Path | None = None,
    overwrite: Annotated[bool, Parameter(negative=())] = False,
    yes: Yes = False,
    json: Json = False,
) -> None:
    """Fetch one node's kubeconfig from its agent and merge the named context into a file.

    Parameters
    ----------
    agent_api
        Address of the node's agent.
    context_name
        The context to take.
    path
        The file to merge into.
    overwrite
        Replace a context, cluster or user of the same name.
    """
    target = target_path(path)
    if not yes and not confirmed(f"Merge context {context_name} of {agent_api} into {target}?"):
        raise CommandError("nothing was written")
    url = agent_api.rstrip("/") + "/config/kubeconfig"
    request = Outgoing("GET", url, Purpose.REGISTRATION, Profile.MANAGEMENT, timeout_seconds=30.0)
    answer = send(access, request)
    try:
        remote = mapping(yaml.safe_load(str(mapping(answer.json()).get("kubeconfig"))))
        local = mapping(yaml.safe_load(target.read_text())) if target.exists() else {}
    except yaml.YAMLError as error:
        raise CommandError("one of the two kubeconfigs is not YAML") from error
    merged = merge_context(local, remote, context_name, overwrite=overwrite)
    write(target, merged)
    _report(target, len(sequence(merged.get("contexts"))), json=json)


def merge_context(local: Row, remote: Row, name: str, *, overwrite: bool) -> Row:
    """The local kubeconfig with one remote context, its cluster and its user, cut down to safe fields. Pure.

    Raises:
        CommandError: the remote one lacks a part, or a name is taken and may not be overwritten.
    """
    context = _entry(remote, "contexts", name)
    inner = mapping(context.get("context"))
    cluster = _entry(remote, "clusters", str(inner.get("cluster")))
    user = _entry(remote, "users", str(inner.get("user")))
    kept: dict[str, Row] = {
        "contexts": {"name": name, "context": inner},
        "clusters": {"name": cluster["name"], "cluster": _only(mapping(cluster.get("cluster")), SAFE_CLUSTER_FIELDS)},
        "users": {"name": user["name"], "user": _only(mapping(user.get("user")), SAFE_USER_FIELDS)},
    }
    merged: Row = {"apiVersion": "v1", "kind": "Config"} | local
    for part, entry in kept.items():
        others = [item for item in sequence(local.get(part)) if item.get("name") != entry["name"]]
        if len(others) != len(sequence(local.get(part))) and not overwrite:
            raise CommandError(f"{part} has {entry['name']} already: use --overwrite to replace it")
        merged[part] = [*others, entry]
    if not merged.get("current-context"):
        merged["current-context"] = name
    return merged


def _entry(config: Row, part: str, name: str) -> Row:
    found = next((item for item in sequence(config.get(part)) if item.get("name") == name), None)
    if found is None:
        names = [item.get("name") for item in sequence(config.get(part))]
        raise CommandError(f"the node's kubeconfig has no {part} entry {name}; it has {names}")
    return found


def _only(fields: Row, names: tuple[str, ...]) -> Row:
    return {name: fields[name] for name in names if name in fields}
