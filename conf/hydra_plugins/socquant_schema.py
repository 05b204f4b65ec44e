"""Gives Hydra the schema of `stages.core.config.schema` when DVC composes conf/ by itself (`dvc exp run -S ...`)."""

from hydra.core.config_search_path import ConfigSearchPath
from hydra.plugins.search_path_plugin import SearchPathPlugin

from stages.core.config.composition import register_schema

register_schema()


class SocquantSchema(SearchPathPlugin):
    """Adds no path: Hydra imports this module because the class is here, and the import registers the schema."""

    def manipulate_search_path(self, search_path: ConfigSearchPath) -> None:
        """Leave the search path as it is."""
