"""What a machine of the fleet is, in plain models: shared by the program, the provider and the host runner.

Nothing here does I/O, and nothing here imports pulumi or pyinfra.
"""

from infra.spec.access import UserSpec
from infra.spec.base import BaseSpec, FileSpec, ServiceSpec, TimeSpec
from infra.spec.events import (
    Connected,
    ErrorEvent,
    ErrorKind,
    Event,
    ExitCode,
    FactsEvent,
    Hello,
    LogEvent,
    LogLevel,
    OperationEvent,
    OperationState,
    PlanEvent,
    ResultEvent,
    TurnEvent,
    Verb,
    parse_event,
)
from infra.spec.facts import GpuFacts, HostFacts
from infra.spec.gpu import AptRepository, NvidiaSpec
from infra.spec.host import HostDeclaration, HostKind, HostRole, HostSpec, HostState, JudgedBy, OnDelete
from infra.spec.k3s import BinarySource, ImageArchive, K3sSpec, Registry, RegistryCredential
from infra.spec.lease import LeaseSpec
from infra.spec.network import EchoSpec, FirewallSpec, KernelSpec
from infra.spec.plan import Drift, Plan, PlannedOperation
from infra.spec.storage import BindMount
from infra.spec.tools import ClusterAccess, HostScope

__all__ = [
    "AptRepository",
    "BaseSpec",
    "BinarySource",
    "BindMount",
    "ClusterAccess",
    "Connected",
    "Drift",
    "EchoSpec",
    "ErrorEvent",
    "ErrorKind",
    "Event",
    "ExitCode",
    "FactsEvent",
    "FileSpec",
    "FirewallSpec",
    "GpuFacts",
    "Hello",
    "HostDeclaration",
    "HostFacts",
    "HostKind",
    "HostRole",
    "HostScope",
    "HostSpec",
    "HostState",
    "ImageArchive",
    "JudgedBy",
    "K3sSpec",
    "KernelSpec",
    "LeaseSpec",
    "LogEvent",
    "LogLevel",
    "NvidiaSpec",
    "OnDelete",
    "OperationEvent",
    "OperationState",
    "Plan",
    "PlanEvent",
    "PlannedOperation",
    "Registry",
    "RegistryCredential",
    "ResultEvent",
    "ServiceSpec",
    "TimeSpec",
    "TurnEvent",
    "UserSpec",
    "Verb",
    "parse_event",
]
