"""The bootstrap service as a program: `python -m graval.service`. Settings come from the environment or as options."""

import json
import secrets
import sys
import time
from pathlib import Path
from typing import Annotated, Any, Final

import cyclopts
import uvicorn
from pydantic import ValidationError

from graval.backends.base import Backend, BackendUnavailableError
from graval.backends.choice import BackendName, open_backend
from graval.backends.cuda import CudaBackend
from graval.backends.simulated import is_simulated
from graval.official.miner import KNOWN_LIBRARIES, OfficialMiner, OfficialRefusedError, locate
from graval.service.application import ServiceSettings, create_application
from graval.service.settings import BootstrapSettings
from graval.session import WorkLimits

CONFIGURATION_ERROR: Final = 78
UNAVAILABLE: Final = 69

cli = cyclopts.App(name="python -m graval.service", help="The GPU proof's bootstrap service of one node.")


@cli.default
def serve(
    *,
    port: Annotated[int | None, cyclopts.Parameter(help="GRAVAL_PORT, 8000")] = None,
    validator_whitelist: Annotated[str | None, cyclopts.Parameter(help="VALIDATOR_WHITELIST, comma-separated")] = None,
    hotkey: Annotated[str | None, cyclopts.Parameter(help="MINER_HOTKEY_SS58")] = None,
) -> int:
    """Serve until SIGTERM. Options go before the environment. Without a miner or a whitelist it does not start."""
    given: dict[str, Any] = {"port": port, "whitelist": validator_whitelist, "miner": hotkey}
    try:
        settings = BootstrapSettings(**{name: value for name, value in given.items() if value is not None})
    except ValidationError as error:
        places = [f"{'.'.join(map(str, problem['loc']))}: {problem['msg']}" for problem in error.errors()]
        _say("settings are malformed; see --help for their names", problems=places)
        return CONFIGURATION_ERROR
    try:
        official = _official(settings)
        backend = _backend(settings, official)
        devices = backend.devices()
    except (BackendUnavailableError, OfficialRefusedError) as error:
        _say(str(error))
        return UNAVAILABLE
    simulated = all(map(is_simulated, devices))
    _say(
        "SIMULATED devices: their work runs on the CPU and proves no GPU" if simulated else "serving",
        backend=backend.name,
        official_library=official is not None,
        devices=[device.name for device in devices],
        validators=len(settings.whitelist),
        port=settings.port,
    )
    _run(settings, backend, simulated=simulated, official=official)
    return 0


def _backend(settings: BootstrapSettings, official: OfficialMiner | None) -> Backend:
    """As configured. Raises BackendUnavailableError."""
    model, device_ids = settings.simulated_model, settings.device_ids
    return open_backend(settings.backend, model, device_ids, lambda: _cuda(settings.library), official)


def _cuda(library: Path) -> CudaBackend:
    """GPUs that are in a state for a proof. Raises BackendUnavailableError."""
    backend = CudaBackend(library)
    if not all(map(is_simulated, backend.devices())):
        drivers = sorted({state.driver for state in backend.inspect()})
        _say("no GPU is cut into slices or used by others", drivers=drivers)
    return backend


def _official(settings: BootstrapSettings) -> OfficialMiner | None:
    """The official library where the user configured it, or chose it as the back end."""
    if settings.official_library is None and settings.backend is not BackendName.GRAVAL:
        return None
    trusted = KNOWN_LIBRARIES | ({settings.official_sha256} if settings.official_sha256 else set())
    return OfficialMiner(locate(settings.official_library, sys.path), trusted)


def _run(settings: BootstrapSettings, backend: Backend, *, simulated: bool, official: OfficialMiner | None) -> None:
    application = create_application(
        ServiceSettings(
            miner=settings.miner,
            whitelist=settings.whitelist,
            backend=backend,
            challenge_folder=settings.challenge_folder,
            now=time.time,
            fresh_id=lambda: secrets.token_hex(16),
            limits=_simulated_limits(settings.simulated_fill_bytes) if simulated else WorkLimits(),
            official=official,
        )
    )
    try:
        uvicorn.run(
            application,
            host="0.0.0.0",
            port=settings.port,
            access_log=False,
            proxy_headers=False,
            server_header=False,
            log_level="warning",
            timeout_graceful_shutdown=10,
        )
    finally:
        backend.close()  # a thread that waits for a GPU's process would keep this one alive
        if official is not None:
            official.close()


def _simulated_limits(fill_bytes: int) -> WorkLimits:
    """What a CPU does in seconds, whoever asks."""
    return WorkLimits(fill_bytes=fill_bytes, rounds=64, dense_inner=2048, chase_steps=1 << 14, logged_steps=1 << 16)


def _say(message: str, **more: object) -> None:
    print(json.dumps({"service": "graval", "message": message} | more), flush=True)


if __name__ == "__main__":
    sys.exit(cli())
