"""Names and numbers that the public programs compare with theirs."""

from __future__ import annotations

from app.protocol import channels, labels, ports
from app.protocol.channels import ResourceType


def test_redis_names_are_byte_compatible() -> None:
    assert channels.health_key("n") == "clusters:n:health"
    assert channels.resources_key("n", ResourceType.POD) == "clusters:n:resources:pod"
    assert channels.resource_field(None, "n") == "None:n"
    assert channels.resource_field("chutes", "p") == "chutes:p"
    assert channels.cluster_resources("n") == "cluster:n:resources"
    assert channels.cluster_resources_of("n", ResourceType.JOB) == "cluster:n:resources:job"
    assert channels.resources_of(ResourceType.NODE) == "resources:node"


def test_fixed_node_ports_lie_in_the_range() -> None:
    assert all(ports.NODE_PORT_FIRST <= port <= ports.NODE_PORT_LAST for port in ports.NodePort)
    assert ports.NodePort.MINER_API.value == 32000
    assert ports.NodePort(32000) is ports.NodePort.AGENT


def test_labels_of_the_public_miner_keep_their_names() -> None:
    assert labels.DEPLOYMENT_ID == "chutes/deployment-id"
    assert labels.EXTERNAL_IP == "chutes/external-ip"
