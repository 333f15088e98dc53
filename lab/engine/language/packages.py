"""Lists the installed distributions as JSON. Runs as a script in the program's own Python: imports nothing of ours."""

from __future__ import annotations

import json
import re
from importlib import metadata


def normal(name: str) -> str:
    """A distribution's name as the package index compares it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def main() -> None:
    found = {normal(d.name): (d.name, d.version) for d in metadata.distributions()}
    required: set[str] = set()
    for distribution in metadata.distributions():
        for line in distribution.requires or ():
            other = normal(re.split(r"[^A-Za-z0-9._-]", line, maxsplit=1)[0])
            if other != normal(distribution.name):  # extras may name their own distribution
                required.add(other)
    print(
        json.dumps(
            [
                {"name": name, "version": version, "direct": key not in required}
                for key, (name, version) in sorted(found.items())
            ]
        )
    )


if __name__ == "__main__":
    main()
