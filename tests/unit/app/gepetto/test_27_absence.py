"""Rules 12 to 15: absence never deletes. A stateful test of the whole loop with faulty feeds (spec: gepetto 27).

The loop is the real one: feed readers, world, decide, gate, endings. Validator, clusters and rows are in memory.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from app.gepetto.decision.configuration import Configuration
from app.gepetto.decision.decide import decide
from app.gepetto.decision.gate import Refusal, Spent, pass_gate
from app.gepetto.decision.intents import (
    Evidence,
    ForgetInstance,
    Intent,
    Launch,
    RecordInstance,
    RemoveOrphan,
    Swap,
    Terminate,
)
from app.gepetto.decision.memory import Memory
from app.gepetto.execution.ending import Ender
from app.gepetto.execution.limits import Working
from app.gepetto.execution.orphans import Orphans
from app.gepetto.ingest.clusters import LiveClusters
from app.gepetto.ingest.feeds import FeedReader
from app.gepetto.ingest.rows import DeploymentRow, Rows, ServerRow
from app.gepetto.ingest.world import World
from app.gepetto.world.snapshot import SourceName
from app.gepetto.world.views import DeploymentState, OrderKind
from app.protocol.chutes import ChuteRecord, NodeSelector, Utilization
from app.protocol.instances import ActiveInstance, InstanceRecord
from app.protocol.servers import RemoteServer
from app.storage.journal import JournalStep
from tests.support.gepetto import (
    HOTKEY,
    NOW,
    VALIDATOR,
    instance_of,
    make_chute,
    make_deployment,
    make_server,
    make_snapshot,
    pod_of,
)
from tests.support.gepetto_outside import FakeClusters, FakeValidator

Found = TypeVar("Found")


@dataclass
class MemoryStore:
    """The store's methods that endings use, over a dictionary of rows."""

    rows: dict[str, DeploymentRow] = field(default_factory=dict)
    removed: list[str] = field(default_factory=list)
    working: Working = field(default_factory=Working)

    async def drain(self, deployment_id: str, evidence: str, detail: str, *, starting_only: bool = False) -> bool:
        row = self.rows.get(deployment_id)
        if row is None or row.draining or (starting_only and row.active):
            return False
        self.rows[deployment_id] = replace(row, draining=True)
        return True

    async def remove(self, deployment_id: str, step: JournalStep, detail: str | None = None) -> None:
        self.rows.pop(deployment_id, None)
        self.removed.append(deployment_id)

    async def exists(self, deployment_id: str) -> bool:
        return deployment_id in self.rows

    async def stands_for(self, instance_id: str, config_id: str) -> bool:
        return any(instance_id == row.instance_id or config_id == row.config_id for row in self.rows.values())

    async def server_ids(self) -> tuple[str, ...]:
        return ("server-000", "server-001")


class QuietReader(FeedReader):
    """Definitions are not written: there is no database here."""

    async def write_definitions(self) -> int:
        return 0


class FaultyFeeds(RuleBasedStateMachine):
    """Ten healthy copies on two servers, and every fault that a feed can have, in any order, for any time."""

    copies = 10

    @initialize()
    def begin(self) -> None:
        self.runner = asyncio.Runner()
        self.now = NOW
        self.store, self.clusters, self.validator = MemoryStore(), FakeClusters(), FakeValidator()
        self.world = World(HOTKEY)
        self.memory, self.spent = Memory(), Spent()
        self.alerts = 0
        self.reader = QuietReader(self.world, self.validator, None, lambda: self.now)  # type: ignore[arg-type]
        self.ender = Ender(self.store, self.clusters, {VALIDATOR: self.validator}, 0.0, 0.0)  # type: ignore[arg-type]
        self.orphans = Orphans(self.store, self.clusters, {VALIDATOR: self.validator})  # type: ignore[arg-type]
        self.cluster_feed = LiveClusters(self.clusters, lambda: self.now)
        self._hide: set[str] = set()
        chute = ChuteRecord(
            chute_id="chute-000",
            version="1",
            node_selector=NodeSelector(supported_gpus=("pro_6000",)),
            tee=True,
            effective_compute_multiplier=0.9,
        )
        self.validator.chute_list = [chute]
        self.validator.usage = [Utilization(chute_id="chute-000", target_count=10, total_instance_count=10)]
        servers = (RemoteServer(server_id=f"server-{number:03}", version="1.4.0") for number in range(2))
        self.validator.server_list = list(servers)
        for i in range(self.copies):
            self._add(i)
        self._read_rows()

    def _add(self, number: int) -> None:
        name, server = f"d{number}", f"server-{number % 2:03}"
        self.store.rows[name] = DeploymentRow(
            name, "chute-000", "1", server, VALIDATOR, False, True, None, f"config-{name}", f"instance-{name}", True,
            NOW - 90_000, NOW - 89_000, NOW - 88_000, False, None,
        )  # fmt: skip
        self._start_pod(name, server)
        instance = {"instance_id": f"instance-{name}", "chute_id": "chute-000", "config_id": f"config-{name}"}
        self.validator.instance_list.append(InstanceRecord(**instance, active=True))
        self.validator.active_list.append(
            ActiveInstance(instance_id=instance["instance_id"], chute_id="chute-000", miner_hotkey=HOTKEY)
        )

    def _start_pod(self, name: str, server: str) -> None:
        labels = {"chutes/deployment-id": name, "chutes/config-id": f"config-{name}"}
        cluster = self._wait(self.clusters.of(server))
        cluster.created_at = NOW - 90_000
        cluster.jobs[f"chute-{name}"] = {"metadata": {"name": f"chute-{name}", "labels": labels}}

    def _wait(self, work: Coroutine[Any, Any, Found]) -> Found:
        return self.runner.run(work)

    def _read_rows(self) -> None:
        held = {row.deployment_id: row.server_id for row in self.store.rows.values()}
        servers = []
        for number in range(2):
            server = f"server-{number:03}"
            mine = [name for name, where in sorted(held.items()) if where == server] + [None] * 8
            gpus = tuple((f"{number}{gpu:031x}", "pro_6000", True, mine[gpu]) for gpu in range(8))
            servers.append(
                ServerRow(server, f"node-{number:03}", VALIDATOR, "203.0.113.9", 1.0, False, True, {}, 8, gpus)
            )
        self.world.rows = Rows(tuple(servers), tuple(self.store.rows.values()))
        self.world.note(SourceName.DATABASE, self.now, complete=True)

    # Faults of every feed, switched on and off at will.
    @rule(is_down=st.booleans(), cut=st.booleans(), empty=st.booleans())
    def the_validator_answers_badly(self, is_down: bool, cut: bool, empty: bool) -> None:
        self.validator.is_down, self.validator.cut_lists, self.validator.empty_lists = is_down, cut, empty

    @rule(number=st.integers(0, 1), is_down=st.booleans())
    def a_cluster_goes_or_comes_back(self, number: int, is_down: bool) -> None:
        self._wait(self.clusters.of(f"server-{number:03}")).is_down = is_down

    @rule(number=st.integers(0, 1), share=st.sampled_from([0.0, 0.5]))
    def the_cache_shows_only_a_part_of_a_cluster(self, number: int, share: float) -> None:
        """What a flushed or half rewritten cache would say, although it calls itself complete."""
        name = f"node-{number:03}"
        state = self.world.clusters.get(name)
        if state is not None:
            kept = state.pods[: int(len(state.pods) * share)]
            self.world.take_clusters([replace(state, pods=kept, completed_at=self.now)], self.now)
            self._act()

    @rule()
    def the_cache_is_flushed(self) -> None:
        self.world.clusters.clear()
        self._act()

    @rule(seconds=st.sampled_from([1.0, 30.0, 200.0, 4000.0]))
    def time_passes_and_everything_is_read_and_decided(self, seconds: float) -> None:
        self.now += seconds
        self._wait(self.reader.refresh())
        names = {row.name: row.server_id for row in self.world.rows.servers}
        self.world.take_clusters(self._wait(self.cluster_feed.read(names, self.now)), self.now)
        self._act()

    def _act(self) -> None:
        self._read_rows()
        snapshot = self.world.snapshot(self.now)
        wanted, self.memory = decide(snapshot, Configuration(), self.memory)
        allowed, refused, self.spent = pass_gate(snapshot, wanted, Configuration(), self.spent)
        self.alerts += sum(item.alert for item in refused)
        by_id = {row.id: row for row in snapshot.deployments}
        for intent in allowed:
            if isinstance(intent, Terminate):
                self._wait(self.ender.end(by_id[intent.deployment_id], intent))
            elif isinstance(intent, RemoveOrphan):
                self._wait(self.orphans.remove_objects(intent))
            elif isinstance(intent, ForgetInstance):
                instance = next(item for item in snapshot.instances if item.id == intent.instance_id)
                self._wait(self.orphans.forget_instance(intent, instance))

    @invariant()
    def nothing_was_ended(self) -> None:
        if hasattr(self, "store"):
            assert self.store.removed == []
            assert len(self.store.rows) == self.copies
            assert [name for name, _ in self.validator.calls if name == "delete_instance"] == []

    def teardown(self) -> None:
        if hasattr(self, "runner"):
            self.runner.close()


FaultyFeeds.TestCase.settings = settings(max_examples=25, stateful_step_count=25, deadline=None)
Test_27_12_absence_never_deletes = FaultyFeeds.TestCase


def recovered() -> FaultyFeeds:
    machine = FaultyFeeds()
    machine.begin()
    return machine


def test_27_12_after_every_fault_the_loop_recovers_without_a_restart() -> None:
    machine = recovered()
    machine.the_validator_answers_badly(is_down=True, cut=True, empty=True)
    machine.the_cache_is_flushed()
    machine.time_passes_and_everything_is_read_and_decided(4000.0)
    machine.the_validator_answers_badly(is_down=False, cut=False, empty=False)
    machine.time_passes_and_everything_is_read_and_decided(30.0)
    snapshot = machine.world.snapshot(machine.now)
    assert all(server.healthy for server in snapshot.servers)
    intents, _ = decide(snapshot, Configuration(), machine.memory)
    assert [type(intent) for intent in intents if isinstance(intent, Launch)] == [Launch]
    machine.teardown()


def test_27_12_a_copy_that_is_truly_gone_is_cleared_after_two_readings_and_a_live_look() -> None:
    machine = recovered()
    machine._wait(machine.clusters.of("server-000")).jobs.pop("chute-d0")
    for _ in range(2):
        assert machine.store.removed == []
        machine.time_passes_and_everything_is_read_and_decided(30.0)
    assert machine.store.removed == ["d0"]
    machine.teardown()


def test_27_14_an_instance_that_the_validator_has_published_as_deleted_is_cleared() -> None:
    machine = recovered()
    machine.validator.gone.add("instance-d1")
    machine.validator.instance_list = [i for i in machine.validator.instance_list if i.instance_id != "instance-d1"]
    for _ in range(2):
        machine.time_passes_and_everything_is_read_and_decided(30.0)
    assert machine.store.removed == ["d1"]
    machine.teardown()


def gone_through(intents: tuple[Intent, ...], count: int = 20) -> tuple[tuple[Intent, ...], tuple[Refusal, ...]]:
    server, chute = make_server(free_mask=0), make_chute()
    rows = tuple(make_deployment(f"d{i}", server, chute, 1 << (i % 8)) for i in range(count))
    allowed, refused, _ = pass_gate(make_snapshot((server,), (chute,), rows), intents, Configuration(), Spent())
    return allowed, refused


def test_27_15_the_breaker_opens_when_too_much_looks_absent_and_an_approval_closes_it() -> None:
    absent = tuple(Terminate(f"d{i}", Evidence.ABSENT_POD) for i in range(5))
    allowed, refused = gone_through(absent)
    assert allowed == ()
    assert all(item.alert and "breaker" in item.reason for item in refused)
    approved = Configuration().model_copy(
        update={"safety": Configuration().safety.model_copy(update={"approved_until": NOW + 60})}
    )
    server, chute = make_server(free_mask=0), make_chute()
    rows = tuple(make_deployment(f"d{i}", server, chute, 1 << (i % 8)) for i in range(20))
    snapshot = make_snapshot((server,), (chute,), rows)
    assert len(pass_gate(snapshot, absent, approved, Spent())[0]) == 5


def test_27_15_endings_of_our_own_stop_at_the_budget_and_those_of_the_validator_do_not() -> None:
    own = tuple(Terminate(f"d{i}", Evidence.START_OVERDUE) for i in range(3))
    theirs = tuple(Terminate(f"d{i}", Evidence.VALIDATOR_ENDED) for i in range(3, 9))
    allowed, refused = gone_through((*own, *theirs))
    assert sum(isinstance(item, Terminate) and item.evidence is Evidence.VALIDATOR_ENDED for item in allowed) == 6
    assert all("budget" in item.reason or "last one" in item.reason for item in refused)


def reconciled(**changes: object) -> tuple[Intent, ...]:
    server, chute = make_server(free_mask=0xFE), make_chute(scalable=False)
    row = replace(make_deployment("d1", server, chute, 1), **changes)  # type: ignore[arg-type]
    pods = () if row.state is DeploymentState.RESERVED else (pod_of(row),)
    snapshot = make_snapshot((server,), (chute,), (row,), pods=pods)
    return decide(snapshot, Configuration(), Memory())[0]


@pytest.mark.parametrize(
    "changes",
    [
        {"state": DeploymentState.RESERVED, "created_at": NOW - 60, "instance_id": None, "activated_at": None},
        {
            "state": DeploymentState.RESERVED,
            "created_at": NOW - 9000,
            "lease_until": NOW + 60,
            "instance_id": None,
            "activated_at": None,
        },
        {"state": DeploymentState.VERIFIED, "created_at": NOW - 3000, "activated_at": None},
    ],
)
def test_27_13_work_in_progress_is_left_alone(changes: dict[str, object]) -> None:
    assert [intent for intent in reconciled(**changes) if isinstance(intent, Terminate)] == []


def test_27_14_what_has_positively_ended_is_tidied_up() -> None:
    server, chute = make_server(free_mask=0), make_chute(scalable=False)
    rows = (
        make_deployment("finished", server, chute, 1),
        make_deployment(
            "stub", server, chute, 2, state=DeploymentState.RESERVED, created_at=NOW - 3600, instance_id=None
        ),
        make_deployment("overdue", server, chute, 4, state=DeploymentState.KNOWN, activated_at=None),
        make_deployment("ordered", server, chute, 8),
    )
    pods = (pod_of(rows[0], finished=True), pod_of(rows[2]), pod_of(rows[3]))
    snapshot = make_snapshot((server,), (chute,), rows, pods=pods)
    world = World(HOTKEY)
    world.order(OrderKind.INSTANCE_DELETED, "instance-ordered", NOW)
    snapshot = replace(snapshot, orders=tuple(world.orders.values()))
    endings = {
        i.deployment_id: i.evidence for i in decide(snapshot, Configuration(), Memory())[0] if isinstance(i, Terminate)
    }
    assert endings == {
        "finished": Evidence.POD_FINISHED,
        "stub": Evidence.STUB_EXPIRED,
        "overdue": Evidence.START_OVERDUE,
        "ordered": Evidence.VALIDATOR_ENDED,
    }


def test_27_14_a_missing_instance_id_and_flags_are_taken_from_the_validator() -> None:
    server, chute = make_server(free_mask=0xFE), make_chute(scalable=False)
    row = make_deployment("d1", server, chute, 1)
    behind = replace(row, instance_id=None, verified_at=None, activated_at=None, state=DeploymentState.LAUNCHED)
    snapshot = make_snapshot((server,), (chute,), (behind,), instances=(instance_of(row),), pods=(pod_of(behind),))
    assert decide(snapshot, Configuration(), Memory())[0] == (
        RecordInstance("d1", "instance-d1", active=True, verified=True),
    )


def test_27_14_orphans_are_named_after_two_readings_unless_an_instance_lives() -> None:
    server, chute = make_server(free_mask=0xFE), make_chute(scalable=False)
    orphan = pod_of(make_deployment("orphan", server, chute, 1))
    instance = replace(instance_of(make_deployment("other", server, chute, 1)), config_id="nobody's")
    memory, found = Memory(), []
    for step in range(3):
        snapshot = make_snapshot((server,), (chute,), (), pods=(orphan,), instances=(instance,))
        sources = {name: replace(source, completed_at=NOW + step) for name, source in snapshot.sources.items()}
        intents, memory = decide(replace(snapshot, now=NOW + step, sources=sources), Configuration(), memory)
        found.append([type(intent) for intent in intents])
    assert found == [[], [RemoveOrphan, ForgetInstance], [RemoveOrphan, ForgetInstance]]
    living = replace(instance, config_id=orphan.config_id)
    snapshot = make_snapshot((server,), (chute,), (), pods=(orphan,), instances=(living,))
    assert decide(snapshot, Configuration(), memory)[0] == ()


def test_27_06_a_swap_and_a_launch_never_get_the_same_gpus() -> None:
    server, chute, other = make_server(free_mask=0), make_chute(m_eff=9.0), make_chute(1, m_eff=0.1, global_active=9)
    row = make_deployment("d1", server, other, 0xFF)
    snapshot = make_snapshot((server,), (chute, other), (row,))
    swap = Swap(("d1",), Launch(chute.id, "1", server.id, 1))
    allowed, refused, _ = pass_gate(snapshot, (swap, Launch(chute.id, "1", server.id, 1)), Configuration(), Spent())
    assert allowed == (swap,)
    assert "not free" in refused[0].reason
