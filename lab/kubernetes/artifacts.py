"""What a lab host installs Kubernetes from: the binary and the images that the cluster itself needs, in one folder.

The folder is bound read-only into each host at LAB_SOURCE, where the k3s deploy finds `k3s` and `images/*.tar`.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Final

from infra.images.tools import cache_folder
from lab.builds.cache import locked
from lab.builds.go import GoModule, build
from lab.kubernetes.binary import kubernetes_binary
from lab.kubernetes.image_archive import Image, write_image

#: Where a lab host sees the folder.
LAB_SOURCE: Final = "/opt/headframe-lab/k3s"
#: Images by the names that the stand-in's Go code and the GPU chart use.
PAUSE_IMAGE: Final = "headframe.lab/pause:1"
COREDNS_IMAGE: Final = "headframe.lab/coredns:1.12.1"
GPU_PLUGIN_IMAGE: Final = "headframe.lab/simulated-gpus:1"
_HERE: Final = Path(__file__).parent
_GPU_PLUGIN: Final = _HERE.parent / "gpus" / "plugin"
_MODULES: Final = {
    "pause": (GoModule(_HERE / "pause", ".", "pause", "1"), PAUSE_IMAGE),
    "coredns": (GoModule(_HERE / "coredns", ".", "coredns", "1.12.1"), COREDNS_IMAGE),
    "simulated-gpus": (GoModule(_GPU_PLUGIN, ".", "simulated-gpus", "1"), GPU_PLUGIN_IMAGE),
}


def kubernetes_source() -> Path:
    """Path of the finished folder: built where anything of it changed, else found in the cache.

    Raises:
        CommandFailedError: a Go module does not build.
        RuntimeError: there is no Go compiler.
    """
    kubernetes = kubernetes_binary()
    programs = {name: build(module) for name, (module, _) in _MODULES.items()}
    # A build lies in a folder named by its key, so the paths identify the contents.
    parts = "\0".join([str(kubernetes.parent.name), *(program.parent.name for program in programs.values())])
    writer = (_HERE / "image_archive.py").read_bytes()
    key = hashlib.sha256(parts.encode() + writer).hexdigest()[:16]
    folder = cache_folder() / "lab-kubernetes" / key
    with locked(folder.with_name(f"{key}.lock")):
        if not (folder / "complete").exists():
            (folder / "images").mkdir(parents=True, exist_ok=True)
            for name, (_, image) in _MODULES.items():
                content = Image(image, {f"/{name}": programs[name]}, entrypoint=[f"/{name}"])
                write_image(content, folder / "images" / f"{name}.tar")
            (folder / "k3s").unlink(missing_ok=True)
            os.link(kubernetes, folder / "k3s")
            (folder / "complete").touch()
    return folder


def host_binds() -> dict[str, Path]:
    """The read-only folder that a fleet's hosts need to install Kubernetes: give it to LabFleet as `binds`."""
    return {LAB_SOURCE: kubernetes_source()}
