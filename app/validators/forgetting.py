"""A server leaves a validator, whichever routes that validator has (spec: protocol 8.5, 8.13, 20.13)."""

from __future__ import annotations

from collections.abc import Sequence

from app.validators.client import ValidatorClient


async def forget_server(validator: ValidatorClient, server_id: str, gpu_ids: Sequence[str]) -> None:
    """Have a validator forget a server with its GPUs; unknown ones are fine.

    A validator that has no routes of servers, or got the GPUs of a bare node one by one, forgets them one by one.

    Raises:
        ValidatorError: it did not answer, or refused; GPUs that were asked about before are forgotten.
    """
    if await validator.delete_server(server_id):
        return
    for gpu_id in gpu_ids:
        await validator.delete_node(gpu_id)
