"""A SIMULATED GPU node for tests: its agent, its cluster's node object, and its attestation proxy."""

from __future__ import annotations

import contextlib
import datetime
import ipaddress
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import orjson
from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from app.protocol.ports import NodePort
from tests.support.control import device


class SimulatedWorker:
    """One node. Attributes script what it answers; `asked` lists what it was asked."""

    def __init__(self, address: str, *, gpus: int = 2, is_tee: bool = True) -> None:
        self.address = address
        self.name = "worker-1"
        self.labels = {
            "chutes/external-ip": address, "chutes/tee": str(is_tee).lower(), "nvidia.com/gpu.count": str(gpus),
            "nvidia.com/gpu.memory": str(80 * 1024),
        }  # fmt: skip
        self.gpus = gpus
        self.is_ready = True
        self.is_monitored = False
        self.asked: list[str] = []
        self.agent_url = ""
        self.devices: list[dict[str, object]] = [device(index) for index in range(gpus)]

    def node(self) -> dict[str, object]:
        """The Kubernetes Node object."""
        return {
            "kind": "Node",
            "metadata": {"name": self.name, "uid": "uid-of-worker-1", "labels": self.labels},
            "status": {
                "capacity": {"cpu": "66", "memory": f"{512 * 1024 * 1024}Ki", "nvidia.com/gpu": str(self.gpus)},
                "conditions": [{"type": "Ready", "status": "True" if self.is_ready else "False"}],
            },
        }

    def kubeconfig(self) -> str:
        """What the agent hands out, as JSON, which is YAML."""
        return orjson.dumps(
            {
                "clusters": [{"name": "c", "cluster": {"server": self.agent_url}}],
                "users": [{"name": "u", "user": {"token": "node-token"}}],
                "contexts": [{"name": self.name, "context": {"cluster": "c", "user": "u"}}],
            }
        ).decode()

    @contextlib.asynccontextmanager
    async def listening(self, folder: Path) -> AsyncIterator[SimulatedWorker]:
        """Serve the agent and the cluster on one free port, the proxy on its fixed one."""
        app = web.Application(middlewares=[self._note])
        app.add_routes(
            [
                web.get("/config/kubeconfig", self._kubeconfig),
                web.post("/monitor/start", self._start),
                web.get("/monitor/stop", self._stop),
                web.get("/api/v1/nodes/{name}", self._node),
                web.patch("/api/v1/nodes/{name}", self._label),
                web.get("/server/health", self._health),
                web.get("/server/devices", self._devices),
            ]
        )
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
        await runner.setup()
        try:
            await web.TCPSite(runner, self.address, 0).start()
            self.agent_url = f"http://{self.address}:{runner.addresses[0][1]}"
            await web.TCPSite(runner, self.address, int(NodePort.ATTESTATION), ssl_context=self._tls(folder)).start()
            yield self
        finally:
            await runner.cleanup()

    def _tls(self, folder: Path) -> ssl.SSLContext:
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "SIMULATED worker")])
        now = datetime.datetime.now(datetime.UTC)
        certificate = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(key.public_key())
            .serial_number(1)
            .not_valid_before(now)
            .not_valid_after(now + datetime.timedelta(days=1))
            .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(self.address))]), False)
            .sign(key, hashes.SHA256())
        )
        path = folder / "worker.pem"
        path.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
            + certificate.public_bytes(serialization.Encoding.PEM)
        )
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(path)
        return context

    @web.middleware
    async def _note(self, request: web.Request, handler: object) -> web.StreamResponse:
        self.asked.append(f"{request.method} {request.path}")
        answer: web.StreamResponse = await handler(request)  # type: ignore[operator]
        return answer

    async def _kubeconfig(self, _: web.Request) -> web.Response:
        return web.json_response({"kubeconfig": self.kubeconfig()})

    async def _start(self, _: web.Request) -> web.Response:
        if self.is_monitored:
            return web.json_response({"detail": "already running"}, status=409)
        self.is_monitored = True
        return web.json_response({"message": "Monitoring started", "cluster": self.name})

    async def _stop(self, _: web.Request) -> web.Response:
        if not self.is_monitored:
            return web.json_response({"detail": "no active client"}, status=409)
        self.is_monitored = False
        return web.json_response({"message": "Monitoring stopped"})

    async def _node(self, request: web.Request) -> web.Response:
        if request.match_info["name"] != self.name or request.headers.get("Authorization") != "Bearer node-token":
            return web.json_response({"kind": "Status"}, status=404)
        return web.json_response(self.node())

    async def _label(self, request: web.Request) -> web.Response:
        self.labels |= (await request.json())["metadata"]["labels"]
        return web.json_response(self.node())

    async def _health(self, _: web.Request) -> web.Response:
        return web.json_response({"status": "ok"})

    async def _devices(self, _: web.Request) -> web.Response:
        return web.json_response(self.devices)
