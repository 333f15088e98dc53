"""What is declared stays, and what was changed by hand is named and repaired."""

from __future__ import annotations

import pytest

from tests.support.lab import HOST, Lab, drift_of

pytestmark = [pytest.mark.e2e, pytest.mark.host, pytest.mark.timeout(2700)]

FILE = "/var/snap/headframe/postgres/README"


def test_an_update_after_the_fleet_came_up_changes_nothing(
    lab: Lab, last_up: dict[str, int], request: pytest.FixtureRequest
) -> None:
    """Not even what kubelets did to the machines' folders. A clone that was changed meanwhile wants `make up` first."""
    update = lab.up()
    assert update.status == 0, update.output
    assert update.changed == [], update.output
    assert set(update.changes) == {"same"}
    assert update.changes["same"] >= len(lab.fleet.hosts)
    last_up["failures"] = request.session.testsfailed


def test_every_machine_is_a_resource_that_answers(settled: Lab) -> None:
    hosts = {entry["urn"].rsplit("::", 1)[-1]: entry for entry in settled.resources(HOST)}
    assert set(hosts) == {host.name for host in settled.fleet.hosts}
    assert all(entry["outputs"]["reachable"] is True and entry["outputs"]["drift"] == [] for entry in hosts.values())


def test_drift_is_named_before_it_is_repaired(settled: Lab) -> None:
    name = settled.control
    packages = settled.declared_packages
    before = settled.fleet.ssh(name, f"cat {FILE}")
    settled.fleet.ssh(name, f"apt-get remove -y -qq {packages[0]} >/dev/null 2>&1; echo edited by hand >> {FILE}", 120)

    preview = settled.preview()
    assert preview.status == 0, preview.output
    assert preview.changed == [("update", name)]
    assert drift_of(preview, name) == {"base | packages", f"base | file {FILE}"}
    assert "edited by hand" in settled.fleet.ssh(name, f"cat {FILE}"), "a preview must not repair"

    repaired = settled.up()
    assert repaired.status == 0, repaired.output
    assert repaired.changed == [("update", name)]
    assert settled.fleet.ssh(name, f"cat {FILE}") == before
    assert "install ok installed" in settled.fleet.ssh(name, f"dpkg-query -W -f '${{Status}}' {packages[0]}")
    assert settled.preview().changed == []
