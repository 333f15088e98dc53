"""The whole Pulumi program of some settings, recorded without an engine."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from infra.program import Places, declare_fleet
from infra.settings import load, read_secrets
from infra.settings.source import MappingSource
from tests.support.program import Recording, declare
from tests.support.settings import CHART, CHART_DIGEST, CLONE, SECRETS


def run_program(values: dict[str, Any], folder: Path, *, preview: bool = False) -> Recording:
    """Declare the fleet of these settings; `folder` takes the cache."""
    cache = folder / "cache"
    (cache / "images").mkdir(parents=True, exist_ok=True)
    (cache / "images" / "identity").write_text("identity")
    (cache / "charts").mkdir(exist_ok=True)
    (cache / "charts" / f"{CHART_DIGEST}.tgz").write_bytes(CHART)
    more = {
        "registry_password": "marker-registry",
        "backup_private_key": "marker-backup",
        "grafana_password": "marker-grafana",
    }
    source = MappingSource(values, {**SECRETS, **more})
    settings, where = load(source).settings, Places(clone=CLONE, cache=cache)
    return declare(lambda: declare_fleet(settings, read_secrets(source), where), preview=preview)
