"""What the documents tell people to type exists as they write it."""

from __future__ import annotations

import re
import shlex
import tomllib
from pathlib import Path

import pytest
import typer

from datagen.commands.app import app
from datagen.config.config import DatagenConfig

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
COMMAND = re.compile(r"^(?:\$ )?(datagen .+?)(?:\s+#.*)?$", re.MULTILINE)
INLINE = re.compile(r"`(datagen [^`]+)`")


def _commands(text: str) -> list[str]:
    blocks = re.findall(r"```sh\n(.*?)```", text, re.DOTALL)
    return [c for block in blocks for c in COMMAND.findall(block)] + INLINE.findall(text)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_command_shown_is_one_that_the_command_line_takes(document: Path) -> None:
    group = typer.main.get_command(app)
    for line in _commands(document.read_text()):
        name, *arguments = shlex.split(line.replace("...", ""))[1:] or ["--help"]
        if name.startswith("-"):
            continue
        command = group.commands.get(name)  # type: ignore[attr-defined]
        while getattr(command, "commands", None) and arguments:  # a group of commands, such as catalog
            command = command.commands.get(arguments.pop(0))
        assert command is not None, f"{document.name}: {line}"
        options = {option for parameter in command.params for option in parameter.opts}
        for argument in arguments:
            if argument.startswith("-") and len(argument) > 1:
                assert argument.split("=")[0] in options, f"{document.name}: {line}: {argument}"


def test_the_configuration_in_the_readme_is_one() -> None:
    (block,) = re.findall(r"```toml\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    config = DatagenConfig.model_validate(tomllib.loads(block))
    assert config.cluster.choose("big").kind == "slurm"


def test_every_command_has_its_line_in_the_readme() -> None:
    shown = {shlex.split(line)[1] for line in _commands((ROOT / "README.md").read_text())}
    group = typer.main.get_command(app)
    assert set(group.commands) - shown == {"demo"}  # type: ignore[attr-defined]
