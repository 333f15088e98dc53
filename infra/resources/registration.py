"""`Registration`: a GPU node known to the miner API and verified by its validator. Served by `infra.provider` (D12)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

import pulumi

TYPE: Final = "headframe:index:Registration"
_OUTPUTS: Final = ("serverId", "registered", "verifiedGpus")


@dataclass(frozen=True, kw_only=True)
class RegistrationArgs:
    """One node as the miner API is told of it. The cost is in USD for one GPU and hour."""

    node: str
    kind: Literal["bare", "tee"]
    miner_api: str
    agent_api: str
    validator: str
    gpu: str
    hourly_cost_usd: float
    #: No new chute is placed, and those that run are ended.
    drained: bool
    #: The hotkey's seed: every call is signed.
    seed: pulumi.Input[str]
    registry_token_sha256: pulumi.Input[str] | None = None


class Registration(pulumi.CustomResource):
    """A registered node.

    Outputs:
        serverId: id at the miner API and at the validator.
        registered: whether the miner API listed it when it was last read.
        verifiedGpus: how many of its GPUs the validator has verified.
    """

    server_id: pulumi.Output[str]
    registered: pulumi.Output[bool]

    def __init__(self, name: str, args: RegistrationArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        own = pulumi.ResourceOptions(additional_secret_outputs=["seed"])
        properties = {
            "node": args.node,
            "kind": args.kind,
            "minerApi": args.miner_api,
            "agentApi": args.agent_api,
            "validator": args.validator,
            "gpu": args.gpu,
            "hourlyCostUsd": args.hourly_cost_usd,
            "drained": args.drained,
            "seed": pulumi.Output.secret(args.seed),
            "registryTokenSha256": args.registry_token_sha256,
            **dict.fromkeys(_OUTPUTS),
        }
        super().__init__(TYPE, name, properties, pulumi.ResourceOptions.merge(own, opts))
