"""`pulumi import headframe:index:Host NAME USER@HOST:PORT/NAME`: adopt a machine that was set up before.

The import id says where the machine is; its key and host key come from the environment, never from the command line.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Final

from infra.provider.kinds.kind import ProviderError
from infra.provider.wire import Properties, secret
from infra.spec import HostRole

_ID: Final = re.compile(r"(?P<user>[^@/]+)@(?P<host>[^@/:]+)(:(?P<port>\d+))?/(?P<name>[a-z0-9-]+)")
_USAGE: Final = (
    "to import a host, give USER@HOST:PORT/NAME as its id, the path of its SSH key in HEADFRAME_IMPORT_KEY and its "
    "public host key (`ssh-keyscan -t ed25519 HOST`, type and base64) in HEADFRAME_IMPORT_HOST_KEY"
)


def begin(import_id: str) -> Properties:
    """Inputs of a host that is being imported; its role is not known yet.

    Raises:
        ProviderError: the id or the environment does not say enough.
    """
    match = _ID.fullmatch(import_id)
    key_file, host_key = os.environ.get("HEADFRAME_IMPORT_KEY"), os.environ.get("HEADFRAME_IMPORT_HOST_KEY")
    if match is None or not key_file or not host_key:
        raise ProviderError(_USAGE)
    try:
        private_key = Path(key_file).read_text(encoding="utf-8")
    except OSError as error:
        raise ProviderError(f"HEADFRAME_IMPORT_KEY: {error}") from error
    return {
        "name": match["name"],
        "host": match["host"],
        "port": int(match["port"] or 22),
        "user": match["user"],
        "hostKey": host_key,
        "role": HostRole.GPU.value,
        "privateKey": secret(private_key),
    }
