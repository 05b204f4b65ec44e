"""The pages of docs/reference are what the code says, and leave nothing out."""

import re

import pytest
import yaml
from omegaconf import OmegaConf

from benchmarks.docs.reference.__main__ import FOLDER, PAGES, PICTURES_FOLDER, run
from benchmarks.docs.reference.commands_page import SUMMARIES
from benchmarks.docs.reference.config_page import rerun_stages
from benchmarks.docs.reference.finding_pictures import PICTURES
from benchmarks.docs.reference.findings_page import FINDINGS, INFORMATION, findings_page
from benchmarks.docs.reference.parsers import COMMANDS, EXTRAS, STAGES, examples, parser_of
from benchmarks.docs.reference.text import sentence, table
from stages.compare.diagnose.finding import KINDS
from stages.core.base.errors import UserError
from stages.core.config.schema import Config
from tests.conftest import REPOSITORY, run_here

STAGES_OF_DVC = yaml.safe_load((REPOSITORY / "dvc.yaml").read_text(encoding="utf-8"))["stages"]
DVC = {name: stage.get("do", stage) for name, stage in STAGES_OF_DVC.items()}
SHOWN = ["init", "scan", "compose", "bisect", "autotune", "infer", "check", "profile", "toolchain", *EXTRAS]
"""Commands whose parser makes their help text: Hydra makes that of a sweep."""


@pytest.fixture
def repository(monkeypatch):
    monkeypatch.chdir(REPOSITORY)


def flat(node, prefix=""):
    """Keys of a config; a list or an empty dict ends there."""
    for key, value in node.items():
        if isinstance(value, dict) and value:
            yield from flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}"


def test_every_key_has_a_place_on_the_page():
    text = (REPOSITORY / FOLDER / "config.md").read_text(encoding="utf-8")
    titles = re.findall(r"^### `(.+)`$", text, re.MULTILINE)
    parts = {re.split(r"\[\]|\.NAME", title)[0] for title in titles}
    keys = set(flat(OmegaConf.to_container(OmegaConf.structured(Config))))
    listed = {*titles, *parts, *re.findall(r"`(watch\.\w+)`", text)}
    assert keys <= listed
    assert len(titles) == len(set(titles))


def test_every_key_says_what_it_means():
    text = (REPOSITORY / FOLDER / "config.md").read_text(encoding="utf-8")
    sections = re.split(r"^### `.+`\n", text, flags=re.MULTILINE)[1:]
    assert all(re.match(r"\n[^-\s#]", section) for section in sections)


@pytest.mark.parametrize("name", ["config.md", "findings.md"])
def test_a_page_is_what_the_code_says(repository, name):
    run([name], check_only=True)


@pytest.mark.slow
@pytest.mark.parametrize("name", PAGES)
def test_all_pages_are_what_the_code_says(repository, name):
    run([name], check_only=True)


def test_a_page_that_would_change_is_refused(repository, tmp_path, monkeypatch):
    monkeypatch.setattr("benchmarks.docs.reference.__main__.FOLDER", tmp_path)
    (tmp_path / "findings.md").write_text(findings_page() + "more\n")
    with pytest.raises(UserError, match=r"findings\.md is not what the code says"):
        run(["findings.md"], check_only=True)
    run(["findings.md"], check_only=False)
    assert (tmp_path / "findings.md").read_text() == findings_page()


@pytest.mark.parametrize(
    ("key", "stages"),
    [
        ("quant.weight_bits", ["quantize", "evaluate", "compare", "build", "compile", "track"]),
        ("compare.cures", ["compare", "track"]),
        ("model.inputs[].mean", list(STAGES)),
        ("model.preprocess.fit", list(STAGES)[1:]),
        ("soc.toolchain.path", ["build", "compile", "track"]),
        ("track.experiment", ["track"]),
        ("data.debug.size", ["compare", "build", "compile", "track"]),
        ("sweep.metric", []),
    ],
)
def test_what_a_change_of_a_key_runs(key, stages):
    assert rerun_stages(key, DVC) == stages


def test_all_findings_are_described():
    assert list(FINDINGS) == list(KINDS)
    written = re.findall(
        r"Finding\(\s*\"(\w+)\"", "".join(p.read_text() for p in REPOSITORY.glob("stages/compare/**/*.py"))
    )
    assert set(written) - set(KINDS) < set(INFORMATION)


def test_every_finding_has_a_picture_and_a_cure():
    assert list(PICTURES) == list(KINDS)
    assert all(bool(page.cures) != bool(page.by_hand) for page in FINDINGS.values())
    assert {path.stem for path in (REPOSITORY / PICTURES_FOLDER).glob("*.svg")} == set(PICTURES)


@pytest.mark.slow
@pytest.mark.parametrize("kind", PICTURES)
def test_a_picture_of_a_finding_is_drawn(kind):
    assert PICTURES[kind]().rstrip().endswith("</svg>")


def test_all_commands_are_listed():
    found = {path.parent.name for path in REPOSITORY.glob("stages/*/__main__.py")} | {"compose"}
    assert {*STAGES, *COMMANDS} == found
    assert list(STAGES) == list(DVC)
    assert [*COMMANDS, *EXTRAS] == list(SUMMARIES)


@pytest.mark.slow
@pytest.mark.parametrize("command", SHOWN)
def test_every_option_has_a_place_on_the_page(command):
    section = (REPOSITORY / FOLDER / "commands.md").read_text(encoding="utf-8").split(f"\n### {command}\n")[1]
    section = section.split("\n### ")[0]
    helped = run_here("-m", f"stages.{command}", "--help")
    options = set(re.findall(r"^  (?:-\w, )?(--[\w-]+)", helped.stdout, re.MULTILINE))
    assert "--debug" in options
    for option in options - {"--help"}:
        assert f"`{option}" in section, option


def test_a_comment_becomes_a_sentence():
    assert sentence("empty: it has none") == "Empty: it has none."
    assert sentence("yolov5 and auto") == "yolov5 and auto."
    assert sentence("") == ""


def test_a_row_that_is_too_wide_is_refused():
    assert table(["a"], [["x|y"]]) == "| a |\n| --- |\n| x\\|y |"
    with pytest.raises(ValueError, match="wider than 120"):
        table(["a"], [["x" * 120]])


def test_a_parser_is_the_command_s_own():
    parser = parser_of("toolchain")
    assert parser.prog == "python -m stages.toolchain"
    assert any(line.startswith("python -m stages.toolchain status  ") for line in examples(parser.epilog))
