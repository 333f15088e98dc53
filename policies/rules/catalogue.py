"""Every rule by name, with its level and the sentence that the documentation prints (spec: iac-design 4.3)."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from policies.rules.model import Level, Rule, Sight

_M, _A = Level.MANDATORY, Level.ADVISORY

GPU_RAM_COVERS_VRAM: Final = Rule(
    "gpu-ram-covers-vram", Sight.DECLARED, _M, "A GPU machine has at least as much RAM as its GPUs have memory."
)
IP_PUBLIC: Final = Rule(
    "ip-public", Sight.DECLARED, _M, "A machine's address is a public unicast IPv4 address, outside the lab."
)
IP_UNIQUE: Final = Rule("ip-unique", Sight.FLEET, _M, "No two machines share an address; the control host counts too.")
IP_EGRESS_IS_INGRESS: Final = Rule(
    "ip-egress-is-ingress",
    Sight.OBSERVED,
    _M,
    "A machine leaves by its own address: an echo on the control host sees the declared one in every probe.",
)
IP_ON_INTERFACE: Final = Rule(
    "ip-on-interface", Sight.OBSERVED, _A, "The declared address is bound to an interface, or 1:1 NAT is proven."
)
STORAGE_VAR_SNAP: Final = Rule(
    "storage-var-snap",
    Sight.OBSERVED,
    _M,
    "The file system under /var/snap is large enough, local, on a disk, and mounted again after a reboot.",
)
HOTKEY_SINGLE: Final = Rule("hotkey-single", Sight.FLEET, _M, "The whole fleet works for exactly one hotkey.")
UID_SINGLE: Final = Rule(
    "uid-single", Sight.REGISTRATION, _M, "The hotkey holds exactly one UID and its coldkey holds no other."
)
AXON_SILENT: Final = Rule(
    "axon-silent", Sight.REGISTRATION, _M, "No axon is announced on the chain and no container serves one."
)
OS_UBUNTU_2204: Final = Rule(
    "os-ubuntu-2204", Sight.OBSERVED, _M, "The machine runs Ubuntu 22.04, or a system that the stack allows by name."
)
NODEPORT_RANGE: Final = Rule(
    "nodeport-range", Sight.KUBERNETES, _M, "Node ports lie in 30000-32767 and none is used twice on one cluster."
)
IMAGE_DIGEST: Final = Rule(
    "image-digest", Sight.KUBERNETES, _M, "An image is named by digest or by a tag that is the hash of its content."
)
HELM_IMAGES: Final = Rule("helm-images", Sight.KUBERNETES, _A, "Images in a chart's values are pinned by digest.")
K8S_EXPLICIT_PROVIDER: Final = Rule(
    "k8s-explicit-provider",
    Sight.KUBERNETES,
    _M,
    "A Kubernetes resource names its cluster and its namespace; no default provider is ever used.",
)
SSH_HOST_KEY: Final = Rule(
    "ssh-host-key", Sight.DECLARED, _M, "The machine's SSH host key is pinned and logins use keys, not passwords."
)
SECRET_SHAPE: Final = Rule(
    "secret-shape", Sight.KUBERNETES, _M, "Seeds and private keys appear in Secrets only, never in other objects."
)
DATA_PROTECTED: Final = Rule("data-protected", Sight.KUBERNETES, _M, "Volumes that hold data are protected.")
NODE_NAME: Final = Rule("node-name", Sight.DECLARED, _M, "A node's name is a DNS label of 1 to 63 characters.")
CONTROL_HOST_SIZE: Final = Rule(
    "control-host-size", Sight.DECLARED, _M, "The control host has at least 4 cores and 32 GiB of RAM."
)
KUBERNETES_FIT: Final = Rule(
    "kubernetes-fit", Sight.OBSERVED, _M, "Kernel and cgroups are what the pinned Kubernetes version needs."
)
SIMULATED_GPUS: Final = Rule(
    "simulated-gpus", Sight.DECLARED, _M, "Simulated GPUs appear only in stacks that allow them by name."
)
VALIDATOR_TLS: Final = Rule(
    "validator-tls",
    Sight.DECLARED,
    _M,
    "Validators are reached by TLS; without it only in networks that a stack allows by name.",
)

_ALL: Final = (
    GPU_RAM_COVERS_VRAM,
    IP_PUBLIC,
    IP_UNIQUE,
    IP_EGRESS_IS_INGRESS,
    IP_ON_INTERFACE,
    STORAGE_VAR_SNAP,
    HOTKEY_SINGLE,
    UID_SINGLE,
    AXON_SILENT,
    OS_UBUNTU_2204,
    NODEPORT_RANGE,
    IMAGE_DIGEST,
    HELM_IMAGES,
    K8S_EXPLICIT_PROVIDER,
    SSH_HOST_KEY,
    SECRET_SHAPE,
    DATA_PROTECTED,
    NODE_NAME,
    CONTROL_HOST_SIZE,
    KUBERNETES_FIT,
    SIMULATED_GPUS,
    VALIDATOR_TLS,
)

#: All rules by name, in the order of the documentation.
RULES: Final[Mapping[str, Rule]] = MappingProxyType({rule.name: rule for rule in _ALL})
