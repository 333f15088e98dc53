"""`headframe init`: what it asks, what it refuses at once, and the file that comes of it. No machine is looked at."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx
import pytest
import respx
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, PrivateFormat
from rich.console import Console
from ruamel.yaml import YAML

from app.protocol.signing import Signer
from infra.cli.app import app
from infra.cli.engine import Engine, EngineError
from infra.cli.init import checks
from infra.cli.init.askers import AnswerFile, BadAnswerError, Terminal
from infra.cli.init.command import EXAMPLE, InitError, write_stack
from infra.cli.init.interview import Answers, interview
from infra.cli.init.key_files import KeyFileError, hotkey_address, hotkey_file_text, private_key_text
from infra.cli.init.new_file import composed, is_configured
from infra.cli.init.probe import Machine, RealProbe, checksum_in, fingerprint
from infra.cli.stack_file import settings_of
from infra.settings.load import validate
from infra.spec import GpuFacts, HostFacts
from tests.support.settings import HOST_KEY, HOTKEY, HOTKEY_SEED
from tests.support.specs import key_pair

DEFAULTS: Mapping[str, Any] = settings_of(EXAMPLE.read_text())
NODE = {"name": "gpu-0", "address": "9.0.0.11", "host_key": "yes", "hourly_cost_usd": 16.8}
FACTS = HostFacts(
    os_id="ubuntu", os_version="22.04", cores=96, ram_mib=1_040_000,
    gpus=tuple(GpuFacts(index=i, name="NVIDIA H100 80GB HBM3", uuid=f"g{i}", memory_mib=81559) for i in range(8)),
)  # fmt: skip


class OneKindOfMachine:
    """Every machine shows the same key and is the same; 9.0.0.99 does not answer."""

    def __init__(self) -> None:
        self.looked: list[Machine] = []

    def host_key(self, host: str, port: int) -> str | None:
        assert port > 0
        return None if host == "9.0.0.99" else HOST_KEY

    def facts(self, machine: Machine) -> tuple[HostFacts | None, str]:
        self.looked.append(machine)
        return (None, "it does not take SSH") if machine.host == "9.0.0.99" else (FACTS, "")

    def k3s_checksum(self, version: str) -> str | None:
        return "a" * 64 if version == "v1.33.4+k3s1" else None

    def chart_digest(self, repository: str, chart: str, version: str) -> str | None:
        assert repository.startswith("https://")
        return "d" * 64 if chart == "gpu-operator" and version else None


@pytest.fixture
def key(tmp_path: Path) -> Path:
    path = tmp_path / "id_ed25519"
    path.write_text(key_pair()[0])
    return path


def answers(key: Path, **changes: object) -> dict[str, Any]:
    control = {"address": "9.0.0.10", "host_key": "yes"}
    return {"ssh_key": str(key), "hotkey": HOTKEY, "control": control, "gpu_nodes": [NODE], **changes}


def asked_in_a_file(tree: Mapping[str, Any]) -> Answers:
    return interview(AnswerFile(tree, Console(file=io.StringIO())), OneKindOfMachine(), DEFAULTS)


def test_what_was_measured_need_not_be_typed(key: Path) -> None:
    found = asked_in_a_file(answers(key))
    assert found.control["cores"] == 96
    assert found.kubernetes["sha256"] == "a" * 64
    (node,) = found.gpu_nodes
    assert (node["gpu"], node["gpu_count"], node["ram_gib"]) == ("h100_sxm", 8, 1016)
    assert node["ssh"] == {"user": "root", "host_key": HOST_KEY}
    assert key_pair()[0] not in repr(found)


def test_the_file_holds_the_answers_with_comments_and_is_valid(key: Path) -> None:
    tee = {"name": "tee-0", "kind": "tee", "address": "9.0.0.12", "gpu": "h200", "gpu_count": 8, "hourly_cost_usd": 24}
    found = asked_in_a_file(answers(key, gpu_nodes=[NODE, tee]))
    existing = "config:\n  headframe:ssh_private_key:\n    secure: v1:abc\nencryptionsalt: v1:salt\n"
    text = composed(EXAMPLE.read_text(), existing, found)
    assert validate(settings_of(text)) == []
    loaded = YAML(typ="safe").load(text)
    assert loaded["encryptionsalt"] == "v1:salt"
    assert loaded["config"]["headframe:ssh_private_key"] == {"secure": "v1:abc"}
    assert settings_of(text)["gpu_nodes"] == found.gpu_nodes
    assert "# At least 4 cores" in text or "At least 4 cores" in text
    for of_the_example in ("203.0.113", "placeholder", "put yours", "documentation examples"):
        assert of_the_example not in text
    assert is_configured(text)
    assert not is_configured(existing)
    assert not is_configured("")


@pytest.mark.parametrize(
    ("changes", "wrong"),
    [
        ({"hotkey": "5abc"}, "neither an SS58 address nor a hotkey file"),
        ({"ssh_key": "/nowhere"}, "cannot be read"),
        ({"operator_networks": "10.0.0.1/8"}, "wanted for example"),
        ({"kubernetes": {"version": "1.33"}}, "no version such as"),
        ({"kubernetes": {"version": "v1.34.1+k3s1"}}, "kubernetes.sha256: no answer"),
        ({"kubernetes": {"source": "ftp://x"}}, "neither https:// nor file:///"),
        ({"control": {"address": "192.168.0.1"}}, "not a public unicast address"),
        ({"control": {"address": "9.0.0.10"}}, "control.host_key: no answer"),
        ({"control": {"address": "9.0.0.10", "host_key": "nonsense"}}, "is not a public key"),
        ({"control": {"address": "9.0.0.10", "host_key": "yes", "cores": 2}}, "control-host-size"),
        ({"control": {"address": "9.0.0.99", "host_key": "yes"}}, "no key to say yes to"),
        ({"gpu_nodes": [{**NODE, "name": "Gpu_0"}]}, "not a DNS label"),
        ({"gpu_nodes": [{**NODE, "name": "control"}]}, "is taken"),
        ({"gpu_nodes": [{**NODE, "address": "9.0.0.10"}]}, "also the address of"),
        ({"gpu_nodes": [{**NODE, "ram_gib": 64}]}, "gpu-ram-covers-vram"),
        ({"gpu_nodes": [{**NODE, "gpu": "h900"}]}, "is not known"),
        ({"gpu_nodes": [{**NODE, "gpu_count": 0}]}, "no number above 0"),
        ({"gpu_nodes": [{**NODE, "hourly_cost_usd": "dear"}]}, "is no number"),
        ({"gpu_nodes": [{**NODE, "kind": "tea"}]}, "neither bare nor tee"),
        ({"gpu_nodes": [{**NODE, "ssh_user": "Root"}]}, "not the name of an account"),
    ],
)
def test_a_wrong_answer_in_a_file_is_told_by_its_key(key: Path, changes: dict[str, object], wrong: str) -> None:
    with pytest.raises(BadAnswerError) as caught:
        asked_in_a_file(answers(key, **changes))
    assert wrong in str(caught.value)


def test_a_machine_that_does_not_answer_is_described_by_hand(key: Path) -> None:
    away = {**NODE, "address": "9.0.0.99", "host_key": HOST_KEY, "gpu": "h100", "gpu_count": 1, "ram_gib": 128}
    said = io.StringIO()
    asker = AnswerFile(
        answers(key, gpu_nodes=[{**away, "ssh_port": 2222, "ssh_host": "gpu.example.net"}]), Console(file=said)
    )
    probe = OneKindOfMachine()
    (node,) = interview(asker, probe, DEFAULTS).gpu_nodes
    assert node["ssh"] == {"user": "root", "host_key": HOST_KEY, "host": "gpu.example.net", "port": 2222}
    found = asked_in_a_file(answers(key, gpu_nodes=[away])).gpu_nodes
    assert found[0]["ram_gib"] == 128


def test_a_person_is_asked_again_and_shown_the_fingerprint(key: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given = iter(
        ["/nowhere", str(key), HOTKEY, "", "", "file:///opt/k3s", "", "", "10.0.0.1", "9.0.0.10", "", "", "", "yes",
         "2", "", "", "9.0.0.10", "", "", "", "yes", "", "", ""]
    )  # fmt: skip
    said = io.StringIO()
    console = Console(file=said, width=200)
    monkeypatch.setattr(console, "input", lambda prompt, **_: next(given))
    found = interview(Terminal(console), OneKindOfMachine(), DEFAULTS)
    assert found.kubernetes == {"version": "v1.33.4+k3s1", "source": "file:///opt/k3s"}
    assert found.control["cores"] == 96
    assert found.gpu_nodes == []
    text = said.getvalue()
    assert "cannot be read" in text
    assert "not a public unicast address" in text
    assert fingerprint(HOST_KEY) in text
    assert "control-host-size" in text


def test_private_keys_with_a_passphrase_are_refused_and_never_quoted(tmp_path: Path) -> None:
    locked = Ed25519PrivateKey.generate()
    for number, form in enumerate((PrivateFormat.OpenSSH, PrivateFormat.PKCS8)):
        text = locked.private_bytes(Encoding.PEM, form, BestAvailableEncryption(b"word")).decode()
        path = tmp_path / f"locked-{number}"
        path.write_text(text)
        with pytest.raises(KeyFileError, match="passphrase") as caught:
            private_key_text(str(path))
        assert text.splitlines()[1] not in str(caught.value)
    (tmp_path / "none").write_text("hello")
    with pytest.raises(KeyFileError, match="no private key"):
        private_key_text(str(tmp_path / "none"))


def test_a_hotkey_file_gives_its_address(tmp_path: Path) -> None:
    seed = "0x" + "17" * 32
    address = Signer.from_seed(seed).ss58
    path = tmp_path / "hotkey.json"
    path.write_text(json.dumps({"ss58Address": address, "secretSeed": seed}))
    assert hotkey_address(str(path)) == address
    assert checks.hotkey(str(path)) is None
    assert hotkey_file_text(str(path)) == path.read_text()
    assert hotkey_file_text(HOTKEY) is None


def test_checksums_are_read_from_the_releases_list() -> None:
    listing = f"{'b' * 64}  k3s-airgap-images-amd64.tar\n{'c' * 64}  k3s\n"
    assert checksum_in(listing) == "c" * 64
    assert checksum_in("") is None
    place = "https://github.com/k3s-io/k3s/releases/download/v1.33.4%2Bk3s1/sha256sum-amd64.txt"
    with respx.mock:
        respx.get(place).mock(side_effect=[httpx.Response(200, text=listing), httpx.ConnectError("none")])
        assert RealProbe().k3s_checksum("v1.33.4+k3s1") == "c" * 64
        assert RealProbe().k3s_checksum("v1.33.4+k3s1") is None


class KeptSecrets(Engine):
    """An engine that keeps secrets as text would be kept, and has one stack."""

    def stack_name(self) -> str:
        return "test"

    def quietly(self, *arguments: str, stdin: str = "") -> str:
        assert arguments == ("config", "set", "--secret", "ssh_private_key")
        assert "PRIVATE KEY" in stdin
        file = Path(self.environment["PULUMI_OPTION_CONFIG_FILE"])
        file.write_text("encryptionsalt: v1:s\nconfig:\n  headframe:ssh_private_key:\n    secure: v1:x\n")
        return ""


def test_the_stack_is_written_once(key: Path, tmp_path: Path) -> None:
    file = tmp_path / "Pulumi.test.yaml"
    engine = KeptSecrets(environment={"PULUMI_OPTION_CONFIG_FILE": str(file), "PULUMI_CONFIG_PASSPHRASE": ""})
    console = Console(file=io.StringIO())
    wrong = answers(key, control={"address": "9.0.0.10", "adress": "9", "host_key": "yes"})
    with pytest.raises(InitError, match=r"nobody asked for control\.adress"):
        write_stack(engine, AnswerFile(wrong, console), OneKindOfMachine())
    assert not file.exists()
    assert write_stack(engine, AnswerFile(answers(key), console), OneKindOfMachine()) == file
    assert "secure: v1:x" in file.read_text()
    with pytest.raises(InitError, match="has settings already"):
        write_stack(engine, AnswerFile(answers(key), console), OneKindOfMachine())
    write_stack(engine, AnswerFile(answers(key), console), OneKindOfMachine(), overwrite=True)


class NobodyAsks(AnswerFile):
    """An asker that must not be asked."""

    def ask(self, key: str, text: str, offer: object) -> str:
        raise AssertionError(key)


@pytest.mark.parametrize(
    ("environment", "said"),
    [({}, "need its passphrase"), ({"PULUMI_CONFIG_PASSPHRASE_FILE": "/nowhere"}, "/nowhere")],
)
def test_a_stack_whose_secrets_could_not_be_kept_is_told_before_the_first_question(
    tmp_path: Path, environment: dict[str, str], said: str
) -> None:
    file = tmp_path / "Pulumi.test.yaml"
    file.write_text("encryptionsalt: v1:s\n")
    engine = KeptSecrets(environment={"PULUMI_OPTION_CONFIG_FILE": str(file), **environment})
    with pytest.raises(InitError, match=said):
        write_stack(engine, NobodyAsks({}, Console(file=io.StringIO())), OneKindOfMachine())


def test_the_command_says_what_it_lacks(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def run(*words: str) -> int:
        return int(app(["init", *words], exit_on_error=False, result_action="return_value"))

    def no_stack(self: Engine) -> str:
        raise EngineError("no stack selected")

    monkeypatch.setattr(Engine, "stack_name", no_stack)
    monkeypatch.setattr("sys.stdin", io.StringIO())
    assert run() == 1
    assert "--answers" in capsys.readouterr().err
    file = tmp_path / "answers.yaml"
    assert run("--answers", str(file)) == 1
    file.write_text("- a")
    assert run("--answers", str(file)) == 1
    assert "holds no answers" in capsys.readouterr().err
    file.write_text("ssh_key: x")
    assert run("--answers", str(file)) == 1
    assert "pulumi stack init prod" in capsys.readouterr().err


def test_files_in_the_home_folder_may_be_named_as_a_shell_names_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "hotkey").write_text(json.dumps({"ss58Address": HOTKEY, "secretSeed": HOTKEY_SEED}))
    assert hotkey_address("~/hotkey") == HOTKEY
    assert hotkey_file_text("~/hotkey") == (tmp_path / "hotkey").read_text()
