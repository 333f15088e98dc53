"""The programs of the engine: which version, how to build it, where its official release is. Facts only."""

from __future__ import annotations

import platform
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from lab.builds.go import GoModule

_MODULES: Final = Path(__file__).parent / "modules"
_PULUMI: Final = "3.250.0"
_HELM: Final = "3.19.5"
_X86: Final = "x86_64"


@dataclass(frozen=True)
class Release:
    """One program.

    Args:
        name: of the program.
        version: that is built or downloaded.
        oldest: version from which on a program found on PATH will do, as numbers.
        newest: first version that will not do any more.
        archive: address of the official tar archive for this machine.
        checksums: address of a text with the archive's SHA-256; lines of "hash  file name", or the hash alone.
        member: path of the program within the archive.
        module: how it is built where the archive cannot be had.
    """

    name: str
    version: str
    oldest: tuple[int, ...]
    newest: tuple[int, ...]
    archive: str
    checksums: str
    member: str
    module: GoModule


def pulumi(machine: str = platform.machine()) -> Release:
    """The Pulumi command line: the last version whose Go module can be built."""
    releases = f"https://github.com/pulumi/pulumi/releases/download/v{_PULUMI}"
    version = ("github.com/pulumi/pulumi/sdk/v3/go/common/version.Version", f"v{_PULUMI}")
    return Release(
        name="pulumi",
        version=_PULUMI,
        oldest=(3, 220),
        newest=(4,),
        archive=f"{releases}/pulumi-v{_PULUMI}-linux-{'x64' if machine == _X86 else 'arm64'}.tar.gz",
        checksums=f"{releases}/pulumi-{_PULUMI}-checksums.txt",
        member="pulumi/pulumi",
        module=GoModule(
            _MODULES / "pulumi", "github.com/pulumi/pulumi/pkg/v3/cmd/pulumi", "pulumi", _PULUMI, (version,)
        ),
    )


def helm(machine: str = platform.machine()) -> Release:
    """Helm 3, which the stand-in of the Kubernetes provider runs for its Release resource."""
    archive = f"https://get.helm.sh/helm-v{_HELM}-linux-{'amd64' if machine == _X86 else 'arm64'}.tar.gz"
    version = ("helm.sh/helm/v3/internal/version.version", f"v{_HELM}")
    return Release(
        name="helm",
        version=_HELM,
        oldest=(3, 14),
        newest=(4,),
        archive=archive,
        checksums=f"{archive}.sha256sum",
        member=f"linux-{'amd64' if machine == _X86 else 'arm64'}/helm",
        module=GoModule(_MODULES / "helm", "helm.sh/helm/v3/cmd/helm", "helm", _HELM, (version,)),
    )
