"""Composing conf/ with Hydra: what the compose command, DVC's own composition and sweeps share."""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from functools import lru_cache
from pathlib import Path

import hydra
from hydra.core.config_store import ConfigStore
from hydra.core.global_hydra import GlobalHydra
from hydra.errors import HydraException, MissingConfigException, OverrideParseException
from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from stages.core.base.errors import UserError, did_you_mean, one_line
from stages.core.config.check import check
from stages.core.config.explain import explain
from stages.core.config.load import conform, missing_keys
from stages.core.config.schema import Config, SocConfig
from stages.core.config.watch import register_resolvers

__all__ = ["compose", "compose_socs", "explained", "finished", "open_conf", "register_schema"]


@lru_cache(maxsize=1)  # the last one is what Hydra has
def register_schema(schema: type[Config] = Config) -> None:
    """Tell Hydra the schema (config name `schema`) and its resolvers. May be called twice."""
    ConfigStore.instance().store("schema", schema)
    register_resolvers()


def compose(overrides: Sequence[str], folder: Path) -> tuple[Config, str]:
    """Compose `folder` (conf/) with overrides.

    Args:
        overrides: Hydra overrides such as ``soc=t41`` or ``quant.feature_bits=10``.
        folder: the config folder.

    Returns:
        The checked config, and its YAML text: what belongs in params.yaml.

    Raises:
        UserError: for anything Hydra or the checks refuse.
    """
    with open_conf(folder, overrides):
        composed = hydra.compose("config", overrides=list(overrides), return_hydra_config=True)
        chosen = composed.hydra.runtime.choices.get("soc")
        with open_dict(composed):
            del composed["hydra"]
        return finished(composed, chosen, folder)


def compose_socs(names: Sequence[str], folder: Path) -> dict[str, SocConfig]:
    """Compose SOCs by themselves: a fifth of the time of an experiment.

    Args:
        names: of files in conf/soc/, without suffix.
        folder: the config folder.

    Returns:
        Name -> SOC, unchecked: `check` takes an experiment with it.

    Raises:
        UserError: for anything Hydra refuses, and for a name that conf/soc/ lacks.
    """
    socs, schema = {}, OmegaConf.structured(SocConfig)
    overrides = [f"+soc@{name}={name}" for name in names]
    with open_conf(folder, overrides):
        composed = hydra.compose(None, overrides=overrides)  # one composition of all: most of its time is Hydra's own
        for name in names:
            soc = OmegaConf.to_object(OmegaConf.merge(schema, composed[name]))
            assert isinstance(soc, SocConfig)
            socs[name] = soc
    return socs


@contextmanager
def open_conf(folder: Path, overrides: Sequence[str] = (), schema: type[Config] = Config) -> Iterator[None]:
    """Initialize Hydra with `folder` (conf/); what Hydra refuses inside the block is said in one line.

    Args:
        folder: the config folder.
        overrides: what the block composes, for messages.
        schema: of what it composes.

    Raises:
        UserError: for anything that Hydra refuses.
    """
    if not (folder / "config.yaml").is_file():
        raise UserError(f"{folder}/config.yaml is missing: run this in the project's folder")
    register_schema(schema)  # type: ignore[arg-type]  # a class can be hashed, its instances cannot
    GlobalHydra.instance().clear()
    with explained(folder, overrides), hydra.initialize_config_dir(str(folder.resolve()), version_base="1.3"):
        yield


@contextmanager
def explained(folder: Path, overrides: Sequence[str] = ()) -> Iterator[None]:
    """Say what Hydra refuses inside the block in one line; arguments and error as of `open_conf`."""
    try:
        yield
    except (HydraException, OmegaConfBaseException, YAMLError) as error:
        raise UserError(_explain_hydra(error)) from error
    except ValueError as error:  # Hydra on a list's item, or a group that is given something else than a file's name
        if "group" not in str(error):
            raise UserError(f"{' '.join(overrides)}: {one_line(error)}; give a list whole") from error
        groups = ", ".join(sorted(path.name for path in folder.iterdir() if path.is_dir()))
        raise UserError(f"{' '.join(overrides)}: a group ({groups}) takes a file's name: {one_line(error)}") from error


def finished(composed: DictConfig, chosen: str | None, folder: Path) -> tuple[Config, str]:
    """Check a composition.

    Args:
        composed: what Hydra composed, without its own settings.
        chosen: the SOC's file in conf/soc/, without suffix.
        folder: the config folder, for messages.

    Returns:
        The checked config, and its YAML text: what belongs in params.yaml.

    Raises:
        UserError: for what the schema or the checks refuse.
    """
    try:
        content = OmegaConf.to_container(composed, resolve=True)
        config = OmegaConf.to_object(composed)
        if not isinstance(config, Config) or asdict(config) != content:  # an override with + has added a key
            config = conform(content)
    except OmegaConfBaseException as error:
        raise UserError(explain(error)) from error
    absent = missing_keys(content)
    if absent:
        raise UserError(f"{folder}/config.yaml composes to no {', '.join(absent)}: its defaults must start with schema")
    if config.soc.name.lower() != chosen:
        raise UserError(
            f"soc.name={config.soc.name} in conf/soc/{chosen}.yaml: choose a SOC by its file, as in soc=t41"
        )
    check(config)
    # not of `composed`: a node without a type takes no list from a resolver
    return config, OmegaConf.to_yaml(OmegaConf.create(content))


def _explain_hydra(error: Exception) -> str:
    """Find the reason inside what Hydra raised and say it in one line."""
    if isinstance(error, MissingConfigException):
        group, _, name = str(error.missing_cfg_file or "").rpartition("/")
        options = list(error.options or [])
        hint = did_you_mean(name.lower(), options)
        near = f"{hint} " if hint.endswith("?") else ""
        listed = ", ".join(options)
        return f"{group or 'config'}={name}: there is no such file in conf/{group}; {near}choose one of {listed}"
    if isinstance(error, OverrideParseException):
        hint = "a value with ( ) { } [ ] , = ~ or spaces needs quotes of its own, as in 'key=\"value\"'"
        return f"override {error.override!r} is not KEY=VALUE; {hint}"
    unknown = re.match(r"Could not override '(.+?)'\. No match in the defaults list", one_line(error))
    if unknown:
        return f"{unknown[1]}: no such part of an experiment, or it takes no file of conf/"
    twice = re.match(r"Multiple values for (\S+)\.|(\S+) appears more than once", str(error))
    if twice:
        name = twice[1] or twice[2]
        return f"{name} is there already: write {name}=..., without +"
    if "multirun" in str(error):
        return "an override with several values is a sweep, not one experiment: give one value"
    cause: BaseException | None = error
    while isinstance(cause, HydraException):
        cause = cause.__cause__ or cause.__context__
    return explain(cause) if isinstance(cause, OmegaConfBaseException) else one_line(error)
