"""Compose conf/ with overrides into params.yaml: `python -m stages.compose soc=t41 quant=a10w8`.

The file's first line is a comment with the overrides that it was composed with; `--keep` starts from those.
"""

import sys
import textwrap
from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import partial
from itertools import takewhile
from pathlib import Path
from typing import Any

import yaml
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from stages.core.base.artifacts import write_text
from stages.core.base.console import counted, next_step, output, warn
from stages.core.base.errors import UserError
from stages.core.base.texts import check_yaml, read_text
from stages.core.command import Parser, guarded
from stages.core.config.composition import compose
from stages.core.config.first_line import first_line, joined, recorded
from stages.core.config.overrides import numbers
from stages.core.config.schema import Color, Config
from stages.core.data.local_files import check_local_files
from stages.quantize.quantizers.node_bits import check_widths, read_node_bits

EPILOG = """\
examples:
  python -m stages.compose                                    the default experiment
  python -m stages.compose soc=t41 quant=a10w8                another SOC, other bits
  python -m stages.compose quant.feature_method=KL            one key
  python -m stages.compose model=onnx model.source=file:my.onnx data=folder ...
  python -m stages.compose --keep quant.feature_method=KL     the current experiment, one key changed
  python -m stages.compose --check                            does params.yaml still match conf/?

Each call starts from conf/config.yaml; overrides add up over calls with --keep only.
"""
INPUTS_KEY = "model.inputs"
SWEEP_GROUP = "experiment"
SOC_NAME = "soc.name"
WATCH = "watch."
NO_VALUE = "(none)"
SHOWN_CHARACTERS = 60
"""Of a value."""
COMMON_CHARACTERS = 15
"""Shown before the place where two long values differ."""
GROUP_OF = {"operators": "soc"}
"""Folders of conf/ whose files give keys of another group."""


def main() -> None:
    """Run the command; exits."""
    parser = Parser("stages.compose", "Compose conf/ with overrides into params.yaml.", EPILOG)
    parser.add_argument("overrides", nargs="*", help="Hydra overrides: GROUP=FILE or KEY=VALUE")
    parser.add_argument("--conf", type=Path, default=Path("conf"), help="the config folder (%(default)s)")
    parser.add_argument("--params", type=Path, default=Path("params.yaml"), help="the file to write (%(default)s)")
    parser.add_argument(
        "--keep",
        action="store_true",
        help="start from the overrides that the file was composed with (its first line); new ones win over them, and "
        "edits by hand are lost, with a warning",
    )
    parser.add_argument(
        "--check",
        action="store_true",
        help="write nothing; exit 2 if the file would change. Give it the overrides that the file was made with, or "
        "--keep",
    )
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    arguments = parser.parse_intermixed_args()  # overrides may come after --keep
    work = partial(run, arguments.overrides, arguments.conf, arguments.params, arguments.check, arguments.keep)
    sys.exit(guarded(work, arguments.debug))


def run(overrides: Sequence[str], conf: Path, params: Path, check_only: bool, keep: bool = False) -> None:
    """Compose and write, or only compare; print what changes.

    Args:
        overrides: Hydra overrides.
        conf: the config folder.
        params: the file to write.
        check_only: write nothing.
        keep: start from the overrides that the file was composed with.

    Raises:
        UserError: for a config that is refused, with `check_only` when the file would change, with `keep` when the
            file does not say what it was composed with.
    """
    earlier = recorded(params) if keep else []
    given, overrides = overrides, joined(earlier, overrides)
    refuse_sweeps(overrides)
    config, text = compose(overrides, conf)
    check_local_files(config)
    node_bits = config.quant.node_bits
    if node_bits and node_bits.startswith("file:"):
        check_widths(read_node_bits(node_bits, config.quant.node_ranges), config.soc)
    before = _held(params)
    after = _flat(text)
    changed = [key for key in sorted(before.keys() | after.keys()) if before.get(key) != after.get(key)]
    if check_only and not before:
        raise UserError(f"{params} is missing: write it with `python -m stages.compose`")
    if check_only:
        if changed:
            differ = f"{params} is not what {conf}/ and these overrides compose to: {', '.join(changed)} differ"
            raise UserError(f"{differ}; `python -m stages.compose --keep` writes it anew")
        output.print(f"{params} is what {conf}/ composes to")
        return
    replaced = replaced_values(earlier, given, before, after, conf) if keep and changed else []
    notes, lost = lost_edits(replaced, before, after, edited_groups(conf, params, replaced))
    write_text(params, f"{first_line(overrides)}\n{text}")
    for line in [*lost, *lost_inputs(earlier, given, config, conf)]:
        warn(line)
    for line in notes:
        output.print(f"note: {line}")
    shown = [key for key in changed if not key.startswith(WATCH)]  # what DVC watches follows from the others
    if before:
        for line in changes(shown, before, after):
            output.print(f"  {line}")
    output.print(f"{params} written, {counted(len(shown), 'key')} changed" if before else f"{params} written")
    next_step("dvc repro")


def changes(changed: Sequence[str], before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    """The keys that change, each with its values; of another SOC its name, and how many follow from it.

    Args:
        changed: dotted keys.
        before: what the file holds, dotted key -> value.
        after: what is written.
    """
    of_soc = [key for key in changed if key.startswith("soc.") and SOC_NAME in changed and key != SOC_NAME]
    lines = [f"{key}: {_change(before, after, key)}" for key in changed if key not in of_soc]
    return [*lines, f"{counted(len(of_soc), 'more key')} of soc, which follow from it"] if of_soc else lines


def refuse_sweeps(overrides: Sequence[str]) -> None:
    """Refuse a file of `conf/experiment/`: what it varies would not be tried, in silence.

    Raises:
        UserError: naming the command that it is for.
    """
    for override in overrides:
        key, _, name = override.lstrip("+").partition("=")
        if key == SWEEP_GROUP:
            command = f"python -m stages.sweep --keep {SWEEP_GROUP}={name}"
            raise UserError(f"{override}: {SWEEP_GROUP}s are sweeps: run it with `{command}`")


def lost_inputs(earlier: Sequence[str], given: Sequence[str], config: Config, conf: Path) -> list[str]:
    """Warn of an override of `model.inputs` that leaves out what was set before: Hydra replaces the list whole.

    Args:
        earlier: overrides that were kept.
        given: those of this call.
        config: what both gave.
        conf: the config folder.
    """
    together, rest = joined(earlier, given), _without_inputs(given)
    before = joined(earlier, rest) if len(rest) < len(given) else _without_inputs(together)
    if before == together:
        return []
    try:
        inputs = compose(before, conf)[0].model.inputs
    except UserError:  # without the override there is no experiment to compare with
        return []
    lost = [
        f"{key}: {value.name if isinstance(value, Color) else numbers(value)}"
        for old, new in zip(inputs, config.model.inputs, strict=False)
        for key, default in (("mean", [0.0]), ("normal", [1.0]), ("color", Color.RGB))
        if (value := getattr(old, key)) not in (None, default) and getattr(new, key) is None
    ]
    if not lost:
        return []
    return [f"{INPUTS_KEY} replaces the list before it whole, and it lost {', '.join(lost)}: add it if it still holds"]


def replaced_values(
    earlier: Sequence[str], given: Sequence[str], before: Mapping[str, Any], after: Mapping[str, Any], conf: Path
) -> list[str]:
    """The keys of which the file held what no override gave: it was edited by hand, or conf/ was; worst first.

    Args:
        earlier: overrides that were kept.
        given: those of this call.
        before: what the file holds, dotted key -> value.
        after: what is written.
        conf: the config folder.
    """
    given_keys = {override.partition("=")[0].lstrip("+~") for override in given}  # the user's word on these
    replaced = [
        key
        for key in sorted(before)
        if before[key] != after.get(key) and key not in given_keys and not key.startswith(WATCH)
    ]
    if not replaced:
        return []
    try:
        composed = _flat(compose(earlier, conf)[1]) if given else after
    except UserError:  # conf/ has changed so much that nothing can be compared
        return []
    return [key for key in replaced if before[key] != composed.get(key)]


def edited_groups(conf: Path, params: Path, keys: Collection[str]) -> set[str]:
    """The groups of keys with a file of conf/ that is newer than params.yaml; all where conf/config.yaml is."""
    if not keys:
        return set()
    written = params.stat().st_mtime_ns
    newer = [path.relative_to(conf) for path in conf.rglob("*.yaml") if path.stat().st_mtime_ns > written]
    groups = {GROUP_OF.get(path.parts[0], path.parts[0]) for path in newer if len(path.parts) > 1}
    return groups | {key.partition(".")[0] for key in keys} if Path("config.yaml") in newer else groups


def lost_edits(
    replaced: Sequence[str], before: Mapping[str, Any], after: Mapping[str, Any], groups: Collection[str]
) -> tuple[list[str], list[str]]:
    """Say what became of values that no override gave.

    Args:
        replaced: their keys.
        before: what the file held, dotted key -> value.
        after: what is written.
        groups: those of conf/ that were edited later than the file.

    Returns:
        Notes of what conf/ gives now, which is as the user wants it; warnings of edits by hand, which are lost.
    """
    of_conf = [key for key in replaced if key.partition(".")[0] in groups]
    by_hand = [f"{key}={_shown(before, key)}" for key in replaced if key not in of_conf]
    changed = ", ".join(f"{key}: {_change(before, after, key)}" for key in of_conf)
    notes = [f"taken from conf/, which was edited: {changed}"] if of_conf else []
    lost = f"{', '.join(by_hand)}: edited by hand in params.yaml, and replaced; give it as an override to keep it"
    return notes, [lost] if by_hand else []


def _without_inputs(overrides: Sequence[str]) -> list[str]:
    return [override for override in overrides if override.partition("=")[0] != INPUTS_KEY]


def _change(before: Mapping[str, Any], after: Mapping[str, Any], key: str) -> str:
    """What a key had and what it has, of long values from where they differ on."""
    texts = [_text(values, key) for values in (before, after)]
    alike = takewhile(lambda pair: pair[0] == pair[1], zip(*texts, strict=False))
    start = sum(1 for _ in alike) - COMMON_CHARACTERS
    if max(map(len, texts)) <= SHOWN_CHARACTERS or start <= 0:
        return " -> ".join(map(_short, texts))
    return " -> ".join(f"... {_short(text[start:])}" for text in texts)


def _shown(values: Mapping[str, Any], key: str) -> str:
    return _short(_text(values, key))


def _text(values: Mapping[str, Any], key: str) -> str:
    return str(values[key]) if key in values else NO_VALUE


def _short(text: str) -> str:
    return textwrap.shorten(text, SHOWN_CHARACTERS, placeholder=" ...")


def _held(params: Path) -> dict[str, Any]:
    """What the file holds, dotted keys to values; nothing of a file that is no config: it is written anew."""
    if not params.is_file():
        return {}
    try:
        check_yaml(params)
        return _flat(read_text(params))
    except (UserError, ValueError, RecursionError, AssertionError):  # OmegaConf asserts that a text holds keys
        return {}


def _flat(text: str) -> dict[str, Any]:
    """Dotted keys to values; lists stay whole."""

    def walk(node: Any, prefix: str) -> Iterator[tuple[str, Any]]:
        for key, value in node.items():
            if isinstance(value, dict) and value:
                yield from walk(value, f"{prefix}{key}.")
            else:
                yield f"{prefix}{key}", value

    try:
        content = OmegaConf.to_container(OmegaConf.create(text))
    except (yaml.YAMLError, OmegaConfBaseException):
        return {}
    return dict(walk(content, "")) if isinstance(content, dict) else {}


if __name__ == "__main__":
    main()
