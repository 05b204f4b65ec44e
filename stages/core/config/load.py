"""Loading params.yaml: the composed config of one experiment."""

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from stages.core.base.errors import UserError, did_you_mean, one_line
from stages.core.base.texts import check_yaml
from stages.core.config.check import check
from stages.core.config.explain import explain
from stages.core.config.schema import Config
from stages.core.config.watch import register_resolvers

__all__ = ["conform", "load_params", "missing_keys"]

SOCS = Path("conf/soc")
CURE = ": write it anew with `python -m stages.compose`"


def load_params(path: Path) -> Config:
    """Load and check a params.yaml.

    Raises:
        UserError: if it is missing, is not YAML, or holds a wrong key, type or value.
    """
    try:
        check_yaml(path, CURE)
        content = OmegaConf.load(path)
        if not content:
            raise UserError(f"{path} is empty: write it with `python -m stages.compose`")
        if not isinstance(content, DictConfig):
            raise UserError(f"{path} is a list, not keys{CURE}")
        config = conform(content)
    except FileNotFoundError:
        raise UserError(f"{path} is missing: write it with `python -m stages.compose`") from None
    except RecursionError:
        raise UserError(f"{path}: an alias holds itself{CURE}") from None
    except OmegaConfBaseException as error:
        raise UserError(f"{path}: {explain(error)}") from error
    except (YAMLError, OSError, ValueError) as error:
        raise UserError(f"{path} is not YAML with keys: {one_line(error)}") from error
    absent = missing_keys(OmegaConf.to_container(content))
    if absent:
        raise UserError(f"{path} lacks {', '.join(absent)}{CURE}")
    check(config)
    _check_soc_file(config.soc.name)
    return config


def _check_soc_file(name: str) -> None:
    """Refuse a SOC that conf/soc/ of the project does not have: a name that was changed by hand.

    Raises:
        UserError: naming the key.
    """
    known = sorted(path.stem for path in SOCS.glob("*.yaml"))
    if known and name.lower() not in known:
        raise UserError(
            f"soc.name={name}: {SOCS} has no such file; choose a SOC by its file, as in "
            f"`python -m stages.compose --keep soc=t41`; {did_you_mean(name.lower(), known)}"
        )


def conform(content: Any) -> Config:
    """Put plain content into the schema.

    Raises:
        OmegaConfBaseException: for a wrong key, type or value.
    """
    register_resolvers()
    config = OmegaConf.to_object(OmegaConf.merge(OmegaConf.structured(Config), content))
    assert isinstance(config, Config)
    return config


def missing_keys(content: Any) -> list[str]:
    """List the schema's keys that plain content lacks: a composed config has them all."""

    def walk(schema: Any, node: Any, prefix: str) -> Iterator[str]:
        for field in dataclasses.fields(schema):
            if field.name not in node:
                yield f"{prefix}{field.name}"
            elif dataclasses.is_dataclass(field.type):
                yield from walk(field.type, node[field.name], f"{prefix}{field.name}.")

    return list(walk(Config, content, ""))
