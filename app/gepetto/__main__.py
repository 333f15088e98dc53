"""The Gepetto program: `python -m app.gepetto`. Composes, serves its small HTTP surface, waits to lead, and leads."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import Generator
from contextlib import contextmanager

import uvicorn
from pydantic import ValidationError

from app.gepetto.compose import composed
from app.gepetto.execution.leader import Leadership
from app.gepetto.http import Surface, create_app
from app.gepetto.process import Process
from app.gepetto.settings import GepettoSettings, read_configuration
from app.protocol.program_log import configure_log


class HttpServer(uvicorn.Server):
    """uvicorn without signal handlers of its own: one place decides when the process ends."""

    @contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        yield


async def serve(process: Process, port: int) -> None:
    """Run until a signal asks to stop: HTTP always, the rest while this process leads."""
    leadership = Leadership(process.engine)
    app = create_app(Surface(process.gepetto, lambda: leadership.is_leader, process.full_file is not None))
    config = uvicorn.Config(
        app, host="0.0.0.0", port=port, log_level="warning", access_log=False, lifespan="off",
        timeout_graceful_shutdown=2,
    )  # fmt: skip
    server = HttpServer(config)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for name in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(name, stop.set)
    tasks = {asyncio.create_task(server.serve()), asyncio.create_task(leadership.lead(process.lead))}
    waiting = asyncio.create_task(stop.wait())
    done, _ = await asyncio.wait(tasks | {waiting}, return_when=asyncio.FIRST_COMPLETED)
    for task in tasks | {waiting}:
        task.cancel()
    await asyncio.gather(*tasks, waiting, return_exceptions=True)
    await process.gepetto.decider.stop()
    for task in done - {waiting}:
        task.result()


async def main() -> int:
    """Read the settings, compose, serve."""
    configure_log()
    try:
        settings = GepettoSettings()
    except ValidationError as error:
        names = ", ".join(str(item["loc"][0]).upper() for item in error.errors())
        print(f"settings are missing or wrong: {names}; see docs/strategies/README.md", file=sys.stderr)
        return 2
    try:
        read_configuration(settings.gepetto_config)
    except (OSError, ValueError) as error:
        print(f"the configuration is wrong: {error}; correct ConfigMap gepetto-config", file=sys.stderr)
        return 2
    async with composed(settings) as process:
        await serve(process, settings.gepetto_port)
    return 0


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
