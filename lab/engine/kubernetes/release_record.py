"""What Helm keeps of a release: Secrets of the release's namespace, each holding one revision. Pure.

Source: Helm 3's documentation of its storage backends (Secrets of type helm.sh/release.v1).
"""

from __future__ import annotations

import base64
import binascii
import gzip
from dataclasses import dataclass

import orjson
import yaml

from lab.engine.kubernetes.kinds import group_of
from lab.engine.kubernetes.manifests import Manifest, api_version, items, kind_of, name_of, namespace_of, number, text


@dataclass(frozen=True)
class ReleaseRecord:
    """The newest revision of a release."""

    record: Manifest

    @classmethod
    def newest(cls, secrets: Manifest) -> ReleaseRecord | None:
        """The newest of the listed Secrets; None if there is none that can be read."""
        records = [_decoded(text(entry, "data", "release")) for entry in items(secrets, "items")]
        return max((cls(record) for record in records if record), key=lambda one: one.revision, default=None)

    @property
    def revision(self) -> int:
        return number(self.record, "version")

    @property
    def status(self) -> str:
        return text(self.record, "info", "status")

    @property
    def has_failed(self) -> bool:
        return self.status not in ("deployed", "superseded")

    @property
    def chart(self) -> str:
        return text(self.record, "chart", "metadata", "name")

    @property
    def chart_version(self) -> str:
        return text(self.record, "chart", "metadata", "version")

    @property
    def values(self) -> Manifest:
        found = self.record.get("config")
        return found if isinstance(found, dict) else {}

    def status_properties(self) -> Manifest:
        """The output `status` of the resource."""
        return {
            "appVersion": text(self.record, "chart", "metadata", "appVersion"),
            "chart": self.chart,
            "name": text(self.record, "name"),
            "namespace": text(self.record, "namespace"),
            "revision": self.revision,
            "status": self.status,
            "version": self.chart_version,
        }

    def resource_names(self) -> Manifest:
        """The output `resourceNames`: names of the release's objects by `Kind.group/apiVersion`."""
        found: dict[str, set[str]] = {}
        for document in yaml.safe_load_all(text(self.record, "manifest")):
            if not isinstance(document, dict) or not kind_of(document):
                continue
            version = api_version(document)
            kind = ".".join(filter(None, (kind_of(document), group_of(version))))
            name = "/".join(filter(None, (namespace_of(document), name_of(document))))
            found.setdefault(f"{kind}/{version}", set()).add(name)
        return {key: sorted(names) for key, names in found.items()}


def _decoded(coded: str) -> Manifest:
    """A record: JSON, gzipped and in base64, in the base64 of every Secret."""
    try:
        packed = base64.b64decode(base64.b64decode(coded))
        loaded = orjson.loads(gzip.decompress(packed))
    except (binascii.Error, gzip.BadGzipFile, orjson.JSONDecodeError, EOFError):
        return {}
    return loaded if isinstance(loaded, dict) else {}
