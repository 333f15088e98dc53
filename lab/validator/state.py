"""What the simulated validator knows and what it was asked. Plain data in memory; one event loop owns it."""

from __future__ import annotations

import hashlib
import secrets
import uuid
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime

Json = dict[str, object]


@dataclass
class Config:
    """A launch config that was handed out."""

    config_id: str
    chute_id: str
    version: str
    hotkey: str
    job_id: str | None
    issued_at: float
    claimed_at: float | None = None
    nonce: str | None = None
    #: Locked for the pod's GPU, where the launch is proved.
    symmetric_key: str | None = field(default=None, repr=False)


@dataclass
class Job:
    """A job that miners race for."""

    job_id: str
    chute_id: str
    attempts: set[str] = field(default_factory=set)
    instance_id: str | None = None


@dataclass(frozen=True)
class Asked:
    """One line of the honest log: who asked what, whether the signature held, what was answered."""

    at: float
    method: str
    path: str
    query: str
    hotkey: str | None
    purpose: str | None
    signature_valid: bool | None
    status: int
    body_sha256: str | None


class State:
    """All of it.

    Args:
        hotkey: the simulated validator's own address.
        clock: Unix seconds.
    """

    def __init__(self, hotkey: str, clock: Callable[[], float]) -> None:
        self.hotkey = hotkey
        self.clock = clock
        self.api_url = ""
        self.token_secret = secrets.token_bytes(32)
        #: Hotkeys that are registered on the subnet; None accepts all.
        self.registered: set[str] | None = None
        self.chutes: dict[str, Json] = {}
        self.images: dict[str, Json] = {}
        self.nodes: dict[str, Json] = {}
        self.servers: dict[str, Json] = {}
        #: False: GPUs of bare nodes are listed one by one, and no server holds them.
        self.has_bare_servers = True
        self.instances: dict[str, Json] = {}
        self.configs: dict[str, Config] = {}
        self.jobs: dict[str, Job] = {}
        self.tasks: dict[str, Json] = {}
        self.utilization: dict[str, Json] = {}
        self.rolling_updates: dict[str, Json] = {}
        self.bounties: dict[str, int] = {}
        #: Most instances that a chute may have, all miners together; absent is unlimited.
        self.capacity: dict[str, int] = {}
        self.audits: dict[tuple[str, str], Json] = {}
        self.used_nonces: set[tuple[str, str]] = set()
        self.asked: deque[Asked] = deque(maxlen=50_000)
        self.counts: Counter[str] = Counter()
        self.answered_by_chutes: Counter[str] = Counter()
        self.sent: deque[Json] = deque(maxlen=10_000)

    def now_iso(self) -> str:
        """This moment as the wire writes it."""
        return datetime.fromtimestamp(self.clock(), UTC).isoformat()

    def add_image(self, username: str, name: str, tag: str, chutes_version: str = "0.3.61") -> str:
        """A new image; returns its id."""
        image_id = str(uuid.uuid4())
        self.images[image_id] = {
            "image_id": image_id, "username": username, "name": name, "tag": tag, "patch_version": None,
            "chutes_version": chutes_version, "status": "built", "public": True, "created_at": self.now_iso(),
        }  # fmt: skip
        return image_id

    def add_chute(
        self,
        name: str,
        *,
        gpu_count: int = 1,
        supported_gpus: tuple[str, ...] = ("h100",),
        multiplier: float = 1.0,
        tee: bool = False,
        chutes_version: str = "0.3.61",
        jobs: list[Json] | None = None,
    ) -> str:
        """A new chute with an image of its own; returns its id. Newer validators send no source, nor does this one."""
        chute_id = str(uuid.uuid4())
        image_id = self.add_image("simulated", name, "0.1", chutes_version)
        self.chutes[chute_id] = {
            "chute_id": chute_id, "name": name, "image": f"simulated/{name}:0.1", "image_id": image_id,
            "ref_str": f"{name.replace('-', '_')}:chute", "version": str(uuid.uuid4()),
            "supported_gpus": list(supported_gpus),
            "node_selector": {
                "gpu_count": gpu_count, "min_vram_gb_per_gpu": 16, "include": None, "exclude": None,
                "compute_multiplier": multiplier, "supported_gpus": list(supported_gpus),
            },
            "chutes_version": chutes_version, "preemptible": True, "tee": tee, "jobs": jobs,
            "cords": [{"path": "/echo", "public_api_path": "/echo", "method": "POST"}],
            "effective_compute_multiplier": multiplier, "public": True, "disabled": False, "concurrency": 1,
            "max_instances": None, "created_at": self.now_iso(), "updated_at": self.now_iso(),
        }  # fmt: skip
        return chute_id

    def utilization_of(self, chute_id: str) -> Json:
        """The chute's line of the public utilisation list."""
        running = [item for item in self.instances.values() if item["chute_id"] == chute_id]
        base: Json = {
            "chute_id": chute_id, "scalable": True, "scale_allowance": 4, "target_count": 1,
            "total_instance_count": len(running),
            "active_instance_count": sum(1 for item in running if item["active"]),
        }  # fmt: skip
        return base | self.utilization.get(chute_id, {})

    def put_bounty(self, chute_id: str, amount: int, boost: float) -> float:
        """A bounty, which the chute's list entry shows until it is claimed; the multiplier that a new copy has now."""
        multiplier = self._multiplier(chute_id) * boost
        self.bounties[chute_id] = amount
        self.chutes[chute_id] |= {
            "bounty": amount, "effective_compute_multiplier": multiplier,
            "compute_multiplier_factors": {"bounty_boost": boost},
        }  # fmt: skip
        return multiplier

    def claim_bounty(self, chute_id: str) -> int | None:
        """Take the bounty away, for the copy that became active; None where there is none."""
        amount = self.bounties.pop(chute_id, None)
        if amount is not None:
            self.chutes[chute_id] |= {
                "bounty": None, "effective_compute_multiplier": self._multiplier(chute_id),
                "compute_multiplier_factors": None,
            }  # fmt: skip
        return amount

    def _multiplier(self, chute_id: str) -> float:
        """Of a copy without a bounty."""
        selector = self.chutes[chute_id]["node_selector"]
        assert isinstance(selector, dict)
        return float(selector["compute_multiplier"])

    def instance_of(self, config_id: str) -> Json | None:
        """The instance that a launch config became."""
        return next((item for item in self.instances.values() if item["config_id"] == config_id), None)

    def note(self, asked: Asked) -> None:
        """Write one request down."""
        self.asked.append(asked)
        self.counts[f"{asked.method} {asked.path} {asked.status}"] += 1


def digest(body: bytes) -> str | None:
    """The log keeps what a body was by its digest only."""
    return hashlib.sha256(body).hexdigest() if body else None
