"""Every command that a help text or a page shows can be typed: its options exist, and the keys that it sets."""

import re

import pytest

from benchmarks.docs.page import commands_of
from benchmarks.docs.reference.config_page import GROUPS, all_keys
from benchmarks.docs.reference.parsers import COMMANDS, EXTRAS, STAGES, examples, parser_of
from benchmarks.docs.typed import calls, described, mistake
from tests.conftest import REPOSITORY

KEYS = {re.split(r"\[\]|\.NAME", key.name)[0] for group in GROUPS for key in all_keys(group)}
WITH_PARSER = [name for name in (*STAGES, *COMMANDS, *EXTRAS) if name != "sweep"]
PAGES = [REPOSITORY / "README.md", REPOSITORY / "CONTRIBUTING.md", *sorted((REPOSITORY / "docs").rglob("*.md"))]
LEAST_EXAMPLES = 3


@pytest.fixture(scope="module")
def parsers():
    return {name: parser_of(name) for name in WITH_PARSER}


def shell_lines(page):
    """The lines that a page shows to type; those that go on are one."""
    for command in commands_of(page):
        if not command.exit_code:
            yield from command.text.replace("\\\n", " ").splitlines()


@pytest.mark.slow
@pytest.mark.parametrize("command", WITH_PARSER)
def test_a_help_text_has_three_examples_that_can_be_typed(parsers, command):
    lines = [line for line in examples(parsers[command].epilog) if line.startswith(("python", "dvc"))]
    assert len(lines) >= LEAST_EXAMPLES
    for line in lines:
        for name, words in calls(described(line)):
            assert mistake(name, words, parsers, KEYS) is None, line


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_what_a_page_shows_can_be_typed(parsers, page):
    for line in shell_lines(page):
        for name, words in calls(line):
            assert mistake(name, words, parsers, KEYS) is None, line


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("python -m stages.compose --keep quant=a8w4 && dvc repro", [("compose", ["--keep", "quant=a8w4"])]),
        ("python -m stages.scan 'a b.onnx'   # what runs", [("scan", ["a b.onnx"])]),
        ("cp a b", []),
        ("python -m stages.export | tail -1; python -m stages.build.pluto x", [("export", []), ("build.pluto", ["x"])]),
    ],
)
def test_the_calls_in_a_line(line, found):
    assert list(calls(line)) == found


@pytest.mark.parametrize(
    ("command", "words", "said"),
    [
        ("export", ["--debug"], None),
        ("export", ["--keep"], "export does not take --keep"),
        ("compose", ["quant.weight_bit=4"], "there is no key quant.weight_bit"),
        ("compose", ["model.torch.arguments.n=4"], None),
        ("sweep", ["--multirun", "sweep.metric=map"], None),
        ("sweep", ["--points"], "sweep has no option --points"),
        ("exprot", [], "there is no command exprot"),
    ],
)
def test_a_mistake_is_named(command, words, said):
    parsers = {"export": parser_of("export"), "compose": parser_of("compose")}
    assert mistake(command, words, parsers, KEYS) == said
