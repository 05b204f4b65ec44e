"""Compose conf/ with overrides into params.yaml: `python -m stages.compose soc=t41 quant=a10w8`."""

import argparse
import sys
import textwrap
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import yaml
from omegaconf import OmegaConf

from stages.core.artifacts import write_text
from stages.core.command import guarded
from stages.core.composition import compose
from stages.core.console import output
from stages.core.errors import UserError
from stages.core.settings import check_files

EPILOG = """\
examples:
  python -m stages.compose                                    the default experiment
  python -m stages.compose soc=t41 quant=a10w8                another SOC, other bits
  python -m stages.compose quant.feature_method=KL            one key
  python -m stages.compose model=onnx model.source=file:my.onnx data=folder ...
  python -m stages.compose --check                            does params.yaml still match conf/?

Each call starts from conf/config.yaml; overrides do not add up over calls. Then run `dvc repro`.
"""


def main() -> None:
    """Run the command; exits."""
    parser = argparse.ArgumentParser(
        prog="python -m stages.compose",
        description="Compose conf/ with overrides into params.yaml.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("overrides", nargs="*", help="Hydra overrides: GROUP=FILE or KEY=VALUE")
    parser.add_argument("--conf", type=Path, default=Path("conf"), help="the config folder (%(default)s)")
    parser.add_argument("--params", type=Path, default=Path("params.yaml"), help="the file to write (%(default)s)")
    parser.add_argument(
        "--check",
        action="store_true",
        help="write nothing; exit 2 if the file would change. Give it the overrides that the file was made with",
    )
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    arguments = parser.parse_args()
    work = partial(run, arguments.overrides, arguments.conf, arguments.params, arguments.check)
    sys.exit(guarded(work, arguments.debug))


def run(overrides: list[str], conf: Path, params: Path, check_only: bool) -> None:
    """Compose and write, or only compare; print what changes.

    Raises:
        UserError: for a config that is refused, or with `check_only` when the file would change.
    """
    config, text = compose(overrides, conf)
    check_files(config)
    before = _flat(params.read_text(encoding="utf-8")) if params.is_file() else {}
    after = _flat(text)
    changed = [key for key in sorted(before.keys() | after.keys()) if before.get(key) != after.get(key)]
    if check_only and not before:
        raise UserError(f"{params} is missing: write it with `python -m stages.compose`")
    if check_only:
        if changed:
            raise UserError(f"{params} is not what {conf}/ and these overrides compose to: {', '.join(changed)} differ")
        output.print(f"{params} is what {conf}/ composes to")
        return
    write_text(params, text)
    if before:
        for key in changed:
            output.print(f"  {key}: {_shown(before, key)} -> {_shown(after, key)}")
    output.print(f"{params} written, {len(changed)} keys changed" if before else f"{params} written")


def _shown(values: dict[str, Any], key: str) -> str:
    return textwrap.shorten(str(values[key]), 60, placeholder=" ...") if key in values else "(none)"


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
    except yaml.YAMLError:
        return {}
    return dict(walk(content, "")) if isinstance(content, dict) else {}


if __name__ == "__main__":
    main()
