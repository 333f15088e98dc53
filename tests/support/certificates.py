"""A certificate authority for tests, and kubeconfigs that hold what it signed. Keys are made anew and thrown away."""

from __future__ import annotations

import base64
from datetime import UTC, datetime
from pathlib import Path

import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

SUBJECT = x509.Name(
    [x509.NameAttribute(NameOID.ORGANIZATION_NAME, "chutes"), x509.NameAttribute(NameOID.COMMON_NAME, "miner")]
)


class Authority:
    """Signs what it is given. `files` are a certificate and a key to sign with, instead of new ones."""

    def __init__(self, files: tuple[Path, Path] | None = None) -> None:
        self.name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test-ca")])
        self.key = ec.generate_private_key(ec.SECP256R1())
        if files is not None:
            loaded = serialization.load_pem_private_key(files[1].read_bytes(), None)
            assert isinstance(loaded, ec.EllipticCurvePrivateKey)
            self.key = loaded
            self.name = x509.load_pem_x509_certificate(files[0].read_bytes()).subject

    def sign(self, request_pem: bytes, begins: float, ends: float, *, subject: str = "") -> bytes:
        """A client certificate, its life in Unix seconds; another common name where one is given."""
        request = x509.load_pem_x509_csr(request_pem)
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, subject)]) if subject else request.subject
        certificate = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(self.name)
            .public_key(request.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(datetime.fromtimestamp(begins, UTC))
            .not_valid_after(datetime.fromtimestamp(ends, UTC))
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False)
            .sign(self.key, hashes.SHA256())
        )
        return certificate.public_bytes(serialization.Encoding.PEM)


def kubeconfig_with(
    authority: Authority, *, begins: float, ends: float, server: str = "https://203.0.113.7:6443", name: str = "gpu-1"
) -> str:
    """A kubeconfig of user `miner` with a certificate of this life."""
    key = ec.generate_private_key(ec.SECP256R1())
    request = x509.CertificateSigningRequestBuilder().subject_name(SUBJECT).sign(key, hashes.SHA256())
    issued = authority.sign(request.public_bytes(serialization.Encoding.PEM), begins, ends)
    key_pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    user = {
        "client-certificate-data": base64.b64encode(issued).decode(),
        "client-key-data": base64.b64encode(key_pem).decode(),
    }
    document = {
        "clusters": [{"name": name, "cluster": {"server": server}}],
        "users": [{"name": name, "user": user}],
        "contexts": [{"name": name, "context": {"cluster": name, "user": name, "namespace": "default"}}],
        "current-context": name,
    }
    return yaml.safe_dump(document)
