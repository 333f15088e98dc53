"""The public protocol's bodies, answered by the official library where it is (spec graval 2.2). Blocking; no HTTP."""

import base64
import binascii
import json
import re
from typing import Final

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from graval.official.miner import OfficialMiner, OfficialProof
from graval.session import DeviceDescription

_CHALLENGE: Final = re.compile(r"[0-9a-f]{64}")
IV_BYTES: Final = 16


class LegacyMalformedError(ValueError):
    """A body or challenge that the public protocol does not know."""


class LegacyQuestion(BaseModel):
    """`POST /prove` without `protocol`: work for a seed, and texts to open with it, by GPU."""

    model_config = ConfigDict(frozen=True, extra="ignore", strict=True)

    seed: int = Field(ge=0, lt=1 << 63)
    iterations: int = Field(1, ge=1, le=10)
    ciphertext: dict[str, str] | None = None


class LegacyDeviceProof(BaseModel):
    """One device's entry in the answer."""

    device_id: int
    device_uuid: str
    device_name: str
    work_product: OfficialProof


class LegacyAnswer(BaseModel):
    """The whole answer; `proof` and `plaintext` go by GPU."""

    devices: tuple[DeviceDescription, ...]
    seed: int
    proof: dict[str, LegacyDeviceProof]
    plaintext: dict[str, str]


def is_legacy(body: bytes) -> bool:
    """Whether a body is an object that names no protocol."""
    try:
        content = json.loads(body)
    except ValueError:
        return False
    return isinstance(content, dict) and "protocol" not in content


def challenged(official: OfficialMiner, challenge: str) -> str:
    """Answer to a device challenge. Raises LegacyMalformedError, and as the library does."""
    if not _CHALLENGE.fullmatch(challenge):
        raise LegacyMalformedError("challenge: wanted 64 hex digits in lower case")
    return official.device_challenge(challenge)


def proved_legacy(official: OfficialMiner, body: bytes) -> LegacyAnswer:
    """Do the work, then open every text; one that does not open fails the whole, as the public service does.

    Raises:
        LegacyMalformedError: the body is malformed or names a GPU that is not here.
        OfficialRefusedError, BackendUnavailableError: as the library does.
    """
    try:
        question = LegacyQuestion.model_validate_json(body)
        sealed = {gpu: base64.b64decode(text, validate=True) for gpu, text in (question.ciphertext or {}).items()}
    except (ValidationError, binascii.Error) as error:
        raise LegacyMalformedError(str(error)) from None
    devices = official.devices()
    indices = {device.uuid: index for index, device in enumerate(devices)}
    for gpu, data in sealed.items():
        if gpu not in indices or len(data) <= IV_BYTES:
            raise LegacyMalformedError(f"ciphertext: no such GPU, or too short, for {gpu[:40]!r}")
    products = official.prove(question.seed, question.iterations)
    if len(products) != len(devices):
        raise LegacyMalformedError(f"the library proved {len(products)} of {len(devices)} devices")
    proof = {
        device.uuid: LegacyDeviceProof(
            device_id=index, device_uuid=device.uuid, device_name=device.name, work_product=products[index]
        )
        for index, device in enumerate(devices)
    }
    plaintext = {gpu: official.decrypt(indices[gpu], question.seed, data) for gpu, data in sealed.items()}
    return LegacyAnswer(devices=devices, seed=question.seed, proof=proof, plaintext=plaintext)
