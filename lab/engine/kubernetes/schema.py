"""What the API server's OpenAPI v3 documents say about the fields of a kind. Pure.

Must not validate: the server does that, in a dry run.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from lab.engine.kubernetes.kinds import words
from lab.engine.kubernetes.manifests import Manifest, items, pluck, text
from lab.engine.kubernetes.quantity import canonical_quantity

#: Flags and numbers that the Go types leave out when they are zero; other optional ones tell zero from absent.
#: OpenAPI does not say which is which (source: the types of k8s.io/api, fields without a pointer).
_ZERO_IS_ABSENT = words(
    """hostIPC hostNetwork hostPID paused publishNotReadyAddresses readOnly stdin stdinOnce tty unschedulable
    failureThreshold healthCheckNodePort hostPort initialDelaySeconds minReadySeconds nodePort periodSeconds
    successThreshold timeoutSeconds"""
)
#: Optional texts whose empty value means something; all other empty ones are left out.
_EMPTY_COUNTS = words("storageClassName volumeAttributesClassName runtimeClassName ingressClassName")
_REFERENCE_PREFIX = "#/components/schemas/"
_QUANTITY = "io.k8s.apimachinery.pkg.api.resource.Quantity"


@dataclass(frozen=True)
class GroupSchemas:
    """The schemas of one API group version, as in its OpenAPI v3 document."""

    definitions: Mapping[str, object]

    @classmethod
    def of_document(cls, document: object) -> GroupSchemas:
        found = pluck(document, "components", "schemas")
        return cls(found if isinstance(found, dict) else {})

    def typed(self, manifest: Manifest) -> Manifest:
        """`manifest` as the kind's Go type would carry it: fields that it lacks are dropped, optional empty values as
        well, and quantities are canonical. A kind without a schema comes back unchanged."""
        definition = self._definition_of(text(manifest, "apiVersion"), text(manifest, "kind"))
        if definition is None:
            return manifest
        typed = self._typed(manifest, definition)
        return typed if isinstance(typed, dict) else manifest

    def _definition_of(self, api_version: str, kind: str) -> object:
        group, _, version = api_version.rpartition("/")
        wanted = {"group": group, "version": version, "kind": kind}
        for definition in self.definitions.values():
            if wanted in items(definition, "x-kubernetes-group-version-kind"):
                return definition
        return None

    def _typed(self, value: object, schema: object) -> object:
        name, schema = self._resolved(schema)
        if name == _QUANTITY:
            return canonical_quantity(str(value)) if isinstance(value, str | int | float) else value
        if isinstance(value, list):
            return [self._typed(item, pluck(schema, "items")) for item in value]
        if not isinstance(value, dict):
            return value
        properties, additional = pluck(schema, "properties"), pluck(schema, "additionalProperties")
        if isinstance(properties, dict):
            return self._typed_fields(value, properties, items(schema, "required"))
        if isinstance(additional, dict):
            return {key: self._typed(item, additional) for key, item in value.items()}
        return value  # free form, such as the schema inside a custom resource definition

    def _typed_fields(self, value: Manifest, properties: Mapping[str, object], required: list[object]) -> Manifest:
        result: Manifest = {}
        for key, item in value.items():
            if key not in properties:
                continue
            if key not in required and self._is_left_out(key, item, properties[key]):
                continue
            result[key] = self._typed(item, properties[key])
        return result

    def _is_left_out(self, key: str, value: object, schema: object) -> bool:
        """Whether the Go type writes nothing for a value. An empty object with fields of its own is written."""
        if value is None or value == []:
            return True
        if value == "":
            return key not in _EMPTY_COUNTS
        if value is False or value == 0:
            return key in _ZERO_IS_ABSENT
        _, schema = self._resolved(schema)
        return value == {} and isinstance(pluck(schema, "additionalProperties"), dict)

    def _resolved(self, schema: object) -> tuple[str, object]:
        """The name and the definition that a reference points to; no name for a schema written in place."""
        wrapped = items(schema, "allOf")
        reference = text(wrapped[0] if len(wrapped) == 1 else schema, "$ref")
        name = reference.removeprefix(_REFERENCE_PREFIX)
        return (name, self.definitions.get(name)) if name else ("", schema)
