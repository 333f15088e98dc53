"""Ground of all models here: frozen, no unknown keys, camelCase on the wire; and scalar types with their rules."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, PlainSerializer, SecretStr, StringConstraints
from pydantic.alias_generators import to_camel


class Model(BaseModel):
    """Immutable data. JSON uses camelCase names, as Pulumi properties do; Python names are accepted too."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", alias_generator=to_camel, populate_by_name=True, hide_input_in_errors=True
    )


def _reveal(secret: SecretStr) -> str:
    return secret.get_secret_value()


#: A value that `repr` hides. Its JSON form is plain: JSON of a spec goes to the runner's stdin and nowhere else.
Secret = Annotated[SecretStr, PlainSerializer(_reveal, return_type=str, when_used="json")]

#: Node name = cluster name = `servers.name` = kubeconfig context (D4), so it must be a DNS label.
NodeName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$")]
AbsolutePath = Annotated[str, StringConstraints(pattern=r"^/[^\x00\n]*$")]
Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
FileMode = Annotated[str, StringConstraints(pattern=r"^0?[0-7]{3,4}$")]
AccountName = Annotated[str, StringConstraints(pattern=r"^[a-z_][-a-z0-9_]{0,31}$")]
PackageName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9+.:-]*(=[A-Za-z0-9.+~:-]+)?$")]
UnitName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9@_.:-]+$")]
#: One OpenSSH public key: type, base64 and an optional comment.
PublicKey = Annotated[str, StringConstraints(pattern=r"^(ssh|ecdsa|sk)-[a-z0-9@.-]+ [A-Za-z0-9+/=]+( [^\n]*)?$")]
