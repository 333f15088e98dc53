"""Every rule as a Pulumi policy of the same name. Advisory findings of a mandatory rule are not reported as violations:
the program prints them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from pulumi_policy import (
    EnforcementLevel,
    Policy,
    PolicyPack,
    PolicyResource,
    ReportViolation,
    ResourceValidationArgs,
    ResourceValidationPolicy,
    StackValidationArgs,
    StackValidationPolicy,
)

from policies.pack import readers
from policies.rules import declared, kubernetes, observed
from policies.rules.catalogue import RULES
from policies.rules.model import Finding, Level, Rule, Sight

PACK = "headframe"
_LEVELS = {Level.MANDATORY: EnforcementLevel.MANDATORY, Level.ADVISORY: EnforcementLevel.ADVISORY}


def serve() -> None:
    """Start the pack's server; never returns."""
    PolicyPack(PACK, policies=policies())


def policies() -> list[Policy]:
    """One policy a rule; a rule that also sees the whole stack has a second one, named `<rule>-stack`."""
    found: list[Policy] = []
    for rule in RULES.values():
        if rule.sight in (Sight.DECLARED, Sight.KUBERNETES, Sight.REGISTRATION):
            found.append(_resource_policy(rule))
        found.append(_stack_policy(rule))
    return found


def _resource_policy(rule: Rule) -> Policy:
    def validate(args: ResourceValidationArgs, report: ReportViolation) -> None:
        _report(rule, resource_findings(args), report)

    return ResourceValidationPolicy(
        name=rule.name, description=rule.demand, enforcement_level=_LEVELS[rule.level], validate=validate
    )


def _stack_policy(rule: Rule) -> Policy:
    def validate(args: StackValidationArgs, report: ReportViolation) -> None:
        _report(rule, stack_findings(args.resources), report)

    name = rule.name if rule.sight in (Sight.FLEET, Sight.OBSERVED) else f"{rule.name}-stack"
    return StackValidationPolicy(
        name=name, description=rule.demand, enforcement_level=_LEVELS[rule.level], validate=validate
    )


def _report(rule: Rule, findings: Iterable[Finding], report: ReportViolation) -> None:
    for finding in findings:
        if finding.rule == rule.name and finding.level is rule.level:
            report(str(finding), None)


def resource_findings(args: ResourceValidationArgs) -> Iterator[Finding]:
    """Everything that one resource's inputs show."""
    if args.resource_type in readers.NODE_TYPES:
        yield from declared.check_node(readers.declared_node(args.props), readers.allowances(args.props))
    elif args.resource_type.startswith(readers.KUBERNETES):
        # Protection is judged with the whole stack, which says whether it allows data without it.
        provider = None if args.provider is None else args.provider.name
        seen = readers.kubernetes_object(args.resource_type, args.name, args.props, provider, protected=True)
        yield from kubernetes.check_object(seen)


def stack_findings(resources: Iterable[PolicyResource]) -> Iterator[Finding]:
    """Everything that only all resources together show."""
    every = list(resources)
    nodes = readers.nodes_of((item.resource_type, item.props) for item in every)
    yield from declared.check_fleet(node for node, _ in nodes)
    by_name = {node.name: (node, allowed) for node, allowed in nodes}
    for item in every:
        if item.resource_type == readers.HOST_TYPE and item.name in by_name:
            node, allowed = by_name[item.name]
            yield from observed.check_host(readers.observed_host(item.props, node), allowed)
    yield from _cluster_findings(every, unprotected=any(allowed.unprotected_data for _, allowed in nodes))


def _cluster_findings(resources: Iterable[PolicyResource], *, unprotected: bool) -> Iterator[Finding]:
    services = []
    for item in resources:
        if not item.resource_type.startswith(readers.KUBERNETES):
            continue
        provider = item.provider.name if item.provider is not None else None
        seen = readers.kubernetes_object(
            item.resource_type, item.name, item.props, provider, protected=bool(item.opts.protect)
        )
        services.append((provider or "", seen))
        if not unprotected:
            yield from kubernetes.data_protected(seen)
    yield from kubernetes.node_ports_unique(services)
