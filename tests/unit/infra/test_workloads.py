"""What holds for every program of ours on every cluster, whichever it is; and who owns Gepetto's code."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pulumi
import pytest

from app.protocol.model_cache import CACHE_FOLDER
from app.protocol.validators import Validators
from infra.components.miner import checked_seed
from infra.components.rights import Rule
from tests.support.program import Recorded, Recording
from tests.support.program_run import run_program
from tests.support.settings import HOTKEY, HOTKEY_SEED, fleet, gpu_node

SELF_MADE = {"postgres", "redis"}
TEE = {"name": "tee-0", "kind": "tee", "address": "9.0.0.9", "gpu": "h200", "gpu_count": 8, "hourly_cost_usd": 24}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("workloads")


@pytest.fixture(scope="module")
def recording(folder: Path) -> Recording:
    """Two bare nodes, one with a cache of its own, and a confidential one."""
    nodes = [gpu_node("gpu-0", "9.0.0.11", model_cache={"max_size_gib": 9}), gpu_node("gpu-1", "9.0.0.12"), TEE]
    return run_program(fleet(gpu_nodes=nodes), folder)


def pods(recording: Recording) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Pod templates by the name of what makes them."""
    for item in recording.resources:
        spec = item.inputs.get("spec", {})
        if item.type in {"kubernetes:apps/v1:Deployment", "kubernetes:apps/v1:StatefulSet"}:
            yield item.name, spec["template"]
        elif item.type == "kubernetes:batch/v1:CronJob":
            yield item.name, spec["jobTemplate"]["spec"]["template"]


def containers(pod: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return [*pod["spec"].get("initContainers", []), *pod["spec"]["containers"]]


def environment(recording: Recording, name: str) -> dict[str, Any]:
    template = dict(pods(recording))[name]
    return {item["name"]: item.get("value", item.get("valueFrom")) for item in template["spec"]["containers"][0]["env"]}


def dependencies(item: Recorded) -> set[str]:
    return {urn.rsplit("::", 1)[-1] for urn in item.request.dependencies}


def test_every_container_is_hardened(recording: Recording) -> None:
    seen = 0
    for name, pod in pods(recording):
        for container in containers(pod):
            seen += 1
            security = container["securityContext"]
            assert security["readOnlyRootFilesystem"] is True, name
            assert security["allowPrivilegeEscalation"] is False, name
            assert security["capabilities"]["drop"] == ["ALL"], name
            assert container["resources"]["limits"]["memory"], name
    assert seen >= 13


def test_only_the_cache_cleaner_is_root_and_it_sees_the_cache_alone(recording: Recording) -> None:
    for name, pod in pods(recording):
        is_root = not pod["spec"]["securityContext"].get("runAsNonRoot", False)
        assert is_root == name.endswith("cache-cleaner"), name
        if is_root:
            paths = [volume["hostPath"]["path"] for volume in pod["spec"]["volumes"] if "hostPath" in volume]
            assert paths == [CACHE_FOLDER]


def test_the_cache_cleaner_asks_which_chutes_run_and_may_do_no_more(recording: Recording) -> None:
    assert environment(recording, "gpu-0-cache-cleaner")["CLEANUP_PROTECT_RUNNING"] == "true"
    role = recording.one("kubernetes:rbac.authorization.k8s.io/v1:Role", "gpu-0-cache-cleaner").inputs
    assert role["metadata"]["namespace"] == "chutes"
    assert [(rule["apiGroups"], rule["resources"], rule["verbs"]) for rule in role["rules"]] == [
        ([""], ["pods"], ["list"])
    ]
    policy = recording.one("kubernetes:networking.k8s.io/v1:NetworkPolicy", "gpu-0-cache-cleaner").inputs["spec"]
    assert policy["ingress"] == []
    ((api_server,),) = [[int(port["port"]) for port in rule["ports"]] for rule in policy["egress"]]
    assert api_server == 6443


def test_every_pod_of_ours_has_a_policy_and_an_account_of_its_own(recording: Recording) -> None:
    policies = [item.inputs["spec"] for item in recording.of_type("kubernetes:networking.k8s.io/v1:NetworkPolicy")]
    selected = [policy["podSelector"].get("matchLabels", {}) for policy in policies]
    for name, pod in pods(recording):
        labels = pod["metadata"]["labels"]
        assert any(labels.items() >= wanted.items() for wanted in selected if wanted), name
        account = pod["spec"].get("serviceAccountName")
        assert account is not None or name in SELF_MADE, name
    assert all(set(policy["policyTypes"]) == {"Ingress", "Egress"} for policy in policies)


def test_tokens_of_the_cluster_are_given_to_programs_with_rights_alone(recording: Recording) -> None:
    bound = {
        item.inputs["subjects"][0]["name"]
        for item in recording.of_type("kubernetes:rbac.authorization.k8s.io/v1:RoleBinding")
    }
    for name, pod in pods(recording):
        spec = pod["spec"]
        expected = spec.get("serviceAccountName") in bound | {"audit-exporter"}
        assert spec["automountServiceAccountToken"] is expected, name


def test_no_right_is_a_wildcard_and_secrets_are_read_in_one_namespace_alone(recording: Recording) -> None:
    granted: dict[str, list[str]] = {}
    for item in recording.resources:
        if item.type.endswith((":Role", ":ClusterRole")):
            for rule in item.inputs["rules"]:
                assert "*" not in rule["verbs"] + rule["resources"] + rule["apiGroups"], item.name
                if "secrets" in rule["resources"]:
                    assert (item.inputs["metadata"]["namespace"], rule["verbs"]) == ("headframe-nodes", ["get"])
                    granted[item.name] = rule["resourceNames"]
    assert granted == {"gpu-0-kubeconfig": ["gpu-0"], "gpu-1-kubeconfig": ["gpu-1"]}
    for name in granted:
        bound = recording.one("kubernetes:rbac.authorization.k8s.io/v1:RoleBinding", name).inputs
        assert (bound["roleRef"]["name"], bound["metadata"]["namespace"]) == (name, "headframe-nodes")
        assert [(one["name"], one["namespace"]) for one in bound["subjects"]] == [("miner-api", "chutes")]


@pytest.mark.parametrize(("names", "verbs"), [((), ("get",)), (("gpu-0",), ("get", "list")), (("gpu-0",), ("watch",))])
def test_a_right_to_secrets_that_names_none_cannot_be_written(names: tuple[str, ...], verbs: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match="secrets are granted by name"):
        Rule(resources=("secrets",), verbs=verbs, names=names)


def test_the_seed_lies_in_credentials_and_registrations_alone(recording: Recording) -> None:
    holders = {
        (item.type, item.inputs.get("metadata", {}).get("name", ""))
        for item in recording.resources
        if HOTKEY_SEED in json.dumps(item.plain_inputs)
    }
    assert holders == {
        ("kubernetes:core/v1:Secret", "miner-credentials"),
        ("headframe:index:Registration", ""),
    }
    assert all(HOTKEY_SEED not in json.dumps(item.public_inputs) for item in recording.resources)


def test_every_program_knows_miner_and_validators_by_the_public_names(recording: Recording) -> None:
    for name in ("api", "gepetto", "monitor", "gpu-0-agent"):
        found = environment(recording, name)
        assert found["MINER_SS58"] == HOTKEY
        assert found["MINER_SEED"]["secretKeyRef"] == {"name": "miner-credentials", "key": "seed"}
        assert Validators.model_validate_json(found["VALIDATORS"]).supported[0].registry == "registry.chutes.ai"
    assert environment(recording, "monitor")["MONITOR_API"] == "http://9.0.0.10:32001"


def test_the_schema_is_up_to_date_before_the_api_starts_and_gepetto_comes_after_it(recording: Recording) -> None:
    (first,) = dict(pods(recording))["api"]["spec"]["initContainers"]
    assert (first["command"], first["args"]) == (["python3", "-m", "app.storage"], ["migrate"])
    assert "api" in dependencies(recording.one("kubernetes:apps/v1:Deployment", "gepetto"))


def test_ports_are_the_public_ones_and_show_who_calls(recording: Recording) -> None:
    found = {}
    for item in recording.of_type("kubernetes:core/v1:Service"):
        spec = item.inputs["spec"]
        if spec.get("type") == "NodePort":
            assert spec["externalTrafficPolicy"] == "Local", item.name
            found[item.name] = int(spec["ports"][0]["nodePort"])
    assert found["api"] == 32000
    assert found["monitor"] == 32001
    assert (found["gpu-0-agent"], found["gpu-1-registry-proxy"]) == (32000, 30500)


def test_a_registration_waits_for_what_it_needs_and_tells_no_kubeconfig(recording: Recording) -> None:
    item = recording.one("headframe:index:Registration", "gpu-0-registration")
    assert dependencies(item) >= {
        "api",
        "monitor",
        "gepetto",
        "gpu-0-agent",
        "gpu-0-registry-proxy",
        "gpu-0-kubeconfig",
    }
    assert "marker-kubeconfig" not in json.dumps(item.plain_inputs)
    assert item.inputs["hourlyCostUsd"] == 16.8 / 8
    secret = recording.one("kubernetes:core/v1:Secret", "gpu-0-kubeconfig")
    assert (secret.inputs["metadata"], secret.public_inputs["stringData"]) == (
        {"name": "gpu-0", "namespace": "headframe-nodes"},
        "[secret]",
    )
    tee = recording.one("headframe:index:Registration", "tee-0-registration")
    assert (tee.inputs["kind"], tee.inputs["agentApi"]) == ("tee", "http://9.0.0.9:32000")
    assert "registryTokenSha256" not in tee.inputs


def test_a_drained_node_is_told_so_and_a_dead_one_leaves_the_list(folder: Path) -> None:
    nodes = [gpu_node("gpu-0", "9.0.0.11", state="drained"), gpu_node("gpu-1", "9.0.0.12", state="dead")]
    (item,) = run_program(fleet(gpu_nodes=nodes), folder).of_type("headframe:index:Registration")
    assert (item.name, item.inputs["drained"]) == ("gpu-0-registration", True)


def test_cron_jobs_never_overlap_and_end(recording: Recording) -> None:
    jobs = {item.name: item.inputs["spec"] for item in recording.of_type("kubernetes:batch/v1:CronJob")}
    assert set(jobs) == {"tracker", "audit-exporter"} | {
        f"gpu-{index}-{name}" for index in (0, 1) for name in ("cache-cleaner", "failed-chute-cleanup")
    }
    for name, spec in jobs.items():
        assert spec["concurrencyPolicy"] == "Forbid", name
        assert spec["startingDeadlineSeconds"] > 0, name
        assert spec["jobTemplate"]["spec"]["activeDeadlineSeconds"] > 0, name
        assert not spec["schedule"].startswith("0 "), name


def test_the_tracker_reaches_the_chain_and_nothing_private(recording: Recording, folder: Path) -> None:
    (policy,) = [
        item.inputs["spec"]
        for item in recording.of_type("kubernetes:networking.k8s.io/v1:NetworkPolicy")
        if item.name == "tracker"
    ]
    lookups, chain = policy["egress"]
    assert {int(port["port"]) for port in lookups["ports"]} == {53}
    assert [int(port["port"]) for port in chain["ports"]] == [443]
    assert "10.0.0.0/8" in chain["to"][0]["ipBlock"]["except"]
    off = run_program(fleet(tracker={"enabled": False}, audit={"enabled": False}), folder)
    assert {item.name.partition("-")[0] for item in off.of_type("kubernetes:batch/v1:CronJob")} == {"gpu"}


def test_a_node_may_have_a_cache_of_its_own(recording: Recording) -> None:
    overrides = {"gpu-0": {"max_size_gb": 9}}
    assert json.loads(environment(recording, "gpu-0-cache-cleaner")["CACHE_OVERRIDES"]) == overrides
    assert json.loads(environment(recording, "gpu-1-cache-cleaner")["CACHE_OVERRIDES"]) == {}
    assert json.loads(environment(recording, "gepetto")["CACHE_OVERRIDES"]) == overrides


@pytest.mark.parametrize(("database", "told"), [({}, "true"), ({"kubeconfigs_sealed": False}, "false")])
def test_all_who_read_stored_kubeconfigs_are_told_the_same_of_their_seal(
    folder: Path, database: dict[str, object], told: str
) -> None:
    recording = run_program(fleet(database=database), folder)
    found = {name: environment(recording, name)["KUBECONFIG_SEALED"] for name in ("api", "monitor", "gepetto")}
    assert set(found.values()) == {told}, found


def test_gepettos_code_has_one_owner(folder: Path, recording: Recording) -> None:
    def code(seen: Recording) -> list[Recorded]:
        return [item for item in seen.of_type("kubernetes:core/v1:ConfigMap") if item.name == "gepetto-code"]

    mounted = {v["name"]: v for v in dict(pods(recording))["gepetto"]["spec"]["volumes"]}["code"]["configMap"]
    assert (code(recording), mounted) == ([], {"name": "gepetto-code", "optional": True})
    file = "tests/unit/infra/test_workloads.py"
    owned = run_program(fleet(gepetto={"file": file}), folder)
    (item,) = code(owned)
    assert item.inputs["data"]["gepetto.py"] == Path(__file__).read_text()
    assert item.request.retainOnDelete
    before = dict(pods(recording))["gepetto"]["metadata"]["annotations"]
    assert dict(pods(owned))["gepetto"]["metadata"]["annotations"] != before, "other code restarts it"
    assert code(run_program(fleet(gepetto={"source": "cluster", "file": file}), folder)) == []
    with pytest.raises(pulumi.RunError, match=r"gepetto.file: no/such.py cannot be read"):
        run_program(fleet(gepetto={"file": "no/such.py"}), folder)


def test_a_rotated_password_restarts_its_readers_and_nobody_else(folder: Path, recording: Recording) -> None:
    nodes = [gpu_node("gpu-0", "9.0.0.11", model_cache={"max_size_gib": 9}), gpu_node("gpu-1", "9.0.0.12"), TEE]
    turned = dict(pods(run_program(fleet(gpu_nodes=nodes, database={"redis_password_rotation": 2}), folder)))
    changed = {name for name, pod in pods(recording) if turned[name]["metadata"] != pod["metadata"]}
    assert changed == {"api", "gepetto", "monitor", "redis", "audit-exporter"}


def test_a_seed_of_another_hotkey_is_refused_and_never_shown() -> None:
    file = json.dumps({"ss58Address": HOTKEY, "secretSeed": f"0x{HOTKEY_SEED}"})
    assert checked_seed(f" {HOTKEY_SEED}\n", HOTKEY) == HOTKEY_SEED
    assert checked_seed(file, HOTKEY) == f"0x{HOTKEY_SEED}"
    for seed, words in (("12" * 32, "belongs to"), ("short", "64 hex digits"), ("{}", "no hotkey file")):
        with pytest.raises(pulumi.RunError, match=words) as caught:
            checked_seed(seed, HOTKEY)
        assert seed not in str(caught.value) or seed == "{}"
