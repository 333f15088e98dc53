"""A stand-in for the attestation proxy of a confidential node: it lists SIMULATED devices and proves nothing."""

from __future__ import annotations

import datetime
import ipaddress
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from app.protocol.ports import NodePort
from lab.embedded.model import SimulatedNode

_DAYS = 30


@asynccontextmanager
async def attestation_proxy(node: SimulatedNode, folder: Path) -> AsyncIterator[None]:
    """Serve on the node's address until the block ends."""

    async def devices(_: web.Request) -> web.Response:
        return web.json_response(node.devices())

    app = web.Application()
    app.router.add_get("/server/health", _health)
    app.router.add_get("/server/devices", devices)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
    await runner.setup()
    try:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self_signed(node.address, folder / "attestation.pem"))
        await web.TCPSite(runner, node.address, int(NodePort.ATTESTATION), ssl_context=context).start()
        yield
    finally:
        await runner.cleanup()


async def _health(_: web.Request) -> web.Response:
    return web.json_response({"status": "ok", "simulated": True})


def self_signed(address: str, path: Path) -> Path:
    """A fresh key and certificate in one file (mode 0600); clients pin it, they do not verify it."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "SIMULATED attestation proxy")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(minutes=5))
        .not_valid_after(now + datetime.timedelta(days=_DAYS))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(address))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ) + certificate.public_bytes(serialization.Encoding.PEM)
    path.touch(mode=0o600)
    path.write_bytes(pem)
    return path
