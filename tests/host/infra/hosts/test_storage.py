"""Data moves to the large disk on a booted machine: whole, checked, refused where it would be lost."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from infra.spec import BindMount, HostSpec
from tests.support.lab_machine import Machine

pytestmark = pytest.mark.host
SOURCE, TARGET = "/srv/large-disk", "/var/snap"


@pytest.fixture
def empty(other: Machine) -> Iterator[Machine]:
    """A machine without mount and without data."""

    def clear() -> None:
        other.ssh(
            "systemctl disable -q --now var-snap.mount 2>/dev/null; rm -f /etc/systemd/system/var-snap.mount; "
            f"systemctl daemon-reload; umount {TARGET} 2>/dev/null; "
            f"rm -rf {SOURCE} {TARGET} {TARGET}.before-headframe /var/lib/headframe/storage; true"
        )

    clear()
    yield other
    clear()


def spec(machine: Machine, minimum_free_gib: int = 1) -> HostSpec:
    return machine.spec(storage=(BindMount(source=SOURCE, target=TARGET, minimum_free_gib=minimum_free_gib),))


def refusal(machine: Machine, wanted: HostSpec) -> str:
    return machine.refusal(wanted).message


def fill(machine: Machine) -> str:
    """Some data at the target; returns its fingerprint."""
    machine.ssh(
        f"mkdir -p {TARGET}/cache/deep && echo data > {TARGET}/cache/deep/a && ln -s a {TARGET}/cache/deep/link && "
        f"dd if=/dev/urandom of={TARGET}/cache/big bs=1M count=3 2>/dev/null && chown -R 1000:1000 {TARGET}/cache && "
        f"mkdir -m 700 {TARGET}/postgres-data && touch {TARGET}/postgres-data/PG_VERSION"
    )
    return fingerprint(machine)


def fingerprint(machine: Machine) -> str:
    return str(machine.ssh(f"cd {TARGET} && find . -printf '%p %m %U %l\\n' | sort; sha256sum cache/big"))


def test_an_empty_target_is_mounted_and_a_second_plan_is_empty(empty: Machine) -> None:
    assert empty.apply(spec(empty)) == ("storage | bind mount /var/snap",)
    assert empty.plan(spec(empty)) == ()
    empty.ssh(f"touch {TARGET}/new")
    assert empty.ssh(f"ls {SOURCE}") == "new"


def test_data_moves_whole_and_the_original_goes_last(empty: Machine) -> None:
    before = fill(empty)
    empty.apply(spec(empty))
    assert fingerprint(empty) == before
    assert empty.ssh(f"ls {SOURCE}; ls -d {TARGET}.before-headframe 2>/dev/null || echo gone") == (
        "cache\npostgres-data\ngone"
    )


def test_a_run_that_died_while_copying_is_finished_by_the_next(empty: Machine) -> None:
    before = fill(empty)
    empty.ssh(
        f"mkdir -p {SOURCE}/cache /var/lib/headframe/storage && touch /var/lib/headframe/storage/var-snap.moving && "
        f"head -c 1000 {TARGET}/cache/big > {SOURCE}/cache/big"
    )
    empty.apply(spec(empty))
    assert fingerprint(empty) == before


def test_a_run_that_died_before_mounting_is_finished_by_the_next(empty: Machine) -> None:
    before = fill(empty)
    empty.ssh(f"mkdir -p {SOURCE} && cp -a {TARGET}/. {SOURCE}/ && mv {TARGET} {TARGET}.before-headframe")
    empty.apply(spec(empty))
    assert fingerprint(empty) == before


def test_two_places_with_data_are_refused(empty: Machine) -> None:
    fill(empty)
    empty.ssh(f"mkdir -p {SOURCE} && touch {SOURCE}/mine")
    assert "both hold data" in refusal(empty, spec(empty))
    assert empty.ssh(f"ls {TARGET} {SOURCE} | grep -c .") == "5"


def test_too_little_space_is_refused_before_anything_moves(empty: Machine) -> None:
    before = fill(empty)
    assert "use a larger disk" in refusal(empty, spec(empty, minimum_free_gib=100_000))
    assert fingerprint(empty) == before


def test_open_files_are_refused_with_their_process(empty: Machine) -> None:
    fill(empty)
    empty.ssh(f"systemd-run --quiet --unit hold-file tail -f {TARGET}/cache/big")
    assert "have files open" in refusal(empty, spec(empty))
    empty.ssh("systemctl stop hold-file")


def test_drift_is_named_and_repaired(empty: Machine) -> None:
    empty.apply(spec(empty))
    empty.ssh("systemctl stop var-snap.mount")
    assert empty.plan(spec(empty)) == ("storage | bind mount /var/snap",)
    empty.apply(spec(empty))
    assert empty.plan(spec(empty)) == ()


def test_it_survives_a_reboot(empty: Machine) -> None:
    before = fill(empty)
    empty.apply(spec(empty))
    empty.fleet.kill(empty.name)
    empty.fleet.boot()
    assert fingerprint(empty) == before
    assert empty.plan(spec(empty)) == ()
