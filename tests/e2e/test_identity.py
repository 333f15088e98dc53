"""A machine stays itself: another address or new credentials replace nothing (D4)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import IPv4Address

import pytest

from lab.fleet.engine import read_stack_file, write_stack_file
from lab.fleet.stack import StackFile
from tests.support.lab import Lab

pytestmark = [pytest.mark.e2e, pytest.mark.host, pytest.mark.timeout(2700)]


@contextmanager
def second_address(lab: Lab, name: str) -> Iterator[str]:
    """Another address under which a machine answers as well."""
    first = next(host.address for host in lab.fleet.hosts if host.name == name)
    second = str(IPv4Address(first) + 100)
    interface = lab.fleet.ssh(name, f"ip -o -4 addr show | awk '$4 ~ /^{first}\\// {{print $2}}'").strip()
    lab.fleet.ssh(name, f"ip addr add {second}/24 dev {interface}")
    try:
        yield second
    finally:
        lab.fleet.ssh(name, f"ip addr del {second}/24 dev {interface}")


@contextmanager
def leaving_by(lab: Lab, name: str, address: str) -> Iterator[None]:
    """The machine comes to the control host from this address, as a rule demands of the one that it declares."""
    control = next(host.address for host in lab.fleet.hosts if host.name == lab.control)
    interface = lab.fleet.ssh(name, f"ip -o -4 addr show | awk '$4 ~ /^{address}\\// {{print $2}}'").strip()
    lab.fleet.ssh(name, f"ip route replace {control}/32 dev {interface} src {address}")
    try:
        yield
    finally:
        lab.fleet.ssh(name, f"ip route del {control}/32 dev {interface}")


def with_address(content: StackFile, name: str, address: str) -> StackFile:
    for node in (content["config"]["headframe:control"], *content["config"]["headframe:gpu_nodes"]):
        if node["name"] == name:
            node["address"] = address
    return content


def test_another_address_and_then_new_credentials_replace_nothing(settled: Lab) -> None:
    name, file = settled.gpu_nodes[0], settled.engine.stack_file
    text, credentials = file.read_text(), settled.kubeconfig(name)
    with second_address(settled, name) as address:
        try:
            write_stack_file(file, with_address(read_stack_file(file), name, address))
            with leaving_by(settled, name, address):
                preview = settled.preview()
                moved = settled.up()
        finally:
            file.write_text(text)
            settled.renew_credentials(name)
            renewed = settled.up()
    assert preview.status == 0, preview.output
    assert ("update", name) in preview.changed
    assert preview.replaces == []
    assert moved.status == 0, moved.output
    assert moved.replaces == []
    assert renewed.status == 0, renewed.output
    assert renewed.replaces == []
    assert settled.kubeconfig(name) != credentials
    assert settled.preview().changed == []
