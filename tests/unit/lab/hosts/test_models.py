"""Names on the machine are short, stable and a clone's own; addresses are checked before anything is booted."""

from __future__ import annotations

from ipaddress import IPv4Network
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lab.hosts.models import FleetNames, LabHost, check_addresses

NETWORK = IPv4Network("198.18.7.0/24")


@settings(max_examples=25)
@given(fleet=st.text(min_size=1, max_size=80), host=st.text(min_size=1, max_size=80))
def test_interface_names_fit_the_kernel_whatever_the_names(fleet: str, host: str) -> None:
    names = FleetNames.of(fleet, Path("/state"))
    assert len(names.bridge) <= 15
    assert len(names.cable(host)) <= 15
    assert names.cgroup(host).startswith(names.cgroup_prefix)


def test_another_clone_and_another_fleet_have_other_names() -> None:
    bridges = {FleetNames.of(fleet, Path(folder)).bridge for fleet in ("a", "b") for folder in ("/x", "/y")}
    assert len(bridges) == 4


def test_clashing_and_foreign_addresses_are_refused() -> None:
    one = LabHost("one", "198.18.7.11")
    check_addresses((one, LabHost("two", "198.18.7.12")), NETWORK)
    for other, said in (
        (LabHost("one", "198.18.7.12"), "name one"),
        (LabHost("two", "198.18.7.11"), "address 198.18.7.11"),
        (LabHost("two", "198.18.8.12"), r"198\.18\.8\.12 is not free"),
        (LabHost("two", "198.18.7.1"), r"198\.18\.7\.1 is not free.*bridge"),
    ):
        with pytest.raises(ValueError, match=said):
            check_addresses((one, other), NETWORK)
