"""Where things lie on a machine of the fleet. Nothing else in this package writes these paths down."""

from __future__ import annotations

from typing import Final

STATE: Final = "/var/lib/headframe"
STAMPS: Final = f"{STATE}/stamps"
UPLOADS: Final = f"{STATE}/uploads"

K3S: Final = "/usr/local/bin/k3s"
#: Of the next version, until it takes the place of the other.
K3S_FETCHED: Final = f"{K3S}.fetched"
K3S_CONFIG: Final = "/etc/rancher/k3s/config.yaml"
K3S_REGISTRIES: Final = "/etc/rancher/k3s/registries.yaml"
K3S_KUBECONFIG: Final = "/etc/rancher/k3s/k3s.yaml"
K3S_UNIT: Final = "/etc/systemd/system/k3s.service"
K3S_DATA: Final = "/var/lib/rancher/k3s"
K3S_PRELOADED: Final = f"{K3S_DATA}/agent/images"

FIREWALL_RULES: Final = "/etc/headframe/firewall.nft"
FIREWALL_UNIT: Final = "/etc/systemd/system/headframe-firewall.service"
