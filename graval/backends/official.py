"""The official library alone: its devices are listed, its protocol is spoken, and ours is refused with the reason."""

from dataclasses import dataclass

from graval.backends.base import BackendUnavailableError, Prover
from graval.official.miner import OfficialMiner
from graval.session import DeviceDescription, Session, WorkLimits


@dataclass(frozen=True)
class OfficialBackend:
    """For nodes whose validators speak the public protocol only."""

    official: OfficialMiner
    name: str = "graval"

    def devices(self) -> tuple[DeviceDescription, ...]:
        """See `Backend`."""
        return self.official.devices()

    def prover(self, session: Session, limits: WorkLimits) -> Prover:
        """Raises BackendUnavailableError: the library cannot do the work of ogv1."""
        del session, limits
        raise BackendUnavailableError("this node runs the official library alone: ogv1 needs GRAVAL_BACKEND=cuda")

    def close(self) -> None:
        """See `Backend`."""
        self.official.close()
