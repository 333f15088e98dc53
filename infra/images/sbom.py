"""The bill of materials of an image as CycloneDX 1.5 JSON: Debian packages, Python distributions, our own files.

Pure. It holds no time and no random number, so that the same image has the same bill.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote

from infra.images.distributions import PROJECT, Distribution

#: Where it lies in every image.
SBOM_PATH: Final = "/usr/share/headframe/sbom.cdx.json"
#: dpkg-query prints with it what `debian_packages` reads.
DPKG_FORMAT: Final = r"${Package}\t${Version}\t${Architecture}\n"
_NAMESPACE: Final = uuid.uuid5(uuid.NAMESPACE_URL, f"urn:{PROJECT}:images")


@dataclass(frozen=True)
class DebianPackage:
    """One installed package of Debian."""

    name: str
    version: str
    architecture: str


def debian_packages(printed: str) -> tuple[DebianPackage, ...]:
    """Packages out of dpkg-query's lines."""
    return tuple(DebianPackage(*line.split("\t")) for line in sorted(printed.splitlines()) if line)


def bill(
    name: str,
    inputs: str,
    packages: Sequence[DebianPackage],
    distributions: Sequence[Distribution],
    files: Mapping[str, str],
    *,
    suite: str,
) -> str:
    """The bill of image `name` whose input hash is `inputs`. `files`: our paths in the image and their SHA-256."""
    components = [
        *(_debian(package, suite) for package in packages),
        *(_python(one) for one in sorted(distributions, key=lambda one: one.name)),
        *(_file(path, content) for path, content in sorted(files.items())),
    ]
    document = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "serialNumber": f"urn:uuid:{uuid.uuid5(_NAMESPACE, f'{name}:{inputs}')}",
        "version": 1,
        "metadata": {"component": {"type": "container", "bom-ref": name, "name": name, "version": inputs}},
        "components": components,
    }
    return json.dumps(document, indent=1, sort_keys=True) + "\n"


def distributions_of(layers: Iterable[tuple[str, Sequence[Distribution]]]) -> tuple[Distribution, ...]:
    """Distributions of all layers."""
    return tuple(one for _, added in layers for one in added)


def _debian(package: DebianPackage, suite: str) -> dict[str, Any]:
    where = f"arch={quote(package.architecture)}&distro=debian-{suite}"
    purl = f"pkg:deb/debian/{quote(package.name, safe='')}@{quote(package.version, safe='')}?{where}"
    return {"type": "library", "bom-ref": purl, "name": package.name, "version": package.version, "purl": purl}


def _python(one: Distribution) -> dict[str, Any]:
    purl = f"pkg:pypi/{one.name}@{quote(one.version, safe='')}"
    return {"type": "library", "bom-ref": purl, "name": one.name, "version": one.version, "purl": purl}


def _file(path: str, content: str) -> dict[str, Any]:
    hashes = [{"alg": "SHA-256", "content": content}]
    return {"type": "file", "bom-ref": f"file:{path}", "name": path, "hashes": hashes}
