"""`headframe register`: a seat on the subnet for the fleet's hotkey, by btcli, after a look at the chain.

A second UID of the same hotkey or coldkey earns nothing and is refused. No axon is ever announced: miners of this
subnet have none. Reads addresses out of wallet files, never a seed; btcli itself asks for the password.
"""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from infra.cli.chain import Seats, look_for_seats


class RegistrationRefusedError(RuntimeError):
    """Nothing was done; the message says why, and what would have to change."""


@dataclass(frozen=True)
class Wallet:
    """A wallet of btcli's, by its names.

    Args:
        folder: where wallets lie, such as `~/.bittensor/wallets`.
    """

    folder: Path
    name: str
    hotkey: str

    def hotkey_ss58(self) -> str:
        """Address of the hotkey.

        Raises:
            RegistrationRefusedError: there is no such file.
        """
        return _address(self.folder / self.name / "hotkeys" / self.hotkey, "btcli wallet new-hotkey")

    def coldkey_ss58(self) -> str:
        """Address of the coldkey, from its public file.

        Raises:
            RegistrationRefusedError: there is no such file.
        """
        return _address(self.folder / self.name / "coldkeypub.txt", "btcli wallet new-coldkey")


def refuse_second(seats: Seats, problem: str) -> None:
    """Let pass only what is known to hold no seat yet. Pure.

    Raises:
        RegistrationRefusedError: a seat is held, or the chain did not say.
    """
    if problem:
        raise RegistrationRefusedError(f"the chain could not be read: {problem}. Nothing was done; try again later")
    if seats.of_hotkey:
        raise RegistrationRefusedError(f"the hotkey is registered already, as UID {_list(seats.of_hotkey)}")
    if seats.of_coldkey:
        raise RegistrationRefusedError(
            f"another hotkey of this coldkey holds UID {_list(seats.of_coldkey)}: a second one earns nothing"
        )


def command(wallet: Wallet, netuid: int, network: str) -> list[str]:
    """btcli's own registration; it asks for confirmation and password itself."""
    return [
        *("btcli", "subnets", "register", "--netuid", str(netuid), "--network", network),
        *("--wallet-path", str(wallet.folder), "--wallet-name", wallet.name, "--hotkey", wallet.hotkey),
    ]


def register(wallet: Wallet, declared_ss58: str, netuid: int, network: str) -> int:
    """Look, then hand over to btcli on this terminal; its exit status.

    Raises:
        RegistrationRefusedError: the wallet's hotkey is not the stack's, a seat is held, or btcli is not there.
    """
    hotkey, coldkey = wallet.hotkey_ss58(), wallet.coldkey_ss58()
    if hotkey != declared_ss58:
        raise RegistrationRefusedError(
            f"hotkey {wallet.hotkey} is {hotkey}, the stack mines with {declared_ss58}: name the hotkey that it uses"
        )
    if shutil.which("btcli") is None:
        raise RegistrationRefusedError("btcli is not on PATH: pip install bittensor-cli")
    refuse_second(*asyncio.run(look_for_seats(hotkey, coldkey, netuid, network)))
    return subprocess.run(command(wallet, netuid, network), check=False).returncode


def _address(path: Path, fix: str) -> str:
    try:
        content = json.loads(path.read_text())
        return str(content["ss58Address"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RegistrationRefusedError(f"{path} gives no address ({type(error).__name__}); make it: {fix}") from None


def _list(uids: Sequence[int]) -> str:
    return ", ".join(str(uid) for uid in uids)
