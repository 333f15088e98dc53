"""What can happen to a miner, as steps over the simulated validator: demand, bounties, updates, outages."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Final

from app.protocol.events import Reason
from lab.validator.faults import Fault, FaultKind
from lab.validator.state import Job

if TYPE_CHECKING:
    from lab.validator.app import SimulatedValidator

#: Messages that a careless sender might produce; none may stop a miner.
MALFORMED: Final[tuple[object, ...]] = (
    None, "text", 7, [], {}, {"reason": "chute_created"}, {"reason": "chute_created", "data": None},
    {"reason": "chute_created", "data": []}, {"reason": None, "data": {}}, {"reason": "not_invented", "data": {"x": 1}},
    {"reason": "instance_deleted", "data": {"instance_id": "../../etc", "miner_hotkey": ""}},
    {"reason": "server_deleted", "data": {"server_id": "all"}}, {"reason": "job_created", "data": {"job_id": "j"}},
)  # fmt: skip

#: Copies of each chute when demand has risen: more than a lab has nodes.
RISEN_TARGET: Final = 8
#: Factor of a bounty in the multiplier of the copy that claims it: one that is three hours old (spec: gepetto 21.5).
BOUNTY_BOOST: Final = 1.5


async def steady_demand(validator: SimulatedValidator) -> None:
    """Three public chutes that may be scaled, announced one by one."""
    for name, count, refs in (
        ("simulated-llama", 4, ("h100_sxm", "h200")), ("simulated-whisper", 1, ("4090", "h100_sxm", "h200")),
        ("simulated-sdxl", 1, ("4090",)),
    ):  # fmt: skip
        chute_id = validator.state.add_chute(name, gpu_count=count, supported_gpus=refs, multiplier=float(count))
        await announce(validator, chute_id, Reason.CHUTE_CREATED)


async def confidential_demand(validator: SimulatedValidator) -> None:
    """Two chutes for confidential nodes, announced one by one."""
    for name, count, refs in (("simulated-llama", 4, ("h100_sxm", "h200")), ("simulated-sdxl", 1, ("h100_sxm",))):
        chute_id = validator.state.add_chute(
            name, gpu_count=count, supported_gpus=refs, multiplier=float(count), tee=True, chutes_version="0.6.0"
        )
        await announce(validator, chute_id, Reason.CHUTE_CREATED)


async def announce(validator: SimulatedValidator, chute_id: str, reason: Reason) -> None:
    """Tell all miners about a chute."""
    data = {"chute_id": chute_id, "version": validator.state.chutes[chute_id]["version"], "job_only": False}
    await validator.feed.broadcast(reason.value, data)


async def bounty(validator: SimulatedValidator, chute_id: str | None = None, amount: int = 100) -> None:
    """A bounty on one chute, the first one unless named: the next copy of it that becomes active claims it."""
    chute_id = chute_id or next(iter(validator.state.chutes))
    multiplier = validator.state.put_bounty(chute_id, amount, BOUNTY_BOOST)
    data = {"chute_id": chute_id, "bounty": amount, "effective_multiplier": multiplier, "bounty_boost": BOUNTY_BOOST}
    await validator.feed.broadcast(Reason.BOUNTY_CHANGE.value, data)


async def rising_demand(validator: SimulatedValidator, target: int = RISEN_TARGET) -> None:
    """Users want more of every chute: the validator now takes so many copies of each."""
    for chute_id in validator.state.chutes:
        validator.state.utilization[chute_id] = {
            **validator.state.utilization.get(chute_id, {}),
            "target_count": target,
        }


async def falling_demand(validator: SimulatedValidator, chute_id: str | None = None) -> None:
    """Nobody wants one chute any more, the first one unless named: the validator ends its copies and takes none."""
    state = validator.state
    chute_id = chute_id or next(iter(state.chutes))
    state.utilization[chute_id] = {**state.utilization.get(chute_id, {}), "target_count": 0}
    for instance_id in [key for key, item in state.instances.items() if item["chute_id"] == chute_id]:
        await delete_instance(validator, instance_id)


async def rolling_update(validator: SimulatedValidator, chute_id: str | None = None) -> None:
    """A new version of one chute: the update is listed, announced, and each instance is asked to move."""
    state = validator.state
    chute_id = chute_id or next(iter(state.chutes))
    chute = state.chutes[chute_id]
    old, new = chute["version"], str(uuid.uuid4())
    chute["version"] = new
    hotkeys = {str(i["miner_hotkey"]) for i in state.instances.values() if i["chute_id"] == chute_id}
    state.rolling_updates[chute_id] = {
        "chute_id": chute_id, "old_version": old, "new_version": new, "started_at": state.now_iso(),
        "permitted": dict.fromkeys(hotkeys, 1),
    }  # fmt: skip
    await announce(validator, chute_id, Reason.CHUTE_UPDATED)
    for instance in [i for i in state.instances.values() if i["chute_id"] == chute_id and i["version"] == old]:
        hotkey = str(instance["miner_hotkey"])
        data = {
            "chute_id": chute_id, "instance_id": instance["instance_id"], "miner_hotkey": hotkey, "old_version": old,
            "new_version": new, "reason": "code update",
        }  # fmt: skip
        await validator.feed.broadcast(Reason.ROLLING_UPDATE.value, data, [hotkey])


async def delete_chute(validator: SimulatedValidator, chute_id: str | None = None) -> None:
    """A chute is gone; the validator ends each of its instances, and says so."""
    chute_id = chute_id or next(iter(validator.state.chutes))
    version = validator.state.chutes.pop(chute_id)["version"]
    for instance_id in [k for k, item in validator.state.instances.items() if item["chute_id"] == chute_id]:
        await delete_instance(validator, instance_id)
    await validator.feed.broadcast(Reason.CHUTE_DELETED.value, {"chute_id": chute_id, "version": version})


async def delete_instance(validator: SimulatedValidator, instance_id: str) -> None:
    """The validator ends an instance."""
    instance = validator.state.instances.pop(instance_id)
    data = {key: instance[key] for key in ("instance_id", "chute_id", "config_id", "miner_hotkey")}
    await validator.feed.broadcast(Reason.INSTANCE_DELETED.value, data, [str(instance["miner_hotkey"])])


async def job(validator: SimulatedValidator, chute_id: str | None = None) -> None:
    """A job for one chute."""
    chute_id = chute_id or next(iter(validator.state.chutes))
    chute = validator.state.chutes[chute_id]
    job_id = str(uuid.uuid4())
    validator.state.jobs[job_id] = Job(job_id, chute_id)
    data = {
        "job_id": job_id, "method": "train", "chute_id": chute_id, "image_id": chute["image_id"], "gpu_count": 1,
        "compute_multiplier": 1.0, "exclude": [], "disk_gb": 10,
    }  # fmt: skip
    await validator.feed.broadcast(Reason.JOB_CREATED.value, data)


async def outage(validator: SimulatedValidator, seconds: float = 5.0) -> None:
    """No API and no feed for a while."""
    rule = Fault("* *", FaultKind.DROP, times=None)
    validator.faults.rules.insert(0, rule)
    validator.feed.deaf = True
    await validator.feed.disconnect_all()
    await asyncio.sleep(seconds)
    validator.faults.rules.remove(rule)
    validator.feed.deaf = False


async def refusals(validator: SimulatedValidator) -> None:
    """The next three requests for launch configs get 423, 409 and 403."""
    for status in (423, 409, 403):
        validator.faults.add(Fault("GET /instances/launch_config", FaultKind.REFUSE, status=status))


async def malformed_events(validator: SimulatedValidator) -> None:
    """One of each malformed message."""
    for message in MALFORMED:
        await validator.feed.send_raw(message)


SCENARIOS: Final[Mapping[str, Callable[..., Awaitable[None]]]] = {
    "steady_demand": steady_demand,
    "confidential_demand": confidential_demand,
    "bounty": bounty,
    "rising_demand": rising_demand,
    "falling_demand": falling_demand,
    "rolling_update": rolling_update,
    "delete_chute": delete_chute,
    "job": job,
    "outage": outage,
    "refusals": refusals,
    "malformed_events": malformed_events,
}
#: Those that may be told a `chute_id`.
OF_ONE_CHUTE: Final = frozenset({"bounty", "falling_demand", "rolling_update", "delete_chute", "job"})
