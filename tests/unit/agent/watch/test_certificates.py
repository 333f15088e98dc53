"""Certificates of the kubeconfig that is handed out: when one is due, and what is accepted as the next."""

from __future__ import annotations

import base64

import pytest
import yaml
from cryptography import x509
from cryptography.hazmat.primitives import serialization

from agent.watch.certificates import (
    CertificateProblemError,
    SigningRequest,
    client_certificate,
    request_like,
    with_certificate,
)
from tests.support.certificates import SUBJECT, Authority, kubeconfig_with

_DAY = 86_400


@pytest.fixture
def authority() -> Authority:
    return Authority()


def test_a_certificate_is_due_when_a_third_of_its_life_is_left(authority: Authority) -> None:
    certificate = client_certificate(kubeconfig_with(authority, begins=0, ends=90 * _DAY))
    assert [certificate.is_due(day * _DAY) for day in (1, 59, 61, 89, 200)] == [False, False, True, True, True]


@pytest.mark.parametrize("text", ["", "a: [", "users: []", "users: [{user: {token: t}}]", "users: [{user: null}]"])
def test_a_kubeconfig_without_a_certificate_is_told_as_one(text: str) -> None:
    with pytest.raises(CertificateProblemError, match="no client certificate"):
        client_certificate(text)


def test_the_next_kubeconfig_differs_in_certificate_and_key_alone(authority: Authority) -> None:
    text = kubeconfig_with(authority, begins=0, ends=90 * _DAY)
    old = client_certificate(text)
    request = request_like(old)
    assert x509.load_pem_x509_csr(request.pem).subject == SUBJECT
    assert request.life_seconds == 90 * _DAY
    assert "PRIVATE" not in repr(request)
    fresh = with_certificate(text, old, request, authority.sign(request.pem, 80 * _DAY, 170 * _DAY))
    before, after = yaml.safe_load(text), yaml.safe_load(fresh)
    user = after["users"][0]["user"]
    issued = x509.load_pem_x509_certificate(base64.b64decode(user["client-certificate-data"]))
    key = serialization.load_pem_private_key(base64.b64decode(user["client-key-data"]), None)
    assert issued.public_key() == key.public_key()
    before["users"][0]["user"] = after["users"][0]["user"] = None
    assert before == after


def test_only_what_was_asked_for_is_accepted(authority: Authority) -> None:
    text = kubeconfig_with(authority, begins=0, ends=90 * _DAY)
    old = client_certificate(text)
    request, another = request_like(old), request_like(old)
    stranger = SigningRequest(b"", b"", another.public_key, 1)
    cases = {
        "no certificate": (request, b"nonsense"),
        "another key": (stranger, authority.sign(request.pem, 0, 180 * _DAY)),
        "another key or subject": (request, authority.sign(request.pem, 0, 180 * _DAY, subject="cluster-admin")),
        "no later": (request, authority.sign(request.pem, 0, 90 * _DAY)),
    }
    for message, (asked, issued) in cases.items():
        with pytest.raises(CertificateProblemError, match=message):
            with_certificate(text, old, asked, issued)
