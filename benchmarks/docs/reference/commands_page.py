"""Every command's arguments and options, from its parser; of a sweep its help text, which is Hydra's."""

import argparse
import re
from collections.abc import Sequence
from pathlib import Path

import yaml

from benchmarks.docs.reference.parsers import COMMANDS, EXTRAS, STAGES, examples, options, parser_of
from benchmarks.docs.reference.text import bullet, paragraph, sentence

__all__ = ["commands_page"]

SWEEP_CONFIG = Path("conf/sweep.yaml")
SUMMARIES = {
    "init": "from a network and a folder of samples, or a vendor's config, to an experiment",
    "scan": "what becomes of a network on each SOC, told from its graph alone",
    "compose": "writes params.yaml, the current experiment",
    "sweep": "runs many experiments and ranks them",
    "bisect": "finds the nodes that cost the accuracy",
    "autotune": "chooses a bit width for each node",
    "infer": "runs the quantized network on your samples",
    "check": "compares a board's dumps with the PC's",
    "profile": "reads a board's profile log",
    "toolchain": "installs and removes isolated environments",
    "build.pluto": "checks a file against the open T41 runtime",
}
INTRODUCTION = """\
# Every command

`python -m benchmarks.docs.reference` writes this page from the commands' own parsers. `--help` of a command says the
same:

```sh
python -m stages.scan --help
```

Exit codes of all commands: 0; 2 for a mistake in what was given, which one line names; 1 for anything unforeseen, or
what the command says; 130 after Ctrl-C, 143 after SIGTERM. With `SOCQUANT_DEBUG=1` in the environment every error shows
its traceback, as `--debug` does.
"""
STAGES_INTRODUCTION = """\
## Stages

`dvc repro` runs them in this order, each only if something that it reads has changed. One alone is
`python -m stages.NAME`. All take the same options:
"""


def commands_page() -> str:
    """The text of the page."""
    parts = [INTRODUCTION, "| command | what it does |\n|---|---|"]
    parts[-1] += "".join(f"\n| [{name}](#{_anchor(name)}) | {text} |" for name, text in SUMMARIES.items())
    parts += ["", "## Commands", ""]
    for name in (*COMMANDS, *EXTRAS):
        parts.append(_sweep() if name == "sweep" else _command(name))
    parsers = {name: parser_of(name) for name in STAGES}
    parts.append(f"{STAGES_INTRODUCTION}\n{_arguments(parsers[STAGES[0]])}\n")
    for name, parser in parsers.items():
        parts.append(f"### {name}\n\n{_described(parser.description)}\n")
    return "\n".join(parts)


def _anchor(name: str) -> str:
    return name.replace(".", "")


def _command(name: str) -> str:
    parser = parser_of(name)
    parts = [f"### {name}", _described(parser.description), _arguments(parser)]
    if shown := examples(parser.epilog):
        parts.append("```text\n" + "\n".join(shown) + "\n```")
    if parser.epilog:
        rest = [part for part in parser.epilog.split("\n\n") if not part.startswith("examples:")]
        parts += [_described(part) for part in rest if not part.startswith("a log:")]
        parts += [f"```text\n{part.strip()}\n```" for part in rest if part.startswith("a log:")]
    return "\n\n".join(parts) + "\n"


def _described(text: str | None) -> str:
    """A help text's paragraphs, wrapped."""
    paragraphs = re.split(r"\n\s*\n", (text or "").strip())
    return "\n\n".join(paragraph(_escaped(" ".join(part.split()))) for part in paragraphs)


def _arguments(parser: argparse.ArgumentParser) -> str:
    return "\n".join(bullet(f"`{_name(action)}`: {_meaning(action, parser.prog)}") for action in options(parser))


def _name(action: argparse.Action) -> str:
    """As the user types it: an option with its value, or what an argument is called."""
    value = _value(action)
    if not action.option_strings:
        return value
    return ", ".join(" ".join(filter(None, [option, value])) for option in action.option_strings)


def _value(action: argparse.Action) -> str:
    if action.nargs == 0:
        return ""
    if action.choices is not None and action.metavar is None:
        return "|".join(map(str, action.choices))
    name = action.metavar if isinstance(action.metavar, str) else action.dest.upper()
    return f"{name} ..." if action.nargs in ("*", "+") else name


def _meaning(action: argparse.Action, prog: str) -> str:
    text = (action.help or "").replace("(%(default)s)", "(default: %(default)s)") % {**vars(action), "prog": prog}
    return sentence(_escaped(text))


def _escaped(text: str) -> str:
    """Text in which no placeholder outside backticks is taken for HTML."""
    return re.sub(r"(`[^`]*`)|<(?=\w)", lambda found: found[1] or "\\<", text)


def _sweep() -> str:
    """The help text of a sweep, without what differs from project to project."""
    text = yaml.safe_load(SWEEP_CONFIG.read_text(encoding="utf-8"))["hydra"]["help"]["template"]
    lines: Sequence[str] = [line for line in text.splitlines() if "$APP_CONFIG_GROUPS" not in line]
    return "### sweep\n\n```text\n" + "\n".join(lines).strip() + "\n```\n"
