"""The audit exporter as a program: `python -m app.audit`, at minute 1 of every hour."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
import time
from datetime import UTC, datetime

import structlog
from pydantic import SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict
from sqlalchemy.ext.asyncio import AsyncSession

from app.audit.chain import BittensorCommitter, ChainCommitError
from app.audit.exporter import AuditExporter, audit_rows
from app.audit.prometheus import PrometheusError, read_start, read_usages
from app.audit.report import Bucket, build_report, uptime_message
from app.protocol.program_log import configure_log
from app.protocol.signing import Signer
from app.protocol.validators import Validators
from app.storage.engine import create_engine
from app.validators.client import ValidatorClient
from app.validators.transport import Transport, new_http_client

_DEADLINE_SECONDS = 290.0
_log = structlog.get_logger(__name__)


class AuditSettings(BaseSettings):
    """The public exporter's environment variables."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True)

    miner_ss58: str
    miner_seed: SecretStr
    validators: Validators
    postgresql: SecretStr
    netuid: int = 64
    subtensor_address: str = "wss://entrypoint-finney.opentensor.ai:443"
    monitoring_namespace: str = "monitoring"
    prometheus_port: int = 80
    prometheus_url: str = ""

    @property
    def prometheus(self) -> str:
        """Where Prometheus is; by default in the monitoring namespace."""
        host = f"http://prometheus-server.{self.monitoring_namespace}.svc.cluster.local:{self.prometheus_port}"
        return self.prometheus_url or host


async def export(settings: AuditSettings, bucket: Bucket) -> bool:
    """Export one hour, then what validators missed of those before; whether all of them have this one.

    Raises:
        TimeoutError: this hour's part did not end in time.
        ChainCommitError, PrometheusError: as `AuditExporter.run`.
    """
    ends = asyncio.get_running_loop().time() + _DEADLINE_SECONDS
    signer = Signer.from_seed(settings.miner_seed.get_secret_value())
    engine = create_engine(settings.postgresql.get_secret_value(), pool_size=2)
    try:
        async with new_http_client() as http:

            async def build(hour: Bucket) -> bytes:
                used = await read_usages(http, settings.prometheus, hour)
                started = await read_start(settings.monitoring_namespace, os.environ)
                async with AsyncSession(engine) as session:
                    rows = await audit_rows(session, hour)
                return build_report(settings.miner_ss58, hour, uptime_message(started, hour), used, rows)

            committer = BittensorCommitter(settings.subtensor_address, settings.netuid, signer.keypair)
            uploaders = [
                ValidatorClient(Transport(entry, signer, http, clock=time.time))
                for entry in settings.validators.supported
            ]
            exporter = AuditExporter(engine, committer, uploaders, build)
            async with asyncio.timeout_at(ends):
                done = await exporter.run(bucket)
            await _make_up(exporter, bucket, ends)
            return done
    finally:
        await engine.dispose()


async def _make_up(exporter: AuditExporter, newest: Bucket, ends: float) -> None:
    """Hours whose own runs ended without every validator, until the loop's clock says `ends`; the next run goes on.

    None of them makes this hour's run a failed one.
    """
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout_at(ends):
            for hour in await exporter.left_over(newest):
                done = await exporter.run(hour)
                _log.info("an earlier hour was taken up again", hour=hour.start.isoformat(), complete=done)


async def _main() -> int:
    configure_log()
    settings = AuditSettings()  # the environment fills it
    bucket = Bucket.last_full(datetime.now(UTC))
    try:
        done = await export(settings, bucket)
    except (ChainCommitError, PrometheusError, TimeoutError) as error:
        _log.exception("audit failed; the next run of this hour goes on", error=str(error))
        return 1
    return 0 if done else 1


if __name__ == "__main__":
    sys.exit(asyncio.run(_main()))
