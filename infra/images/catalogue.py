"""The images of the fleet. To add one: a recipe here, and its files beside this one."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from infra.images.recipe import BaseRecipe, CopiedFile, ImageRecipe

POSTGRES_MAJOR: Final = 15
_FILES: Final = "infra/images/files"

BASE: Final = BaseRecipe(
    suite="bookworm",
    packages=("ca-certificates", "python3", "tzdata"),
    excluded_paths=("/usr/share/doc/*", "/usr/share/man/*", "/usr/share/locale/*", "/usr/share/info/*"),
    refreshed="2026-11-24",
)

POSTGRES: Final = ImageRecipe(
    name="postgres",
    packages=(f"postgresql-{POSTGRES_MAJOR}",),
    # LLVM serves just-in-time compilation alone, which short transactions do not gain from: 130 MB less.
    removed_paths=(
        "/usr/lib/x86_64-linux-gnu/libLLVM-*",
        "/usr/lib/aarch64-linux-gnu/libLLVM-*",
        f"/usr/lib/postgresql/{POSTGRES_MAJOR}/lib/bitcode",
        f"/usr/lib/postgresql/{POSTGRES_MAJOR}/lib/llvmjit*",
        "/etc/postgresql",
        "/var/lib/postgresql",
        "/etc/ssl/private/ssl-cert-snakeoil.key",
    ),
    files=(CopiedFile(f"{_FILES}/postgres.py", "/opt/headframe/postgres.py"),),
    directories=("/data", "/run/postgresql"),
    entrypoint=("python3", "/opt/headframe/postgres.py"),
    environment={
        "PGBIN": f"/usr/lib/postgresql/{POSTGRES_MAJOR}/bin",
        "PGDATA": f"/data/{POSTGRES_MAJOR}",
        "LC_ALL": "C.UTF-8",
    },
)

REDIS: Final = ImageRecipe(
    name="redis",
    packages=("redis-server",),
    files=(CopiedFile(f"{_FILES}/redis_server.py", "/opt/headframe/redis_server.py"),),
    directories=("/data",),
    entrypoint=("python3", "/opt/headframe/redis_server.py"),
    environment={"LC_ALL": "C.UTF-8"},
)

#: Every image by name.
IMAGES: Final[Mapping[str, ImageRecipe]] = MappingProxyType({recipe.name: recipe for recipe in (POSTGRES, REDIS)})
