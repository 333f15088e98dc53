"""How each image is made. To add one: its name in `names`, a recipe here, and its files beside this one."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from infra.images.names import NGINX_CONFIGURATION, ImageName
from infra.images.programs import PROGRAMS
from infra.images.recipe import BaseRecipe, CopiedFile, ImageRecipe

POSTGRES_MAJOR: Final = 15
_FILES: Final = "infra/images/files"

BASE: Final = BaseRecipe(
    suite="bookworm",
    # usr-is-merged: its alternative, usrmerge, brings 50 MB of Perl.
    packages=("ca-certificates", "python3", "tzdata", "usr-is-merged"),
    python="3.11",
    manylinux="manylinux_2_36",
    excluded_paths=(
        "/usr/share/doc/*",
        "/usr/share/man/*",
        "/usr/share/locale/*",
        "/usr/share/info/*",
        # Character sets for iconv, which nothing here calls.
        "/usr/lib/*/gconv/*",
    ),
    refreshed="2026-11-24",
)

POSTGRES: Final = ImageRecipe(
    name=ImageName.POSTGRES,
    description="PostgreSQL of the fleet",
    # SFTP is how the backup CronJob, which runs this image, leaves the machine.
    packages=(f"postgresql-{POSTGRES_MAJOR}", "openssh-client"),
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
    files=(
        CopiedFile(f"{_FILES}/backup.py", "/opt/headframe/backup.py"),
        CopiedFile(f"{_FILES}/postgres.py", "/opt/headframe/postgres.py"),
    ),
    directories=("/data", "/run/postgresql"),
    entrypoint=("python3", "/opt/headframe/postgres.py"),
    environment={
        "PGBIN": f"/usr/lib/postgresql/{POSTGRES_MAJOR}/bin",
        "PGDATA": f"/data/{POSTGRES_MAJOR}",
        "LC_ALL": "C.UTF-8",
    },
)

REDIS: Final = ImageRecipe(
    name=ImageName.REDIS,
    description="Redis of the fleet",
    packages=("redis-server",),
    files=(CopiedFile(f"{_FILES}/redis_server.py", "/opt/headframe/redis_server.py"),),
    directories=("/data",),
    entrypoint=("python3", "/opt/headframe/redis_server.py"),
    environment={"LC_ALL": "C.UTF-8"},
)

REGISTRY_PROXY: Final = ImageRecipe(
    name=ImageName.REGISTRY_PROXY,
    description="nginx through which a GPU node pulls images of chutes",
    packages=("nginx",),
    removed_paths=("/etc/nginx/sites-*", "/etc/nginx/modules-*", "/var/www", "/usr/share/nginx", "/var/lib/nginx"),
    directories=("/etc/headframe",),
    # Its own default for early errors is a file, which a read-only container cannot open.
    entrypoint=("nginx", "-e", "stderr", "-c", NGINX_CONFIGURATION, "-g", "daemon off;"),
)

PROMETHEUS: Final = ImageRecipe(
    name=ImageName.PROMETHEUS,
    description="Debian's Prometheus, for labs",
    packages=("prometheus",),
    # Rules are checked before they reach a node; consoles need libraries that only a browser would fetch.
    removed_paths=(
        "/usr/bin/promtool",
        "/etc/prometheus",
        "/usr/share/javascript",
        "/usr/share/fonts",
        "/usr/share/prometheus/web",
        "/var/lib/prometheus",
    ),
    directories=("/data",),
    entrypoint=("prometheus",),
)

NODE_EXPORTER: Final = ImageRecipe(
    name=ImageName.NODE_EXPORTER,
    description="Debian's node exporter, for labs",
    packages=("prometheus-node-exporter",),
    removed_paths=("/var/lib/prometheus",),
    entrypoint=("prometheus-node-exporter",),
)

#: Every image by name.
IMAGES: Final[Mapping[str, ImageRecipe]] = MappingProxyType(
    {recipe.name: recipe for recipe in (POSTGRES, REDIS, REGISTRY_PROXY, PROMETHEUS, NODE_EXPORTER, *PROGRAMS)}
)
