"""The Gepetto program: `python -m app.gepetto`. Composes, serves its small HTTP surface, waits to lead, and leads."""

from __future__ import annotations

import asyncio
import signal
import sys

import uvicorn
from pydantic import ValidationError

from app.gepetto.compose import Process, composed
from app.gepetto.execution.leader import Leadership
from app.gepetto.http import create_app
from app.gepetto.settings import GepettoSettings
from app.storage.migrate import migrate


async def serve(process: Process, port: int) -> None:
    """Run until a signal asks to stop: HTTP always, the rest while this process leads."""
    leadership = Leadership(process.engine)
    app = create_app(process.gepetto, lambda: leadership.is_leader)
    server = uvicorn.Server(uvicorn.Config(app, host="0.0.0.0", port=port, log_level="warning", lifespan="off"))
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for name in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(name, stop.set)
    server.install_signal_handlers = lambda: None  # type: ignore[attr-defined, method-assign, unused-ignore]
    tasks = {asyncio.create_task(server.serve()), asyncio.create_task(leadership.lead(process.lead))}
    waiting = asyncio.create_task(stop.wait())
    done, _ = await asyncio.wait(tasks | {waiting}, return_when=asyncio.FIRST_COMPLETED)
    server.should_exit = True
    for task in tasks | {waiting}:
        task.cancel()
    await asyncio.gather(*tasks, waiting, return_exceptions=True)
    for task in done - {waiting}:
        task.result()


async def main() -> int:
    """Read the settings, bring the schema up to date, serve."""
    try:
        settings = GepettoSettings()
    except ValidationError as error:
        names = ", ".join(str(item["loc"][0]).upper() for item in error.errors())
        print(f"settings are missing or wrong: {names}; see docs/strategies/README.md", file=sys.stderr)
        return 2
    async with composed(settings) as process:
        await migrate(process.engine)
        await serve(process, settings.gepetto_port)
    return 0


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
