"""`headframe init`: asks, looks, and writes the stack's file once nothing speaks against it; secrets encrypted."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Final

from cyclopts import Parameter
from rich.console import Console
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from infra.cli import stack_file
from infra.cli.engine import CLONE, OWN_PASSPHRASE, Engine, EngineError, passphrase
from infra.cli.init.askers import AnswerFile, Asker, BadAnswerError, Terminal
from infra.cli.init.interview import Answers, interview
from infra.cli.init.new_file import composed, is_configured
from infra.cli.init.probe import Probe, RealProbe
from infra.settings.load import validate
from infra.settings.secrets import HOTKEY_SEED, SSH_PRIVATE_KEY

EXAMPLE: Final = CLONE / "stacks" / "Pulumi.example.yaml"
_NO_STACK: Final = "First choose a stack: pulumi stack init prod (or pulumi stack select NAME)"


class InitError(RuntimeError):
    """Nothing was written, or only secrets; the text says what to do."""


def init(
    *,
    answers: Annotated[Path | None, Parameter(help="YAML file of answers, in place of a terminal.")] = None,
    overwrite: Annotated[bool, Parameter(help="Also where the stack has settings already.")] = False,
    stack: Annotated[str | None, Parameter(name=["--stack", "-s"], help="Stack; default: the selected one.")] = None,
) -> int:
    """Ask for addresses, keys and hotkey, look at each machine, and write the stack file with secrets encrypted."""
    console = Console()
    try:
        asker = _asker(answers, console)
        path = write_stack(Engine(stack=stack), asker, RealProbe(), overwrite=overwrite)
    except (InitError, BadAnswerError, EngineError, stack_file.StackFileError) as error:
        print(error, file=sys.stderr)
        return 1
    except (KeyboardInterrupt, EOFError):
        print("ended; nothing was written", file=sys.stderr)
        return 130
    console.print(f"{path} is written. Next: headframe doctor, then pulumi preview", highlight=False, soft_wrap=True)
    return 0


def write_stack(engine: Engine, asker: Asker, probe: Probe, *, overwrite: bool = False) -> Path:
    """The whole of it; answers where the file is.

    Raises:
        InitError: there are settings already, or the answers together break a rule; nothing was written.
        BadAnswerError: an answer is wrong or missing; nothing was written.
        infra.cli.engine.EngineError: there is no stack, or a secret could not be stored.
    """
    path = _path(engine)
    existing = path.read_text() if path.exists() else ""
    if is_configured(existing) and not overwrite:
        raise InitError(f"{path} has settings already: edit it, `headframe node add`, or `headframe init --overwrite`")
    _must_be_able_to_keep_secrets(engine, existing)
    example = EXAMPLE.read_text()
    found = interview(asker, probe, stack_file.settings_of(example))
    if isinstance(asker, AnswerFile) and (unused := asker.unused()):
        raise InitError(f"nobody asked for {', '.join(unused)}: is it misspelt?")
    _must_be_valid(composed(example, existing, found))
    _keep_secrets(engine, found)
    existing = path.read_text()  # the engine put secrets and their salt there
    stack_file.write(path, composed(example, existing, found))
    return path


def _asker(answers: Path | None, console: Console) -> Asker:
    if answers is None:
        if not sys.stdin.isatty():
            raise InitError("no terminal to ask at: give a file of answers with --answers FILE")
        return Terminal(console)
    try:
        tree = YAML(typ="safe").load(answers.read_text())
    except (OSError, YAMLError) as error:
        raise InitError(f"{answers} cannot be read: {error}") from None
    if not isinstance(tree, dict):
        raise InitError(f"{answers} holds no answers: wanted a mapping such as `control: {{name: control}}`")
    return AnswerFile(tree, console)


def _path(engine: Engine) -> Path:
    try:
        name = engine.stack_name()
    except EngineError as error:
        raise InitError(f"{error}\n{_NO_STACK}") from None
    return stack_file.stack_file(CLONE, name, engine.environment)


def _must_be_valid(text: str) -> None:
    mistakes = validate(stack_file.settings_of(text))
    if mistakes:
        listed = "\n".join(f"  {mistake.path}: {mistake.wrong}" for mistake in mistakes)
        raise InitError(f"these answers do not make a fleet; nothing was written:\n{listed}")


def _must_be_able_to_keep_secrets(engine: Engine, existing: str) -> None:
    """Asked before anything else: at the end of the questions it would cost all answers."""
    try:
        if OWN_PASSPHRASE not in existing or passphrase(engine.environment) is not None:
            return
        seen = "this stack's secrets need its passphrase"
    except OSError as error:
        seen = f"the file of the stack's passphrase cannot be read: {error}"
    raise InitError(f"{seen}; nothing was asked. Set PULUMI_CONFIG_PASSPHRASE_FILE to a file that holds it")


def _keep_secrets(engine: Engine, answers: Answers) -> None:
    """On standard input, so that no list of processes shows one."""
    engine.quietly("config", "set", "--secret", SSH_PRIVATE_KEY, stdin=answers.ssh_private_key)
    if answers.hotkey_file is not None:
        engine.quietly("config", "set", "--secret", HOTKEY_SEED, stdin=answers.hotkey_file)
