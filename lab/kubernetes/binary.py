"""The lab's Kubernetes binary, built once from the Go module beside this file."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from lab.builds.go import GoModule, build

KUBERNETES_VERSION: Final = "1.34.2"
#: To be shown wherever the lab's Kubernetes is brought up: what a user must not take it for.
STAND_IN_NOTICE: Final = (
    "Kubernetes is Headframe's lab stand-in, not k3s: real kubelet, pods, DNS and network policies; "
    "without traefik, servicelb, local-storage, metrics-server"
)
MODULE_FOLDER: Final = Path(__file__).parent / "k3s"
_MODULE: Final = GoModule(MODULE_FOLDER, ".", "k3s", KUBERNETES_VERSION)


def kubernetes_binary() -> Path:
    """Path of the binary; a cold build takes about 9 minutes on two cores, later calls verify what is there.

    Raises:
        CommandFailedError: the compiler refused.
        RuntimeError: there is no compiler.
    """
    return build(_MODULE)
