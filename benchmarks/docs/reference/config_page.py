"""Every key of an experiment, from the dataclasses of the schema and the stages of dvc.yaml."""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

from benchmarks.docs.reference.text import bullet, paragraph, sentence
from stages.core.config.schema import Config, WatchConfig
from stages.init.write.key_docs import allowed_values, default_text, meanings
from stages.sweep.sweep_config import SweepSettings

__all__ = ["Key", "all_keys", "config_page", "rerun_stages"]

MISSING = "???"
WORDS = {bool: "true or false", int: "integer", float: "number", str: "text", Any: "value of any kind"}
GROUPS = {
    "soc": ("The SOC: a file of `conf/soc/`", "[Every SOC](socs.md) has their bit widths."),
    "model": ("The network: a file of `conf/model/`", "`python -m stages.init` writes one."),
    "data": ("The pictures: a file of `conf/data/`", "`python -m stages.init` writes one."),
    "quant": (
        "Bits and methods: a file of `conf/quant/`",
        "[Accuracy](../accuracy.md) says what each costs and brings.",
    ),
    "evaluate": ("The measurement", "[Evaluation](../evaluation.md) says what is measured."),
    "compare": ("The report", "[The report](../report.md) says how to read it."),
    "track": ("MLflow", "The store is the environment variable `MLFLOW_TRACKING_URI`, by default `mlflow.db` here."),
    "sweep": ("Sweeps", "Only `python -m stages.sweep` knows these ([sweeps](../sweep.md))."),
}
INTRODUCTION = """\
# Every key

`python -m benchmarks.docs.reference` writes this page from the schema and from dvc.yaml. Type a key after
`python -m stages.compose`:

```sh
python -m stages.compose --keep quant.weight_bits=4 && dvc repro
```

A key says its type, its default and what a change of it makes `dvc repro` run. A stage that then gives the same bytes
as before ends it there: those after it come from the cache. A file of `conf/` may set another default for its group;
`params.yaml` has what is in force. `[]` in a key stands for the number of an item, `NAME` for a name of yours.
"""
WATCHED = """\
## watch

Composing fills in these keys, for DVC to watch your files. They are not for editing: """


@dataclass(frozen=True)
class Key:
    """A key of the config.

    Attributes:
        name: dotted, as compose takes it.
        type: in words.
        default: as YAML has it; None: there is none, a value must be given.
        meaning: sentences.
        values: those that are allowed, each with its meaning; empty: no fixed set.
    """

    name: str
    type: str
    default: str | None
    meaning: str
    values: Mapping[str, str]


def config_page(stages: Mapping[str, Any]) -> str:
    """The text of the page.

    Args:
        stages: those of dvc.yaml.
    """
    parts = [INTRODUCTION]
    for group, (title, more) in GROUPS.items():
        parts.append(f"## {group}\n\n{paragraph(f'{title}. {more}')}\n")
        parts += [_described(key, stages) for key in all_keys(group)]
    watched = ", ".join(f"`watch.{field.name}`" for field in dataclasses.fields(WatchConfig))
    parts.append(paragraph(WATCHED.replace("\n", "\0") + watched + ".").replace("\0", "\n") + "\n")
    return "\n".join(parts)


def all_keys(group: str) -> Iterator[Key]:
    """The keys of a group, in the order of the schema."""
    kind = SweepSettings if group == "sweep" else get_type_hints(Config)[group]
    return _keys(kind, group)


def _keys(kind: Any, prefix: str) -> Iterator[Key]:
    texts, hints = meanings(kind), get_type_hints(kind)
    for field in dataclasses.fields(kind):
        hint, name = hints[field.name], f"{prefix}.{field.name}"
        inner = [each for each in (hint, *get_args(hint)) if dataclasses.is_dataclass(each)]
        if inner:
            if get_origin(hint) is list:
                name += "[]"
            elif get_origin(hint) is dict:
                name += ".NAME"
            yield from _keys(inner[0], name)
            continue
        allowed = allowed_values(hint)
        meaning = sentence(texts[field.name])
        if allowed is not None:
            meaning = " ".join(filter(None, [(allowed.__doc__ or "").partition("\n")[0], meaning]))
        yield Key(name, _type(hint), _default(field), meaning, _values(allowed))


def _default(field: "dataclasses.Field[Any]") -> str | None:
    return None if field.default == MISSING else default_text(field)


def _values(kind: type[Enum] | None) -> dict[str, str]:
    texts: Mapping[str, str] = meanings(kind) if kind is not None else {}
    return {str(member.value): texts.get(member.name, "") for member in kind or []}


def _type(hint: Any) -> str:
    """A type in words."""
    origin, arguments = get_origin(hint), get_args(hint)
    if origin in (UnionType, Union):
        words = [_type(each) for each in arguments if each is not NoneType]
        return " or ".join([*words, "null"])
    if origin is list:
        return f"list of {WORDS[arguments[0]]}s"
    if origin is dict:
        return f"a {_type(arguments[1])} for each name"
    if isinstance(hint, type) and issubclass(hint, Enum):
        return "one of the words below"
    return WORDS[hint]


def _described(key: Key, stages: Mapping[str, Any]) -> str:
    default = "no default" if key.default is None else f"default `{key.default}`"
    stages_run = rerun_stages(key.name, stages)
    run = f"a change runs {_in_words(stages_run, list(stages))}" if stages_run else "no stage reads it"
    lines = [f"### `{key.name}`", "", paragraph(key.meaning), ""]
    lines += [bullet(f"{key.type[0].upper()}{key.type[1:]}; {default}; {run}.")]
    for value, meaning in key.values.items():
        lines.append(bullet(f"`{value}`: {meaning}." if meaning else f"`{value}`"))
    return "\n".join([*lines, ""])


def rerun_stages(key: str, stages: Mapping[str, Any]) -> list[str]:
    """The stages that a change of a key runs: those that name it, and those that read what they write.

    Args:
        key: dotted; of an item of a list the list decides.
        stages: those of dvc.yaml, in order: a stage comes behind those that it reads from.
    """
    found: list[str] = []
    written: list[str] = []
    for name, stage in stages.items():
        named = any(_covers(param, key) for param in _params(stage))
        reads = any(_within(path, out) for path in stage["deps"] for out in written)
        if named or reads:
            found.append(name)
            written += _outputs(stage)
    return found


def _params(stage: Mapping[str, Any]) -> list[str]:
    names: list[str] = []
    for each in stage.get("params", []):
        names += [name for group in each.values() for name in group] if isinstance(each, Mapping) else [each]
    return names


def _outputs(stage: Mapping[str, Any]) -> list[str]:
    paths: list[str] = []
    for each in [*stage.get("outs", []), *stage.get("metrics", [])]:
        paths += list(each) if isinstance(each, Mapping) else [each]
    return paths


def _covers(param: str, key: str) -> bool:
    plain = key.replace("[]", "")
    return plain == param or plain.startswith(f"{param}.")


def _within(path: str, folder: str) -> bool:
    return path == folder or path.startswith(f"{folder}/") or folder.startswith(f"{path}/")


def _in_words(run: Sequence[str], order: Sequence[str]) -> str:
    """Name stages in few words: all, or one and all behind it, where it is so."""
    if list(run) == list(order):
        return "all stages"
    if len(run) > 1 and list(run) == list(order)[order.index(run[0]) :]:
        return f"`{run[0]}` and all stages after it"
    return ", ".join(f"`{name}`" for name in run)
