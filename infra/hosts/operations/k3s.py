"""Operations on the machine's k3s."""

from __future__ import annotations

import hashlib
import shlex
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from pyinfra import host
from pyinfra.api import FileUploadCommand, OperationError, StringCommand, operation

from infra.hosts.facts.images import CTR, ImportedImages
from infra.hosts.facts.shell import Holds, Printed
from infra.hosts.operations.commands import Commands
from infra.hosts.operations.files import stamp_path
from infra.hosts.paths import K3S, K3S_FETCHED, K3S_KUBECONFIG, K3S_PRELOADED, UPLOADS
from infra.spec import BinarySource
from infra.spec.oci import INDEX_SUFFIX, read_image, write_archive

KUBECTL: Final = f"{K3S} kubectl --kubeconfig {K3S_KUBECONFIG}"
_CHUNK_BYTES: Final = 1 << 20


@operation()
def binary(source: BinarySource, version: str) -> Commands:
    """k3s of this version is installed, from a source whose checksum is checked before it replaces anything."""
    content = f"; sha256sum < {K3S} 2>/dev/null" if source.sha256 else ""
    found = host.get_fact(Printed, f"{K3S} --version 2>/dev/null | awk 'NR==1{{print $3}}'{content}")
    same_version = found[:1] == [version]
    same_content = source.sha256 is None or any(line.startswith(source.sha256) for line in found[1:2])
    if same_version and same_content:
        host.noop(f"k3s {version} is installed")
        return
    yield StringCommand(f"rm -f {stamp_path('k3s')}")
    ready = f"[ \"$({K3S_FETCHED} --version 2>/dev/null | awk 'NR==1{{print $3}}')\" = {version} ]"
    taken = f'{{ {{ {ready} && mv -f {K3S_FETCHED} "$t"; }} || {_fetch(source)}; }}'
    links = "ln -sf k3s /usr/local/bin/kubectl && ln -sf k3s /usr/local/bin/crictl"
    yield StringCommand(_checked(source, version, taken, f'mv -f "$t" {K3S} && {links}'))


def fetch_script(source: BinarySource, version: str) -> str:
    """Shell: the binary lies beside the one that runs, checked. It changes nothing, and may fail where nothing stands
    still for it: `binary` takes it from there."""
    return _checked(source, version, _fetch(source), f'mv -f "$t" {K3S_FETCHED}')


def _fetch(source: BinarySource) -> str:
    if source.local_path is not None:
        return f'cp {shlex.quote(source.local_path)} "$t"'
    # A server that falls silent is given up: without that the run would wait as long as it may.
    patience = "--connect-timeout 20 --speed-limit 1024 --speed-time 60 --retry 5 --retry-delay 5"
    return f'curl -fsSL {patience} -o "$t" {shlex.quote(source.url)}'


def _checked(source: BinarySource, version: str, get: str, put: str) -> str:
    """Shell: `get` a binary to "$t", and `put` it where it belongs if it is the wanted one. The new file takes the old
    one's place by rename: a running k3s keeps its own."""
    check = f'echo "{source.sha256}  $t" | sha256sum -c - >/dev/null' if source.sha256 else "true"
    return (
        f"mkdir -p {K3S.rpartition('/')[0]} && t=$(mktemp {K3S}.XXXXXX) && "
        f'{get} && {check} && chmod 755 "$t" && '
        f"seen=$(\"$t\" --version | awk 'NR==1{{print $3}}') && "
        f'{{ [ "$seen" = {version} ] || {{ echo "{source.url} is k3s $seen, wanted {version}" >&2; false; }}; }} && '
        f'{put} || {{ rm -f "$t"; exit 1; }}'
    )


@operation()
def preloaded(archive: str) -> Commands:
    """k3s finds the archive, which lies on the machine already, when it starts."""
    link = f"{K3S_PRELOADED}/{archive.rpartition('/')[2]}"
    if host.get_fact(Holds, f'[ "$(readlink {shlex.quote(link)})" = {shlex.quote(archive)} ]'):
        host.noop(f"{link} is there")
        return
    yield StringCommand(f"mkdir -p {K3S_PRELOADED} && ln -sfn {shlex.quote(archive)} {shlex.quote(link)}")


@operation()
def ready(node: str, timeout_seconds: int) -> Commands:
    """The API answers and the node is Ready. Waits for it, and where it gives up, says what k3s logged."""
    condition = is_ready(node)
    if host.get_fact(Holds, condition):
        host.noop(f"{node} is Ready")
        return
    yield StringCommand(
        f"for i in $(seq {timeout_seconds}); do if {condition}; then exit 0; fi; sleep 1; done; "
        f"echo 'k3s is not Ready after {timeout_seconds} s; its last words:' >&2; "
        "journalctl -u k3s -n 15 --no-pager -o cat >&2; exit 1"
    )


def is_ready(node: str) -> str:
    """Shell condition: the cluster answers, and the node is Ready by a report of the kubelet that runs now.

    After a restart the last report of the kubelet before it still stands, and the new one's first may say otherwise.
    A start that lies in the future (the clock was set back since) says nothing of the report. While systemd still has
    a restart to do, it is the k3s of before that answers.
    """
    ready = '.status.conditions[?(@.type=="Ready")]'
    seen = f"{KUBECTL} get node {node} -o jsonpath='{{{ready}.status}} {{{ready}.lastHeartbeatTime}}' 2>/dev/null"
    started = 'date -d "$(systemctl show --property ExecMainStartTimestamp --value k3s)" +%s'
    return (
        "! systemctl show --property Job k3s | grep -q '=[1-9]' && "
        f"[ -s {K3S_KUBECONFIG} ] && {KUBECTL} get --raw /readyz >/dev/null 2>&1 && "
        f'{seen} | {{ read -r status at; [ "$status" = True ] && started=$({started}) && '
        '{ [ "$(date -d "$at" +%s)" -gt "$started" ] || [ "$started" -gt "$(date +%s)" ]; }; }'
    )


@operation()
def labelled(node: str, labels: Mapping[str, str]) -> Commands:
    """The node carries these labels; others are left alone. (k3s sets labels only when it first registers.)"""
    template = '{{range $k, $v := .metadata.labels}}{{$k}}={{$v}}{{"\\n"}}{{end}}'
    seen = host.get_fact(Printed, f"{KUBECTL} get node {node} -o go-template='{template}' 2>/dev/null")
    missing = sorted(f"{key}={value}" for key, value in labels.items() if f"{key}={value}" not in seen)
    if not missing:
        host.noop("all labels are set")
        return
    yield StringCommand(f"{KUBECTL} label --overwrite node {node} {' '.join(map(shlex.quote, missing))}")


@operation()
def image(reference: str, archive: str, sha256: str | None, imported: frozenset[str]) -> Commands:
    """The image is in the node's containerd. A reference that is present is right: its tag names the inputs.

    Of an index with its blobs the node receives what it lacks, of any other archive everything.

    Args:
        imported: what the machine held when the run was planned; what it lacked then is asked again at its turn.
    """
    if reference in imported or (host.state.is_executing and reference in host.get_fact(ImportedImages)):
        host.noop(f"{reference} is imported")
        return
    if host.state.is_executing:
        _check_archive(Path(archive), sha256)
    remote = f"{UPLOADS}/{hashlib.sha256(reference.encode()).hexdigest()[:16]}.tar"
    yield StringCommand(f"mkdir -p {UPLOADS} && chmod 700 {UPLOADS}")
    with tempfile.TemporaryDirectory() as folder:
        upload, present = archive, frozenset[str]()
        if archive.endswith(INDEX_SUFFIX) and host.state.is_executing:
            held = host.get_fact(Printed, f"{CTR} content ls -q 2>/dev/null")
            upload, present = _composed(Path(archive), frozenset(held), Path(folder, "image.tar"))
        yield FileUploadCommand(upload, remote)
    yield StringCommand(_import(remote, present))
    yield StringCommand(
        f"{CTR} images ls -q | grep -qxF {shlex.quote(reference)} || "
        f"{{ echo 'the archive {archive} holds no image {reference}' >&2; exit 1; }}"
    )


def _composed(index: Path, held: frozenset[str], target: Path) -> tuple[str, frozenset[str]]:
    """The archive of what the node lacks, and the digests that were left out of it."""
    try:
        stored = read_image(index)
        write_archive(stored, target, present=held)
    except (OSError, ValueError) as error:
        raise OperationError(str(error)) from error
    return str(target), frozenset(blob.digest for blob in stored.blobs) - {b.digest for b in stored.lacking(held)}


def _import(remote: str, left_out: frozenset[str]) -> str:
    """Import an archive; where containerd does not take one with blobs left out, put them back from its own content."""
    plain = f"{CTR} images import {remote}"
    if not left_out:
        return f"{plain}; code=$?; rm -f {remote}; exit $code"
    folder = f"{remote}.whole"
    fetch = " && ".join(
        f"{CTR} content get {digest} > {folder}/blobs/sha256/{digest.removeprefix('sha256:')}"
        for digest in sorted(left_out)
    )
    whole = (
        f"mkdir -p {folder}/blobs/sha256 && tar -xf {remote} -C {folder} && {fetch} && "
        f"tar -cf {remote} -C {folder} . && {plain}"
    )
    return f"{plain} || {{ {whole}; }}; code=$?; rm -rf {remote} {folder}; exit $code"


def _check_archive(archive: Path, sha256: str | None) -> None:
    if not archive.is_file():
        raise OperationError(f"{archive} does not exist: build the image first")
    if sha256 is None:
        return
    digest = hashlib.sha256()
    with archive.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            digest.update(chunk)
    if digest.hexdigest() != sha256:
        raise OperationError(f"{archive} has sha256 {digest.hexdigest()}, wanted {sha256}: build the image again")
