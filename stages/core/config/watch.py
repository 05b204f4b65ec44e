"""The local files behind an experiment's sources: what DVC watches, and whether they are there.

`schema.WatchConfig` is the table of them: each field names the config key whose local path it holds.
"""

from collections.abc import Iterator
from operator import attrgetter
from typing import Any

from omegaconf import OmegaConf

from stages.core.base.errors import UserError
from stages.core.base.sources import parse, require_local, watched_path
from stages.core.base.user_code import require_module, watched_module
from stages.core.config.schema import SOURCE_KEYS, Config
from stages.core.config.toolchain import (
    find_tool,
    sophgo_compilers,
    watched_result,
    watched_simulation,
    watched_tool,
)

__all__ = ["check_files", "check_watch", "register_resolvers"]


def register_resolvers() -> None:
    """Tell OmegaConf the resolvers of `watch`. May be called twice."""
    OmegaConf.register_new_resolver("watch", watched_path, replace=True)
    OmegaConf.register_new_resolver("watch_tool", watched_tool, replace=True)
    OmegaConf.register_new_resolver("watch_module", watched_module, replace=True)
    OmegaConf.register_new_resolver("watch_compilers", sophgo_compilers, replace=True)
    OmegaConf.register_new_resolver("watch_compiled", watched_result, replace=True)
    OmegaConf.register_new_resolver("watch_simulated", watched_simulation, replace=True)


def check_watch(config: Config) -> None:
    """Refuse a `watch` that does not fit the sources: params.yaml was edited by hand.

    Raises:
        UserError: naming the first such key.
    """
    for name, _, source in _sources(config):
        watched = getattr(config.watch, name)
        if watched != watched_path(source):
            raise UserError(f"watch.{name}={watched} does not fit {source}: `python -m stages.compose` fills watch in")
    for name, module in (("metric", config.data.evaluation.metric), ("decoding", config.model.detector.function)):
        watched = getattr(config.watch, name)
        if watched != watched_module(module):
            raise UserError(f"watch.{name}={watched} does not fit {module}: `python -m stages.compose` fills watch in")
    toolchain = config.soc.toolchain
    if config.watch.toolchain != watched_tool(toolchain.path, toolchain.name):
        raise UserError(
            f"watch.toolchain={config.watch.toolchain} does not fit soc.toolchain.path={toolchain.path}: "
            "`python -m stages.compose` fills watch in"
        )
    # which compilers there are is this machine's business: those of another one are no mistake
    fitting = (
        watched_result(config.watch.compilers),
        watched_simulation(config.watch.compilers, config.evaluate.backend),
    )
    if (config.watch.compiled, config.watch.simulated) != fitting:
        raise UserError(
            f"watch.compiled={config.watch.compiled} and watch.simulated={config.watch.simulated} do not fit "
            f"watch.compilers={config.watch.compilers}: `python -m stages.compose` fills watch in"
        )


def check_files(config: Config) -> None:
    """Refuse `file:` sources, modules and a converter that do not exist.

    Composition asks; a stage finds out when it opens them.

    Raises:
        UserError: naming the key and the path.
    """
    for _, key, source in _sources(config):
        for text in [source] if isinstance(source, str) else source or []:
            if text.startswith("file:"):
                try:
                    require_local(parse(text))
                except UserError as error:
                    raise UserError(f"{key}: {error}") from error
    require_module(config.data.evaluation.metric, "data.evaluation.metric")
    require_module(config.model.detector.function, "model.detector.function")
    find_tool(config.soc.toolchain)


def _sources(config: Config) -> Iterator[tuple[str, str, Any]]:
    """Give each source: its field of `watch`, its config key, its value."""
    for name, key in SOURCE_KEYS.items():
        yield name, key, attrgetter(key)(config)
