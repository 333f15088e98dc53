"""The bill of materials: everything named once, and the same for the same image."""

from __future__ import annotations

import json
from typing import Any

from infra.images.distributions import Distribution
from infra.images.sbom import bill, debian_packages

PRINTED = "libc6\t2.36-9+deb12u10\tamd64\nca-certificates\t20230311\tall\n"
NUMPY = Distribution("numpy", "2.4.6", ("sha256:1", "sha256:2"))


def made(inputs: str = "hash") -> dict[str, Any]:
    files = {"/usr/lib/one.py": "ab"}
    document: dict[str, Any] = json.loads(
        bill("agent", inputs, debian_packages(PRINTED), [NUMPY], files, suite="bookworm")
    )
    return document


def test_packages_distributions_and_files_are_named_by_where_they_come_from() -> None:
    document = made()
    assert (document["bomFormat"], document["specVersion"]) == ("CycloneDX", "1.5")
    assert [one["bom-ref"] for one in document["components"]] == [
        "pkg:deb/debian/ca-certificates@20230311?arch=all&distro=debian-bookworm",
        "pkg:deb/debian/libc6@2.36-9%2Bdeb12u10?arch=amd64&distro=debian-bookworm",
        "pkg:pypi/numpy@2.4.6",
        "file:/usr/lib/one.py",
    ]
    assert document["components"][-1]["hashes"] == [{"alg": "SHA-256", "content": "ab"}]


def test_the_same_image_has_the_same_bill_and_another_one_another_number() -> None:
    assert made() == made()
    assert made()["serialNumber"] != made("other")["serialNumber"]
    assert "timestamp" not in made()["metadata"]
