"""What the engine's toolchain decides from versions, checksums and options."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest
from google.protobuf.struct_pb2 import Struct
from pulumi.runtime.proto.language_pb2 import ProgramInfo

from lab.engine.download import checksum_in
from lab.engine.environment import engine_environment, passphrase_file
from lab.engine.language.interpreters import UnknownToolchainError, environment_of
from lab.engine.releases import helm, pulumi
from lab.engine.serving import engine_address
from lab.engine.toolchain import Toolchain, fits, version_in

HASH = "ab" * 32


@pytest.mark.parametrize(
    ("text", "version"),
    [
        ("v3.250.0\n", (3, 250, 0)),
        ('version.BuildInfo{Version:"v3.19.5", GitCommit:""}', (3, 19, 5)),
        ("3.19", (3, 19, 0)),
        ("", ()),
    ],
)
def test_a_version_is_read_from_what_a_program_says(text: str, version: tuple[int, ...]) -> None:
    assert version_in(text) == version


@pytest.mark.parametrize(
    ("version", "good"), [((3, 250, 0), True), ((3, 300), True), ((2, 9), False), ((4, 0, 0), False), ((), False)]
)
def test_only_versions_in_the_range_fit(version: tuple[int, ...], good: bool) -> None:
    assert fits(version, pulumi()) is good


def test_a_release_names_one_archive_per_machine() -> None:
    assert pulumi("x86_64").archive.endswith("-linux-x64.tar.gz")
    assert pulumi("aarch64").archive.endswith("-linux-arm64.tar.gz")
    assert helm("x86_64").member == "linux-amd64/helm"
    assert pulumi().version in pulumi().module.linker_flags


def test_a_checksum_is_found_by_file_name_or_alone() -> None:
    text = f"{'00' * 32}  other.tar.gz\n{HASH}  wanted.tar.gz\n"
    assert checksum_in(text, "wanted.tar.gz") == HASH
    assert checksum_in(HASH.upper() + "\n", "anything") == HASH
    assert checksum_in(text, "third.tar.gz") is None
    assert checksum_in("<html>not found</html>", "wanted.tar.gz") is None


def test_the_environment_is_the_clones_own(tmp_path: Path) -> None:
    toolchain = Toolchain(tmp_path / "bin", tmp_path / "home", {"command": "stand-in"})
    base = {"PATH": "/usr/bin", "PULUMI_ACCESS_TOKEN": "of another stack", "HOME": "/root"}
    environment = engine_environment(toolchain, tmp_path / "state", base)
    assert environment["PATH"] == f"{tmp_path}/bin{os.pathsep}/usr/bin"
    assert environment["PULUMI_BACKEND_URL"] == f"file://{tmp_path}/state/pulumi"
    assert environment["PULUMI_CONTINUE_ON_ERROR"] == "true"
    assert environment["PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION"] == "true"
    assert "PULUMI_ACCESS_TOKEN" not in environment
    assert environment["HOME"] == "/root"


def test_official_plugins_may_be_fetched(tmp_path: Path) -> None:
    toolchain = Toolchain(tmp_path / "bin", tmp_path / "home", {"command": "official 1.2.1"})
    assert "PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION" not in engine_environment(toolchain, tmp_path / "state", {})


def test_the_passphrase_is_made_once_and_is_the_owners(tmp_path: Path) -> None:
    path = passphrase_file(tmp_path)
    first = path.read_text()
    assert len(first) >= 32
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert passphrase_file(tmp_path).read_text() == first


def test_the_engines_address_is_the_last_plain_argument() -> None:
    assert engine_address(["--logtostderr", "-v=9", "127.0.0.1:4711"]) == "127.0.0.1:4711"
    assert engine_address(["--root", "/somewhere", "127.0.0.1:1"]) == "127.0.0.1:1"
    assert engine_address([]) == ""


def info(root: Path, **options: str) -> ProgramInfo:
    struct = Struct()
    struct.update(options)
    return ProgramInfo(root_directory=str(root), program_directory=str(root), entry_point=".", options=struct)


def test_a_named_environment_is_the_programs_python(tmp_path: Path) -> None:
    assert environment_of(info(tmp_path, virtualenv=".venv")).python == tmp_path / ".venv/bin/python"
    assert environment_of(info(tmp_path, toolchain="uv")).python == tmp_path / ".venv/bin/python"


def test_packages_come_from_the_lock_the_requirements_or_nowhere(tmp_path: Path) -> None:
    assert environment_of(info(tmp_path)).install == ()
    (tmp_path / "requirements.txt").touch()
    assert environment_of(info(tmp_path)).install == ()
    assert environment_of(info(tmp_path, virtualenv="venv")).install[1:4] == ("-m", "pip", "install")
    (tmp_path / "uv.lock").touch()
    assert environment_of(info(tmp_path, virtualenv="venv")).install == ("uv", "sync", "--frozen")


def test_another_toolchain_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UnknownToolchainError, match="poetry"):
        environment_of(info(tmp_path, toolchain="poetry"))
