"""A real Kubernetes API server on loopback: etcd, kube-apiserver, a few controllers, no nodes.

For tests and the embedded fleet. Nothing runs in it: pods stay pending unless somebody writes their status.
Must not be used on the lab's hosts.
"""

from __future__ import annotations

import json
import secrets
import shutil
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from lab.kubernetes.authority import make_authority
from lab.kubernetes.binary import kubernetes_binary
from lab.kubernetes.processes import ProcessGroup
from lab.services.redis import free_port

#: What tests need of a controller manager: namespaces that can be deleted, owners whose dependents follow them, and
#: client certificates that are signed.
DEFAULT_CONTROLLERS: Final = (
    "namespace-controller",
    "garbage-collector-controller",
    "certificatesigningrequest-signing-controller",
)
_READY_TIMEOUT_SECONDS: Final = 90.0
_SERVICE_RANGE: Final = "10.43.0.0/16"


class LocalApiServer:
    """Starts with `start()` or `with`; can be stopped and started again with its data and ports, to test outages.

    The account is an administrator (group system:masters) known by a bearer token. RBAC is on, anonymous access off.

    Args:
        folder: data, keys and logs; made if absent, mode 0700.
        controllers: names of kube-controller-manager's controllers to run; empty runs none.
        binary: the Kubernetes binary; None builds or finds it in the cache.
    """

    def __init__(
        self, folder: Path, controllers: Sequence[str] = DEFAULT_CONTROLLERS, binary: Path | None = None
    ) -> None:
        self.folder = folder
        self.controllers = tuple(controllers)
        self.port = free_port()
        self.token = secrets.token_urlsafe(24)
        self._etcd_ports = (free_port(), free_port())
        self._binary = binary
        self._processes = ProcessGroup(folder)

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self.port}"

    @property
    def ca_file(self) -> Path:
        """Certificate that the server's own is checked against; there after the first start."""
        return self.folder / "pki" / "apiserver.crt"

    @property
    def kubeconfig(self) -> Path:
        """Kubeconfig (mode 0600) of the administrator, context `default`."""
        return self.folder / "kubeconfig"

    @property
    def is_running(self) -> bool:
        return self._processes.is_running

    def process_id(self, name: str) -> int:
        """Of `etcd`, `kube-apiserver` or `kube-controller-manager`, while it runs: for tests that pause one."""
        return self._processes.process_id(name)

    def start(self) -> None:
        """Start the parts and wait until the server is ready (about 5 s).

        Raises:
            RuntimeError: a part ended or the server was not ready in time; the message holds the end of its log.
        """
        if self.is_running:
            return
        binary = str(self._binary or kubernetes_binary())
        self._prepare()
        self._processes.start("etcd", self._etcd_command())
        self._processes.start("kube-apiserver", [binary, "kube-apiserver", *self._api_server_flags()])
        try:
            self._wait_until_ready()
        except BaseException:
            self.stop()
            raise
        self._write_kubeconfig()
        if self.controllers:
            self._processes.start(
                "kube-controller-manager", [binary, "kube-controller-manager", *self._controller_flags()]
            )

    def stop(self) -> None:
        """End the parts, each before the one it rests on; data and ports stay."""
        self._processes.stop()

    def _prepare(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.folder.chmod(0o700)
        (self.folder / "pki").mkdir(exist_ok=True)
        # One line: token, user, uid, groups.
        _write_private(self.folder / "tokens.csv", f'{self.token},lab-admin,lab-admin,"system:masters"\n')
        key = self.folder / "pki" / "service-account.key"
        if not key.exists():
            pem = ec.generate_private_key(ec.SECP256R1()).private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
            )
            _write_private(key, pem.decode())
        if not self._client_authority.exists():
            make_authority(self._client_authority, self._client_authority.with_suffix(".key"))

    @property
    def _client_authority(self) -> Path:
        return self.folder / "pki" / "client-ca.crt"

    def _etcd_command(self) -> list[str]:
        binary = shutil.which("etcd")
        if binary is None:
            raise RuntimeError("etcd was not found on PATH; install it: apt-get install etcd-server")
        client, peer = (f"http://127.0.0.1:{port}" for port in self._etcd_ports)
        return [
            binary,
            "--name=default",
            f"--data-dir={self.folder / 'etcd'}",
            f"--listen-client-urls={client}",
            f"--advertise-client-urls={client}",
            f"--listen-peer-urls={peer}",
            f"--initial-advertise-peer-urls={peer}",
            f"--initial-cluster=default={peer}",
            "--unsafe-no-fsync",  # the data is a test's: a machine that loses power may lose it
            "--log-level=warn",
        ]

    def _api_server_flags(self) -> list[str]:
        pki = self.folder / "pki"
        return [
            f"--etcd-servers=http://127.0.0.1:{self._etcd_ports[0]}",
            "--bind-address=127.0.0.1",
            f"--secure-port={self.port}",
            f"--cert-dir={pki}",  # the server makes its own certificate there
            f"--token-auth-file={self.folder / 'tokens.csv'}",
            f"--client-ca-file={self._client_authority}",
            "--anonymous-auth=false",
            "--authorization-mode=RBAC",
            f"--service-account-key-file={pki / 'service-account.key'}",
            f"--service-account-signing-key-file={pki / 'service-account.key'}",
            "--service-account-issuer=https://kubernetes.default.svc.cluster.local",
            # No controller makes the default service account unless asked: a pod must not wait for it.
            "--disable-admission-plugins=ServiceAccount",
            f"--service-cluster-ip-range={_SERVICE_RANGE}",
            "--endpoint-reconciler-type=none",  # an endpoint must not be a loopback address
            "--allow-privileged=true",
            "--shutdown-delay-duration=0s",
            "--shutdown-watch-termination-grace-period=1s",  # without it, it waits a minute for those that watch
        ]

    def _controller_flags(self) -> list[str]:
        config = str(self.kubeconfig)
        return [
            f"--kubeconfig={config}",
            f"--authentication-kubeconfig={config}",
            f"--authorization-kubeconfig={config}",
            f"--controllers={','.join(self.controllers)}",
            f"--service-account-private-key-file={self.folder / 'pki' / 'service-account.key'}",
            f"--root-ca-file={self.ca_file}",
            f"--cluster-signing-cert-file={self._client_authority}",
            f"--cluster-signing-key-file={self._client_authority.with_suffix('.key')}",
            "--leader-elect=false",
            "--secure-port=0",
            "--concurrent-gc-syncs=2",
        ]

    def _wait_until_ready(self) -> None:
        deadline = time.monotonic() + _READY_TIMEOUT_SECONDS
        while time.monotonic() < deadline:
            self._processes.raise_if_ended()
            if self._answers_ready():
                return
            time.sleep(0.1)
        raise RuntimeError(f"the API server on {self.url} was not ready in {_READY_TIMEOUT_SECONDS:.0f} s")

    def _answers_ready(self) -> bool:
        if not self.ca_file.exists():
            return False
        request = urllib.request.Request(f"{self.url}/readyz", headers={"Authorization": f"Bearer {self.token}"})
        try:
            context = ssl.create_default_context(cafile=str(self.ca_file))
            with urllib.request.urlopen(request, timeout=2, context=context) as answer:
                return bool(answer.status == 200)
        except (urllib.error.URLError, OSError):
            return False

    def _write_kubeconfig(self) -> None:
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [
                {"name": "default", "cluster": {"server": self.url, "certificate-authority": str(self.ca_file)}}
            ],
            "users": [{"name": "default", "user": {"token": self.token}}],
            "contexts": [{"name": "default", "context": {"cluster": "default", "user": "default"}}],
            "current-context": "default",
        }
        _write_private(self.kubeconfig, json.dumps(config, indent=1))  # JSON is YAML too

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """At once: an orderly end takes a second or two, and up to fifteen where clients hang on it."""
        self._processes.kill()


def _write_private(path: Path, text: str) -> None:
    path.touch(mode=0o600)
    path.chmod(0o600)
    path.write_text(text)
