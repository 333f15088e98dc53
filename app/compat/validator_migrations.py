"""`run_validator_migrations` under its public name."""

from __future__ import annotations


async def run_validator_migrations() -> None:
    """One-time calls to validators are made by the miner API's process; a scheduler file has none to make."""
