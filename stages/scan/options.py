"""What the scan command is asked for: a source, overrides, shapes, SOCs."""

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from stages.core.base.errors import UserError, did_you_mean
from stages.core.base.sources import watched_path
from stages.core.config.composition import compose, compose_socs
from stages.core.config.overrides import quoted
from stages.core.config.schema import Config, InputConfig, SocConfig
from stages.core.data.model_files import source_stem

__all__ = ["conf_folder", "elsewhere", "read_experiment", "read_socs", "with_shapes"]

OWN_CONF = Path(__file__).resolve().parents[2] / "conf"
OVERRIDE = re.compile(r"[+~]?[A-Za-z_][\w./@]*=")
OWN_INPUTS = re.compile(r"[+~]{0,2}model\.inputs\b")
ASSUMED_INPUTS = "model.inputs=[{mean: [0], normal: [255], color: RGB}]"
"""Pixels as numbers of 0 to 1, where nothing is said: no verdict follows from it, and few networks overflow on them."""
SOURCE_KINDS = ("file:", "package:", "https://")


def conf_folder(given: Path | None) -> Path:
    """The config folder: the one that is given, that of the current folder, or the program's own."""
    here = Path("conf")
    return given or (here if (here / "config.yaml").is_file() else OWN_CONF)


def read_experiment(words: Sequence[str], folder: Path) -> Config:
    """Compose the experiment that the command's words give.

    Args:
        words: a source first, if any, then overrides as `python -m stages.compose` takes them.
        folder: the config folder.

    Raises:
        UserError: for two sources, and for anything that composing refuses.
    """
    sources = [word for word in words if not OVERRIDE.match(word) or word.startswith(SOURCE_KINDS)]
    overrides = [word for word in words if word not in sources]
    if len(sources) > 1:
        raise UserError(
            f"{sources[1]}: a second network; give one (of several files any of them), and overrides as KEY=VALUE"
        )
    if sources:
        path = sources[0]
        source = elsewhere(path if path.startswith(SOURCE_KINDS) else f"file:{path}")
        name = re.sub(r"[^\w.-]", "_", source_stem(path)) or "network"
        fed = [] if any(OWN_INPUTS.match(override) for override in overrides) else [ASSUMED_INPUTS]
        overrides = ["model=onnx", f"model.name={quoted(name)}", f"model.source={quoted(source)}", *fed, *overrides]
    return compose(overrides, folder)[0]


def elsewhere(source: str) -> str:
    """A pattern of the current folder as one of any folder: DVC, which could not watch it, has no part in a scan."""
    if source.startswith("file:") and watched_path(source) == ".":
        return f"file:{Path(source.removeprefix('file:')).absolute()}"
    return source


def with_shapes(config: Config, texts: Sequence[str]) -> Config:
    """Set shapes of inputs.

    Args:
        config: the experiment.
        texts: NAME=1,3,224,224, or the sizes alone for the first input.

    Raises:
        UserError: for another form, or a name that is there twice.
    """
    inputs = list(config.model.inputs)
    for text in texts:
        name, _, sizes = text.rpartition("=")
        if not re.fullmatch(r"[1-9]\d{0,8}(,[1-9]\d{0,8})*", sizes):
            raise UserError(f"--shape {text}: give NAME=1,3,224,224")
        shape = [int(size) for size in sizes.split(",")]
        index = next((i for i, each in enumerate(inputs) if each.name == (name or None)), None)
        if index is None:  # a config without a name and a shape is of any input
            index = next((i for i, each in enumerate(inputs) if not each.name and not each.shape), None)
        if index is None:
            inputs.append(InputConfig(name=name or None, shape=shape))
        else:
            inputs[index] = replace(inputs[index], name=name or inputs[index].name, shape=shape)
    return replace(config, model=replace(config.model, inputs=inputs))


def read_socs(given: str | None, folder: Path) -> dict[str, SocConfig]:
    """Compose the SOCs that are asked for; all of conf/soc/ by default.

    Raises:
        UserError: for a name that conf/soc/ lacks.
    """
    known = sorted(path.stem for path in (folder / "soc").glob("*.yaml"))
    names = [name.strip().lower() for name in given.split(",")] if given else known
    for name in names:
        if name not in known:
            raise UserError(f"--soc {name}: {folder}/soc has no such file; {did_you_mean(name, known)}")
    return compose_socs(list(dict.fromkeys(names)), folder)
