"""Records validators' public lists into a trace file, sample by sample (spec: gepetto 25.2, 25.7).

It writes nothing else.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from pathlib import Path

import structlog
from pydantic import SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

from app.gepetto.ingest.validators import ValidatorAdapter
from app.gepetto.ports import UnavailableError
from app.gepetto.simulator.trace import Recorder, append
from app.protocol.signing import Signer
from app.protocol.validators import Validators
from app.validators.client import ValidatorClient
from app.validators.transport import Transport, new_http_client

log = structlog.get_logger(__name__)


class RecordSettings(BaseSettings):
    """Which validators, and who asks: the same names as Gepetto's own settings."""

    model_config = SettingsConfigDict(extra="ignore", frozen=True, hide_input_in_errors=True)

    validators: str
    miner_seed: SecretStr


async def record_to(path: Path, settings: RecordSettings, *, samples: int = 0, pause_seconds: float = 60.0) -> int:
    """Append samples to a file until interrupted, or so many; returns the number of lines.

    A validator that does not answer leaves a gap in the trace and is asked again at the next sample.
    """
    signer = Signer.from_seed(settings.miner_seed.get_secret_value())
    salt, count, taken = secrets.token_hex(16), 0, 0
    async with new_http_client() as http:
        recorders = [
            Recorder(ValidatorAdapter(ValidatorClient(Transport(entry, signer, http))), time.time, salt)
            for entry in Validators.model_validate_json(settings.validators).supported
        ]
        count += await asyncio.to_thread(append, path, [recorder.header() for recorder in recorders])
        while not samples or taken < samples:
            if taken:
                await asyncio.sleep(pause_seconds)
            taken += 1
            for recorder in recorders:
                try:
                    lines = await recorder.sample()
                except UnavailableError as error:
                    log.warning("no sample of a validator", reason=str(error))
                    continue
                count += await asyncio.to_thread(append, path, lines)
    return count
