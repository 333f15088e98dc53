"""`python -m lab.engine.language ENGINE_ADDRESS`: what the engine starts as `pulumi-language-python`."""

from __future__ import annotations

from lab.engine.language.host import PythonHost
from lab.engine.serving import run, serve


async def main(engine: str) -> None:
    host = PythonHost(engine)
    await serve(host.register, engine, host.close)


if __name__ == "__main__":
    run(main)
