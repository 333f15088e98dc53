"""Settings of the provider: the switch for refreshing, and that the project's configuration does not leak in."""

from __future__ import annotations

import pytest

from infra.provider.options import Options, own_variables


@pytest.mark.parametrize("value", ["false", "False", "0", "no", "off"])
def test_refreshing_can_be_turned_off(value: str) -> None:
    assert not Options.read({"refresh_hosts": value}, {}).refresh_hosts
    assert not Options.read({}, {"HEADFRAME_REFRESH_HOSTS": value}).refresh_hosts


def test_refreshing_is_on_by_default() -> None:
    assert Options.read({}, {}).refresh_hosts


def test_the_environment_has_the_last_word() -> None:
    assert Options.read({"refresh_hosts": "false"}, {"HEADFRAME_REFRESH_HOSTS": "true"}).refresh_hosts


def test_the_projects_own_configuration_is_dropped() -> None:
    offered = {"hotkey": "marker-seed", "gpuNodes": "[]", "refresh_hosts": "false"}
    assert own_variables(dict(offered)) == {"refresh_hosts": "false"}
