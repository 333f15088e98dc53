"""One lab host with the lab's Kubernetes for every test of this folder that wants one."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from lab.hosts.fleet import LabFleet
from lab.kubernetes.artifacts import host_binds
from tests.support.lab_fleet import booted_fleet, skip_without_hosts, traces
from tests.support.lab_kubernetes import HOST, import_busybox, install_kubernetes


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LabFleet]:
    """A fleet of one host, HOST, whose cluster is Ready and holds the image BUSYBOX."""
    skip_without_hosts()
    with booted_fleet(tmp_path_factory.mktemp("cluster"), (HOST,), host_binds()) as fleet:
        install_kubernetes(fleet, HOST)
        import_busybox(fleet, HOST)
        yield fleet
    assert traces(fleet) == [], "a wiped host with pods left something behind"
