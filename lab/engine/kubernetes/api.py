"""HTTP to one API server: requests, errors, where objects of a kind are found. Must not know of Pulumi."""

from __future__ import annotations

import asyncio
import ssl
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Final

import httpx
import orjson

from lab.engine.kubernetes.kinds import group_of, is_cluster_wide
from lab.engine.kubernetes.kubeconfig import Access
from lab.engine.kubernetes.manifests import Manifest, api_version, items, kind_of, namespace_of, pluck, text
from lab.engine.kubernetes.schema import GroupSchemas

_CALL_TIMEOUT_SECONDS: Final = 60.0
_CONNECT_TIMEOUT_SECONDS: Final = 10.0
JSON: Final = "application/json"
APPLY: Final = "application/apply-patch+yaml"  # JSON is YAML too
JSON_PATCH: Final = "application/json-patch+json"


class UnreachableError(Exception):
    """The API server does not answer, or does not let us in."""


class NoSuchKindError(Exception):
    """The cluster serves no such kind, for example because its definition is not there."""

    def __init__(self, version: str, kind: str) -> None:
        super().__init__(f'no matches for kind "{kind}" in version "{version}"')


class ApiError(Exception):
    """The API server refused a request."""

    def __init__(self, code: int, status: Manifest) -> None:
        super().__init__(text(status, "message") or f"the API server answered {code}")
        self.code = code
        self.reason = text(status, "reason")
        self.about_kind = text(status, "details", "kind")

    @property
    def is_missing(self) -> bool:
        return self.code == HTTPStatus.NOT_FOUND

    @property
    def is_missing_namespace(self) -> bool:
        return self.is_missing and self.about_kind == "namespaces"

    @property
    def already_exists(self) -> bool:
        return self.reason == "AlreadyExists"

    @property
    def is_conflict(self) -> bool:
        return self.code == HTTPStatus.CONFLICT and not self.already_exists

    @property
    def is_forbidden(self) -> bool:
        return self.code == HTTPStatus.FORBIDDEN


@dataclass(frozen=True)
class Endpoint:
    """Where objects of one kind and namespace are found."""

    collection: str

    def object(self, name: str) -> str:
        return f"{self.collection}/{name}"


class Api:
    """One API server. Safe to share between concurrent calls; `close` ends its connections."""

    def __init__(self, access: Access) -> None:
        headers = {"Authorization": f"Bearer {access.token}"} if access.token else {}
        self._client = httpx.AsyncClient(
            base_url=access.server,
            headers=headers,
            verify=_tls(access),
            timeout=httpx.Timeout(_CALL_TIMEOUT_SECONDS, connect=_CONNECT_TIMEOUT_SECONDS),
            trust_env=False,
        )
        self._kinds: dict[str, dict[str, tuple[str, bool]]] = {}
        self._schemas: dict[str, GroupSchemas] = {}

    async def close(self) -> None:
        await self._client.aclose()

    async def call(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        content_type: str = JSON,
        query: Mapping[str, str] | None = None,
    ) -> Manifest:
        """One request.

        Raises:
            ApiError: the server refused it.
            UnreachableError: there was no answer.
        """
        content = None if body is None else orjson.dumps(body)
        headers = {"Content-Type": content_type, "Accept": JSON}
        request = self._client.build_request(method, path, content=content, params=query, headers=headers)
        try:
            answer = await self._sent(request)
        except (httpx.HTTPError, TimeoutError) as error:
            cause = str(error) or type(error).__name__
            raise UnreachableError(f"{method} {request.url}: {cause}") from None
        parsed = _parsed(answer)
        if answer.status_code >= HTTPStatus.BAD_REQUEST:
            raise ApiError(answer.status_code, parsed)
        return parsed

    async def _sent(self, request: httpx.Request) -> httpx.Response:
        """The answer; a read on a kept connection that the server just closed is sent once more."""
        async with asyncio.timeout(_CALL_TIMEOUT_SECONDS + _CONNECT_TIMEOUT_SECONDS):
            try:
                return await self._client.send(request)
            except httpx.RemoteProtocolError:
                if request.method != "GET":
                    raise
                return await self._client.send(request)

    async def endpoint(self, manifest: Manifest, namespace: str | None = None) -> Endpoint:
        """Where the object of a manifest lives; an empty namespace is `default` for a kind that has namespaces.

        Raises:
            NoSuchKindError, ApiError, UnreachableError.
        """
        version, kind = api_version(manifest), kind_of(manifest)
        plural, has_namespaces = await self._kind(version, kind)
        space = (namespace if namespace is not None else namespace_of(manifest)) or "default"
        parent = f"{_root(version)}/namespaces/{space}" if has_namespaces else _root(version)
        return Endpoint(f"{parent}/{plural}")

    async def serves(self, manifest: Manifest) -> bool:
        """Whether the cluster has the manifest's kind."""
        try:
            await self._kind(api_version(manifest), kind_of(manifest))
        except NoSuchKindError:
            return False
        return True

    async def has_namespaces(self, version: str, kind: str) -> bool:
        """Whether objects of a kind live in namespaces; an unknown kind is taken to."""
        try:
            return (await self._kind(version, kind))[1]
        except NoSuchKindError:
            return not is_cluster_wide(kind)

    async def schemas(self, version: str) -> GroupSchemas | None:
        """The schemas of a group version, or None if the cluster does not publish them."""
        if version not in self._schemas:
            root = _root(version).removeprefix("/")
            try:
                self._schemas[version] = GroupSchemas.of_document(await self.call("GET", f"/openapi/v3/{root}"))
            except ApiError:
                return None
        return self._schemas[version]

    def forget_kinds(self) -> None:
        """Ask again which kinds there are: a definition came or went."""
        self._kinds.clear()

    async def _kind(self, version: str, kind: str) -> tuple[str, bool]:
        """Plural name, and whether it has namespaces. What is missing is asked for again each time."""
        if not version or not kind:
            raise NoSuchKindError(version, kind)
        if kind not in self._kinds.get(version, {}):
            try:
                listed = await self.call("GET", _root(version))
            except ApiError as error:
                if error.is_missing:
                    raise NoSuchKindError(version, kind) from None
                raise
            self._kinds[version] = {
                text(entry, "kind"): (text(entry, "name"), pluck(entry, "namespaced") is True)
                for entry in items(listed, "resources")
                if "/" not in text(entry, "name")  # a subresource
            }
        try:
            return self._kinds[version][kind]
        except KeyError:
            raise NoSuchKindError(version, kind) from None


def _root(version: str) -> str:
    return f"/apis/{version}" if group_of(version) else f"/api/{version}"


def _parsed(answer: httpx.Response) -> Manifest:
    try:
        parsed = orjson.loads(answer.content)
    except orjson.JSONDecodeError:
        parsed = {"message": answer.text[:200].strip()}
    return parsed if isinstance(parsed, dict) else {}


def _tls(access: Access) -> ssl.SSLContext:
    context = ssl.create_default_context(cadata=access.authority or None)
    if access.is_insecure:
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    if access.certificate and access.key:
        with tempfile.TemporaryDirectory() as folder:  # mode 0700; OpenSSL loads keys from files alone
            pair = Path(folder) / "client.pem"
            pair.touch(mode=0o600)
            pair.write_text(f"{access.certificate}\n{access.key}")
            context.load_cert_chain(pair)
    return context
