"""The images that hold programs of ours: which packages go in whole and on which extras they stand.

Extras are layers, in order. Images that begin alike share them, on disk, on the wire and in a node's containerd.
"""

from __future__ import annotations

from typing import Final

from infra.images.names import ImageName
from infra.images.recipe import CopiedFile, ImageRecipe, PythonProgram

_SERVICE: Final = "service"
_API: Final = "api"
_GRAVAL: Final = "graval"


def _program(
    name: ImageName, description: str, module: str, *, packages: tuple[str, ...], extras: tuple[str, ...]
) -> ImageRecipe:
    """An image that starts `python3 -m module`; its other programs are started by name."""
    return ImageRecipe(
        name=name,
        description=description,
        program=PythonProgram(packages=packages, extras=extras),
        entrypoint=("python3", "-m", module),
        environment={
            "LC_ALL": "C.UTF-8",
            # Libraries that keep a cache look for it there; a pod mounts a scratch folder at /tmp.
            "HOME": "/tmp",  # noqa: S108 in the container
            # The root file system is read-only, and no folder that a program runs in may shadow its packages.
            "PYTHONDONTWRITEBYTECODE": "1",
            "PYTHONSAFEPATH": "1",
            "PYTHONUNBUFFERED": "1",
        },
    )


MINER_API: Final = _program(
    ImageName.MINER_API,
    "The miner API, the migrations of its database and the miner's commands",
    "app.api",
    packages=("app.api", "app.cli", "app.storage"),
    # It verifies what nodes prove about their GPUs.
    extras=(_SERVICE, _API, _GRAVAL),
)

GEPETTO: Final = _program(
    ImageName.GEPETTO,
    "Gepetto, which decides what runs where",
    "app.gepetto",
    # Operators' gepetto.py files import the names of app.compat, and what "compat" installs.
    packages=("app.gepetto", "app.compat", "app.storage"),
    extras=(_SERVICE, _API, _GRAVAL, "compat"),
)

MONITOR: Final = _program(
    ImageName.MONITOR,
    "The monitor, which knows the clusters",
    "app.observe",
    packages=("app.observe",),
    extras=(_SERVICE, _API),
)

AUDIT: Final = _program(
    ImageName.AUDIT,
    "The hourly audit report",
    "app.audit",
    packages=("app.audit", "app.storage"),
    extras=(_SERVICE, _API, _GRAVAL, "audit"),
)

TRACKER: Final = _program(
    ImageName.TRACKER,
    "The tracker of the subnet's competition",
    "tracker",
    packages=("tracker",),
    extras=("tracker",),
)

AGENT: Final = _program(
    ImageName.AGENT,
    "The agent of a GPU node and the clean-up of failed chutes",
    "agent.watch",
    packages=("agent.watch", "agent.cleanup"),
    extras=(_SERVICE, "agent"),
)

CACHE_CLEANER: Final = _program(
    ImageName.CACHE_CLEANER,
    "The model cache cleaner that runs before a chute",
    "agent.cache",
    packages=("agent.cache",),
    extras=(_SERVICE,),
)

GRAVAL_BOOTSTRAP: Final = _program(
    ImageName.GRAVAL_BOOTSTRAP,
    "The service that proves a node's GPUs",
    "graval.service",
    packages=("graval",),
    extras=(_SERVICE, _GRAVAL),
)

_CHUTE: Final = _program(
    ImageName.LAB_CHUTE,
    "SIMULATED chute: runs no model, touches no GPU",
    "lab.chute",
    packages=("lab.chute",),
    extras=(_SERVICE, _GRAVAL, "chute"),
)

#: A pod runs it as any chute: by the command `chutes`, probed with curl.
LAB_CHUTE: Final = ImageRecipe(
    name=_CHUTE.name,
    description=_CHUTE.description,
    program=_CHUTE.program,
    packages=("curl",),
    files=(CopiedFile("infra/images/files/chutes.sh", "/usr/local/bin/chutes", "0755"),),
    entrypoint=("chutes",),
    environment={**_CHUTE.environment, "HEADFRAME_SIMULATED": "true"},
)

#: All of them.
PROGRAMS: Final = (
    MINER_API,
    GEPETTO,
    MONITOR,
    AUDIT,
    TRACKER,
    AGENT,
    CACHE_CLEANER,
    GRAVAL_BOOTSTRAP,
    LAB_CHUTE,
)
