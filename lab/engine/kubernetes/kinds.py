"""Facts about kinds: scope, API groups of Kubernetes itself, and which changed field means a new object. Pure.

The fields follow what the API server declares immutable (source: Kubernetes API reference) and the recorded answers.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from lab.engine.kubernetes.manifests import Manifest, api_version, is_config_map, is_secret, kind_of


def words(text: str) -> tuple[str, ...]:
    """The names of a list that is written as text."""
    return tuple(text.split())


#: Kinds of Kubernetes itself that live outside namespaces; needed where the cluster cannot be asked.
_CLUSTER_WIDE: Final = frozenset(
    words("""APIService CertificateSigningRequest ClusterRole ClusterRoleBinding ComponentStatus CSIDriver CSINode
    CustomResourceDefinition DeviceClass FlowSchema IngressClass IPAddress MutatingWebhookConfiguration Namespace Node
    PersistentVolume PriorityClass PriorityLevelConfiguration RuntimeClass SelfSubjectAccessReview
    SelfSubjectReview SelfSubjectRulesReview ServiceCIDR StorageClass StorageVersion SubjectAccessReview TokenReview
    ValidatingAdmissionPolicy ValidatingAdmissionPolicyBinding ValidatingWebhookConfiguration
    VolumeAttachment VolumeAttributesClass""")
)
#: Groups with a Go type in the official clients; everything else is a custom resource and passes Check as it is.
_OWN_GROUPS: Final = frozenset(
    words("""admissionregistration.k8s.io apps authentication.k8s.io authorization.k8s.io autoscaling batch
    certificates.k8s.io coordination.k8s.io discovery.k8s.io events.k8s.io flowcontrol.apiserver.k8s.io
    networking.k8s.io node.k8s.io policy rbac.authorization.k8s.io resource.k8s.io scheduling.k8s.io storage.k8s.io
    """)
)
#: Kinds whose `skipAwait` also skips the wait for their deletion.
_DELETE_WITHOUT_WAIT: Final = frozenset(
    words("Namespace Pod ReplicationController DaemonSet Deployment StatefulSet Job")
)
_SELECTOR: Final = (".spec.selector",)
_VOLUME_SOURCES: Final = words("""awsElasticBlockStore azureDisk azureFile cephfs cinder csi fc flexVolume flocker
    gcePersistentDisk glusterfs hostPath iscsi local nfs photonPersistentDisk portworxVolume quobyte rbd scaleIO
    storageos vsphereVolume""")
_POD_FIELDS: Final = words("""affinity automountServiceAccountToken dnsConfig dnsPolicy enableServiceLinks hostAliases
    hostIPC hostNetwork hostPID hostname imagePullSecrets nodeName nodeSelector overhead preemptionPolicy priority
    priorityClassName readinessGates restartPolicy runtimeClassName schedulerName securityContext serviceAccount
    serviceAccountName shareProcessNamespace subdomain terminationGracePeriodSeconds volumes""")
_CONTAINER_FIELDS: Final = words("""args command env image imagePullPolicy lifecycle livenessProbe ports readinessProbe
    resources securityContext stdin stdinOnce terminationMessagePath terminationMessagePolicy tty volumeDevices
    volumeMounts workingDir""")
_REPLACING: Final[dict[tuple[str, str], tuple[str, ...]]] = {
    ("apps", "DaemonSet"): _SELECTOR,
    ("apps", "Deployment"): _SELECTOR,
    ("apps", "StatefulSet"): (
        *_SELECTOR,
        ".spec.podManagementPolicy",
        ".spec.revisionHistoryLimit",
        ".spec.serviceName",
        ".spec.volumeClaimTemplates",
    ),
    ("batch", "Job"): (*_SELECTOR, ".spec.completions", ".spec.parallelism", ".spec.template"),
    ("rbac.authorization.k8s.io", "ClusterRoleBinding"): (".roleRef",),
    ("rbac.authorization.k8s.io", "RoleBinding"): (".roleRef",),
    ("storage.k8s.io", "StorageClass"): (".parameters", ".provisioner"),
    ("", "PersistentVolume"): tuple(f".spec.{source}" for source in _VOLUME_SOURCES),
    ("", "PersistentVolumeClaim"): (
        *_SELECTOR,
        ".spec.accessModes",
        ".spec.storageClassName",
        ".spec.volumeName",
    ),
    ("", "Pod"): (
        *(f".spec.{field}" for field in _POD_FIELDS),
        *(f".spec.{group}[*].{field}" for group in ("containers", "initContainers") for field in _CONTAINER_FIELDS),
    ),
    ("", "ResourceQuota"): (".spec.scopes",),
    ("", "Service"): (".spec.clusterIP",),
}
_IDENTITY: Final = (".metadata.name", ".metadata.namespace")
_URN: Final = re.compile(r"urn:pulumi:[^:]*::[^:]*::(?P<types>.*?)::(?P<name>.*)", re.DOTALL)


@dataclass(frozen=True)
class Urn:
    """The parts of a resource's URN that matter here."""

    text: str
    type: str
    name: str

    @classmethod
    def parse(cls, text: str) -> Urn:
        """Raises ValueError if `text` is no URN of a resource."""
        match = _URN.fullmatch(text)
        if match is None:
            raise ValueError(f"{text!r} is no URN of a resource; wanted urn:pulumi:STACK::PROJECT::TYPE::NAME")
        return cls(text, match["types"].rpartition("$")[2], match["name"])

    @property
    def is_release(self) -> bool:
        return self.type == "kubernetes:helm.sh/v3:Release"

    @property
    def kind(self) -> str:
        return self.type.rpartition(":")[2]

    @property
    def api_version(self) -> str:
        """`v1` or `apps/v1`, from the type token."""
        version = self.type.removeprefix("kubernetes:").rpartition(":")[0]
        return version.removeprefix("core/")

    def is_patch_of(self, manifest: Manifest) -> bool:
        """Whether the resource changes fields of an object that it does not own (`NodePatch` of kind Node)."""
        return self.kind == f"{kind_of(manifest)}Patch"


def group_of(version: str) -> str:
    """`apps` of `apps/v1`, empty for the core group's `v1`."""
    return version.rpartition("/")[0]


def is_cluster_wide(kind: str) -> bool:
    return kind in _CLUSTER_WIDE


def has_go_type(version: str) -> bool:
    """Whether a group version belongs to Kubernetes itself."""
    return version == "v1" or group_of(version) in _OWN_GROUPS


def deletes_without_wait(manifest: Manifest) -> bool:
    return kind_of(manifest) in _DELETE_WITHOUT_WAIT and has_go_type(api_version(manifest))


def replacing_fields(manifest: Manifest, *, config_map_mutable: bool, secret_mutable: bool) -> tuple[str, ...]:
    """Paths whose change needs a new object, `[*]` standing for any item of a list."""
    immutable = manifest.get("immutable") is True
    if is_secret(manifest):
        data = (".type", ".stringData", ".data") if immutable or not secret_mutable else (".type",)
        return (*_IDENTITY, *data)
    if is_config_map(manifest):
        return (*_IDENTITY, *((".binaryData", ".data") if immutable or not config_map_mutable else ()))
    return (*_IDENTITY, *_REPLACING.get((group_of(api_version(manifest)), kind_of(manifest)), ()))
