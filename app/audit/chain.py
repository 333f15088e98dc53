"""Commits a digest to the chain (spec: protocol 16). The only file here that knows the SDK, which it imports late."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol


class ChainCommitError(RuntimeError):
    """The chain did not take the commitment."""


class Committer(Protocol):
    """Puts a digest on the chain."""

    async def commit(self, digest: str) -> int:
        """Commit and wait for inclusion; the number of the including block.

        Raises:
            ChainCommitError: it was not included.
        """
        ...


@dataclass(frozen=True)
class _HotkeyWallet:
    """What the SDK asks of a wallet; only the hotkey signs a commitment."""

    hotkey: Any

    @property
    def coldkey(self) -> Any:
        return self.hotkey

    @property
    def coldkeypub(self) -> Any:
        return self.hotkey


def commitment_info(digest: str) -> dict[str, list[list[dict[str, str]]]]:
    """The `info` argument of `Commitments.set_commitment`."""
    return {"fields": [[{"Sha256": f"0x{digest}"}]]}


@dataclass(frozen=True)
class BittensorCommitter:
    """Commits through bittensor 11.

    Args:
        network: name or websocket URL of the subtensor.
        keypair: the hotkey's.
    """

    network: str
    netuid: int
    keypair: Any

    async def commit(self, digest: str) -> int:
        import bittensor  # noqa: PLC0415 - seconds of start-up that only this call needs

        call = bittensor.calls.Commitments.set_commitment(self.netuid, commitment_info(digest))
        try:
            async with bittensor.Subtensor(self.network) as client:
                result = await client.submit_call(
                    call,
                    _HotkeyWallet(self.keypair),
                    signer="hotkey",
                    wait_for_inclusion=True,
                    wait_for_finalization=False,
                )
        except bittensor.BittensorError as error:
            raise ChainCommitError(f"set_commitment failed: {type(error).__name__}") from error
        if not result.success:
            raise ChainCommitError(f"set_commitment was refused: {result.message}")
        return block_of(result.extrinsic_id)


def block_of(extrinsic_id: str | None) -> int:
    """The block number in an extrinsic's id `block-index`.

    Raises:
        ChainCommitError: there is none.
    """
    number = (extrinsic_id or "").partition("-")[0]
    if not number.isdigit():
        raise ChainCommitError(f"the chain named no block for the commitment: {extrinsic_id!r}")
    return int(number)
