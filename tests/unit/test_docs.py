"""What the documentation names is there, and what is there it names."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

import click
import pytest

from proctor import schema
from proctor.cli import proctor
from proctor.events import EVENT_TYPES
from proctor.reasons import REASONS

CHECKOUT: Final = Path(__file__).resolve().parents[2]
DOCS: Final = CHECKOUT / "docs"
PAGES: Final = sorted([*CHECKOUT.glob("*.md"), *DOCS.glob("*.md")])
EVENTS: Final = (DOCS / "events.md").read_text()
COMMANDS: Final = (DOCS / "commands.md").read_text()


def section(text: str, title: str) -> str:
    match = re.search(rf"^##+ {title}.*?(?=^##|\Z)", text, re.MULTILINE | re.DOTALL)
    assert match, f"no section {title}"
    return match[0]


@pytest.mark.parametrize("name", EVENT_TYPES)
def test_every_field_of_an_event_is_documented(name: str) -> None:
    described = section(EVENTS, f"{name}:")
    missing = [f for f in schema.load()["$defs"][name]["properties"] if f"`{f}`" not in described]
    assert not missing


def test_every_part_of_an_event_is_documented() -> None:
    definitions = schema.load()["$defs"]
    for name in ("call_connection", "request", "response", "usage", "missing_part"):
        for field in definitions[name]["properties"]:
            assert f"`{field}`" in section(EVENTS, "call:")
    for field in definitions["process_object"]["properties"]:
        assert f"`{field}`" in section(EVENTS, "process\n")


def test_the_reasons_are_those_of_the_catalogue() -> None:
    table = re.search(r"<!-- reasons -->\n(.*)<!-- /reasons -->", EVENTS, re.DOTALL)
    assert table
    wanted = ["| reason | |", "|---|---|"]
    wanted += [f"| `{reason}` | {text} |" for reason, text in REASONS.items()]
    assert table[1].splitlines() == wanted, "write the table anew: " + "\n".join(wanted)


@pytest.mark.parametrize("command", sorted(proctor.commands))
def test_every_command_and_option_is_documented(command: str) -> None:
    described = section(COMMANDS, f"{command}\n")
    for parameter in proctor.commands[command].params:
        if isinstance(parameter, click.Option):
            for name in parameter.opts:
                assert f"`{name}`" in described, f"{command} {name}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    targets = re.findall(r"\]\((?!https?:)([^)#]+)[^)]*\)", page.read_text())
    assert not [target for target in targets if not (page.parent / target).exists()]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_that_are_shown_exist(page: Path) -> None:
    text = page.read_text()
    offered = re.findall(r"^\./dev (\w+)", (CHECKOUT / "dev").read_text(), re.MULTILINE)
    assert set(re.findall(r"\./dev ([a-z]+)", text)) <= set(offered)
    shown = re.findall(r"^ {4}(?:sudo )?proctor (\w+)([^#|\n]*)", text, re.MULTILINE)
    shown += re.findall(r"`(?:sudo )?proctor (-*\w+)([^`|]*)", text)
    for name, arguments in shown:
        if name == "--version":
            continue
        parameters = proctor.commands[name].params
        known = {option for each in parameters for option in each.opts}
        used = re.findall(r"(?<!\S)--?[a-z][a-z-]*", arguments.partition(" -- ")[0])
        once = {re.sub(r"^-(\w)\1+$", r"-\1", option) for option in used}  # as -vv is
        assert once <= known


def test_every_page_is_in_the_list() -> None:
    listed = re.findall(r"^\| \[.*?\]\(([\w.-]+\.md)\)", (DOCS / "README.md").read_text(), re.M)
    assert sorted(listed) == sorted({page.name for page in DOCS.glob("*.md")} - {"README.md"})


def examples() -> list[str]:
    text = (DOCS / "python.md").read_text()
    return re.findall(r"(?<!-->\n)^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


def test_some_examples_are_run_and_only_those_that_need_privilege_are_not() -> None:
    text = (DOCS / "python.md").read_text()
    assert len(examples()) == text.count("```python") - text.count("<!-- not run: needs privilege")
    assert len(examples()) == 2
