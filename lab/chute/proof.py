"""The proof of a launch by a pod's simulated GPUs (SIMULATED): the work is done, on the CPU, and shows no GPU.

A real runtime asks its GPUs what they are; this one believes what the lab's device plugin put into the environment.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Final, Self

from pydantic import ValidationError

from graval.backends.made_up import model_of_product
from graval.backends.simulated import SimulatedBackend
from graval.service.launch import LaunchChallenge, LaunchOffer, PodProver
from graval.session import DeviceDescription, WorkLimits
from lab.symmetric import encrypt

#: Set by the lab's device plugin in every container that gets simulated GPUs.
PRODUCT_VARIABLE: Final = "HEADFRAME_SIMULATED_PRODUCT"
#: A simulated validator asks for far less.
FILL_BYTES: Final = 64 << 20


@dataclass(frozen=True)
class Parties:
    """Whom a proof is bound to, as the pod's command line names them."""

    miner_ss58: str = ""
    validator_ss58: str = ""


NOBODY: Final = Parties()


class SimulatedPodProof:
    """Offers and answers of one launch, none without a product. Gives its memory back at the end of the block."""

    def __init__(self, gpu_ids: Sequence[str], product: str | None, parties: Parties) -> None:
        fields = model_of_product(product).model_dump() if product is not None else {}
        devices = tuple(DeviceDescription(uuid=gpu, **fields) for gpu in gpu_ids) if fields else ()
        backend, limits = SimulatedBackend(devices), WorkLimits(fill_bytes=FILL_BYTES)
        self._provers = {one.uuid: PodProver(backend, one, parties.miner_ss58, limits, time.time) for one in devices}
        self._offers: dict[str, LaunchOffer] = {}
        self._verifier = parties.validator_ss58

    def offers(self) -> dict[str, object]:
        """The field of the claim that carries them."""
        for uuid, prover in self._provers.items():
            self._offers[uuid] = prover.offer(self._verifier, secrets.token_hex(16))
        return {"graval_offers": [offer.model_dump(mode="json") for offer in self._offers.values()]}

    def answer(self, claimed: object) -> dict[str, object]:
        """Do the work that opens the launch's key, and answer under it. Blocks.

        Raises:
            ValueError: the validator locked nothing and is not a simulated one, or asks for what cannot be done here.
        """
        lock = claimed.get("symmetric_key") if isinstance(claimed, dict) else None
        if not isinstance(claimed, dict) or not isinstance(lock, dict) or not claimed.get("simulated"):
            raise ValueError("only a simulated validator can be answered without a GPU: this chute is a stand-in")
        text = str(lock["response_plaintext"])
        if lock.get("challenge") is None:  # it locks nothing, and says so
            return {"response": text, "proof": {}}
        try:
            challenge = LaunchChallenge.model_validate(lock["challenge"])
        except ValidationError as error:
            raise ValueError(f"the validator's challenge is malformed: {error.errors()[0]['loc']}") from error
        uuid = str(lock.get("uuid"))
        prover, offer = self._provers.get(uuid), self._offers.get(uuid)
        if prover is None or offer is None:
            raise ValueError(f"the validator locked a key for GPU {uuid}, which this pod does not have")
        iv = secrets.token_bytes(16)
        return {"response": encrypt(prover.earn(offer, challenge), iv, text), "iv": iv.hex(), "proof": {}}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for prover in self._provers.values():
            prover.close()
