"""The registry proxy of a bare node as nginx settings, from plain data (spec: protocol 15.1, 15.3).

Pure. The node's token never stands in the settings, which may be read by anybody: it has a file of its own.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import urlsplit

from app.protocol.ports import ClusterPort
from app.protocol.registry_proxy import AUTH_PATH, METHOD_HEADER, SIGNED_HEADERS, TOKEN_HEADER, URI_HEADER
from app.protocol.validators import DEFAULT_REGISTRY, ValidatorEntry

#: Public resolvers of the public proxy; a fleet may name its own.
RESOLVERS: Final = ("1.1.1.1", "1.0.0.1", "8.8.8.8", "8.8.4.4")
AUTHORITIES: Final = "/etc/ssl/certs/ca-certificates.crt"
_HOST: Final = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?", re.ASCII)
_HOTKEY: Final = re.compile(r"[A-Za-z0-9]{1,128}", re.ASCII)
_PATH: Final = re.compile(r"/[A-Za-z0-9/._-]*", re.ASCII)
_TOKEN: Final = re.compile(r"[A-Za-z0-9_-]{20,256}", re.ASCII)


@dataclass(frozen=True)
class Upstream:
    """A registry: TLS unless an address with http:// says otherwise, which only a lab does."""

    scheme: str
    host: str
    port: int | None = None

    @classmethod
    def parse(cls, address: str) -> Upstream:
        """From `host`, `host:port` or an http(s) address without a path.

        Raises:
            ValueError: anything else; such text would become nginx settings.
        """
        parts = urlsplit(address if "://" in address else f"https://{address}")
        host = parts.hostname or ""
        if parts.scheme not in ("http", "https") or parts.path.strip("/") or parts.query or parts.username:
            raise ValueError(f"wanted a registry as host, host:port or http(s)://host:port, got {address[:80]!r}")
        if _HOST.fullmatch(host) is None:
            raise ValueError(f"wanted a registry's host name or IPv4 address, got {host[:80]!r}")
        return cls(parts.scheme, host, parts.port)

    @property
    def authority(self) -> str:
        """`host` or `host:port`, as the Host header says it."""
        return self.host if self.port is None else f"{self.host}:{self.port}"

    @property
    def url(self) -> str:
        """Scheme and authority."""
        return f"{self.scheme}://{self.authority}"

    @property
    def needs_resolver(self) -> bool:
        """Whether nginx has to look a name up."""
        try:
            ipaddress.ip_address(self.host)
        except ValueError:
            return True
        return False


@dataclass(frozen=True)
class ProxySettings:
    """What one node's proxy is told.

    Args:
        miner_api: base address of the miner API as the node reaches it, such as `http://203.0.113.1:32000`.
        registries: registry of each validator, by hotkey.
        default: registry for hosts that name no known validator, as the public proxy has it.
        token_file: what `token_settings` rendered, mounted from a Secret.
        work_folder: pid and temporary files; writable by the user that nginx runs as.
    """

    miner_api: str
    registries: Mapping[str, Upstream]
    default: Upstream = field(default_factory=lambda: Upstream.parse(DEFAULT_REGISTRY))
    listen: str = str(int(ClusterPort.REGISTRY_PROXY))
    token_file: str = "/etc/headframe/registry-token.conf"  # noqa: S105 - a path
    work_folder: str = "/var/cache/nginx"
    resolvers: tuple[str, ...] = RESOLVERS
    authorities: str = AUTHORITIES

    def __post_init__(self) -> None:
        """Raises ValueError for text that would not stay inside its place in the settings."""
        Upstream.parse(self.miner_api)
        for hotkey in self.registries:
            if _HOTKEY.fullmatch(hotkey) is None:
                raise ValueError(f"wanted a validator's hotkey of letters and digits, got {hotkey[:80]!r}")
        for path in (self.token_file, self.work_folder, self.authorities):
            if _PATH.fullmatch(path) is None:
                raise ValueError(f"wanted an absolute path of plain characters, got {path[:80]!r}")
        if re.fullmatch(r"([0-9.]+:)?[0-9]+", self.listen, re.ASCII) is None:
            raise ValueError(f"wanted a port or an IPv4 address and a port to listen on, got {self.listen[:80]!r}")
        for resolver in self.resolvers:
            ipaddress.ip_address(resolver)


def upstreams(entries: Iterable[ValidatorEntry]) -> dict[str, Upstream]:
    """The registries of the configured validators, by hotkey. Raises ValueError as `Upstream.parse` does."""
    return {entry.hotkey: Upstream.parse(entry.registry) for entry in entries}


def token_settings(token: str) -> str:
    """The settings file with a node's registry token: a secret.

    Raises:
        ValueError: the token is not 20 to 256 letters, digits, `-` and `_`; it is not shown.
    """
    if _TOKEN.fullmatch(token) is None:
        raise ValueError("wanted a registry token of 20 to 256 letters, digits, - and _")
    return f'proxy_set_header {TOKEN_HEADER} "{token}";\n'


def nginx_settings(settings: ProxySettings) -> str:
    """The whole nginx.conf. Run it as `nginx -c FILE -g "daemon off;"`."""
    api = Upstream.parse(settings.miner_api)
    resolvers = " ".join(settings.resolvers)
    known = (settings.default, api, *settings.registries.values())
    resolver = f"resolver {resolvers} valid=60s;" if resolvers and any(u.needs_resolver for u in known) else ""
    return _TEMPLATE.format(
        work=settings.work_folder, listen=settings.listen, token=settings.token_file, resolver=resolver,
        authorities=settings.authorities, api=api.url, api_host=api.authority, api_name=api.host, auth=AUTH_PATH,
        urls=_map(settings, lambda upstream: upstream.url),
        hosts=_map(settings, lambda upstream: upstream.authority),
        names=_map(settings, lambda upstream: upstream.host),
        method=METHOD_HEADER, uri=URI_HEADER,
        taken=_each("auth_request_set $signed_{0} $upstream_http_{2};"),
        injected=_each("proxy_set_header {1} $signed_{0};"),
    )  # fmt: skip


def _each(line: str) -> str:
    """A line for each signed header: its number, its name, its name in nginx's variables."""
    names = enumerate(SIGNED_HEADERS)
    return "\n".join("      " + line.format(i, name, name.lower().replace("-", "_")) for i, name in names)


def _map(settings: ProxySettings, value: Callable[[Upstream], str]) -> str:
    """Lines of an nginx map. A hotkey is letters and digits, which mean themselves in an expression."""
    lines = [f'    default "{value(settings.default)}";']
    for hotkey, upstream in sorted(settings.registries.items()):
        lines.append(f'    "~*(^|/){hotkey.lower()}[.]" "{value(upstream)}";')
    return "\n".join(lines)


# A container runtime that was told a mirror says in `ns` which host the image names; without a mirror it is the host.
# Nothing is cached: every request is signed by itself, and a manifest's tag may move.
_TEMPLATE: Final = """\
# Rendered by app/protocol/registry_proxy_settings.py. The node's token is in the included file.
pid {work}/nginx.pid;
worker_processes 2;
error_log stderr warn;
events {{ worker_connections 512; }}
http {{
  access_log /dev/stdout;
  server_tokens off;
  keepalive_timeout 65;
  client_body_temp_path {work}/body;
  proxy_temp_path {work}/proxy;
  fastcgi_temp_path {work}/fastcgi;
  uwsgi_temp_path {work}/uwsgi;
  scgi_temp_path {work}/scgi;
  {resolver}
  map_hash_bucket_size 256;
  map "$arg_ns/$host" $registry_url {{
{urls}
  }}
  map "$arg_ns/$host" $registry_host {{
{hosts}
  }}
  map "$arg_ns/$host" $registry_name {{
{names}
  }}
  proxy_cache off;
  proxy_http_version 1.1;
  proxy_redirect off;
  proxy_connect_timeout 10s;
  proxy_ssl_verify on;
  proxy_ssl_verify_depth 3;
  proxy_ssl_server_name on;
  proxy_ssl_trusted_certificate {authorities};
  server {{
    listen {listen};
    client_max_body_size 0;
    location = /healthz {{
      access_log off;
      return 200 "ok\\n";
    }}
    location /v2/ {{
      if ($request_method !~ ^(GET|HEAD)$) {{ return 405; }}
      auth_request /auth;
{taken}
      error_page 403 500 =401 @refused;
      proxy_pass $registry_url;
      proxy_ssl_name $registry_name;
      proxy_buffering off;
      proxy_read_timeout 300s;
      proxy_set_header Host $registry_host;
      proxy_set_header Connection "";
      proxy_set_header Authorization "";
      proxy_set_header X-Real-IP $remote_addr;
      proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
{injected}
    }}
    location = /auth {{
      internal;
      set $miner_api {api};
      proxy_pass $miner_api{auth};
      proxy_ssl_name {api_name};
      proxy_read_timeout 10s;
      proxy_pass_request_headers off;
      proxy_pass_request_body off;
      proxy_set_header Content-Length "";
      proxy_set_header Connection "";
      proxy_set_header Host {api_host};
      proxy_set_header {method} $request_method;
      proxy_set_header {uri} $request_uri;
      include {token};
    }}
    location @refused {{
      internal;
      return 401;
    }}
    location / {{
      return 404;
    }}
  }}
}}
"""
