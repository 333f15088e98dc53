"""The client certificate in a kubeconfig: how long it holds, a request for the next one, the kubeconfig with it. Pure.

Keys are made here and stand nowhere but in the kubeconfig that is returned. The subject of the old certificate is kept:
the next one may do exactly what the old one may.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass, field
from typing import Any, Final

import yaml
from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

#: Renewed when less than this share of its life is left.
RENEWAL_SHARE: Final = 1 / 3


class CertificateProblemError(ValueError):
    """A kubeconfig without a client certificate that could be renewed, or an answer that does not fit the request."""


@dataclass(frozen=True)
class ClientCertificate:
    """A certificate's subject and life, in Unix seconds."""

    subject: x509.Name
    begins: float
    ends: float

    def is_due(self, now: float) -> bool:
        """Whether it should be renewed now; one that has ended is."""
        return self.ends - now < (self.ends - self.begins) * RENEWAL_SHARE


@dataclass(frozen=True)
class SigningRequest:
    """A request for a certificate, and the key that it is for."""

    pem: bytes
    key_pem: bytes = field(repr=False)
    public_key: bytes
    life_seconds: int


def client_certificate(kubeconfig: str) -> ClientCertificate:
    """The first user's certificate.

    Raises:
        CertificateProblemError: there is none that can be read.
    """
    try:
        data = base64.b64decode(_user(yaml.safe_load(kubeconfig))["client-certificate-data"])
        found = x509.load_pem_x509_certificate(data)
    except (yaml.YAMLError, KeyError, IndexError, TypeError, ValueError, UnsupportedAlgorithm):
        raise CertificateProblemError("the kubeconfig holds no client certificate that can be read") from None
    return ClientCertificate(
        found.subject, found.not_valid_before_utc.timestamp(), found.not_valid_after_utc.timestamp()
    )


def request_like(certificate: ClientCertificate) -> SigningRequest:
    """A request for a certificate of the same subject and the same life, with a new key."""
    key = ec.generate_private_key(ec.SECP256R1())
    request = x509.CertificateSigningRequestBuilder().subject_name(certificate.subject).sign(key, hashes.SHA256())
    return SigningRequest(
        request.public_bytes(serialization.Encoding.PEM),
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()),
        _public_bytes(key.public_key()),
        int(certificate.ends - certificate.begins),
    )


def with_certificate(kubeconfig: str, old: ClientCertificate, request: SigningRequest, issued_pem: bytes) -> str:
    """The kubeconfig with the next certificate and its key; everything else stays.

    Raises:
        CertificateProblemError: what was issued is not what was asked for, or ends no later than the old one.
    """
    try:
        issued = x509.load_pem_x509_certificate(issued_pem)
        is_ours = _public_bytes(issued.public_key()) == request.public_key
    except (ValueError, UnsupportedAlgorithm):
        raise CertificateProblemError("what was issued is no certificate") from None
    if not is_ours or issued.subject != old.subject:
        raise CertificateProblemError("the certificate that was issued has another key or subject")
    if issued.not_valid_after_utc.timestamp() <= old.ends:
        raise CertificateProblemError("the certificate that was issued ends no later than the old one")
    document = yaml.safe_load(kubeconfig)
    user = _user(document)
    user["client-certificate-data"] = base64.b64encode(issued_pem).decode()
    user["client-key-data"] = base64.b64encode(request.key_pem).decode()
    return yaml.safe_dump(document, sort_keys=False)


def _user(document: Any) -> dict[str, Any]:
    user: dict[str, Any] = document["users"][0]["user"]
    return user


def _public_bytes(key: Any) -> bytes:
    encoded: bytes = key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return encoded
