"""dvc.yaml names the code that a stage runs: no less, or the cache lies; no more, or it computes again for nothing."""

import dataclasses

import grimp
import pytest
import yaml

from stages.compare.cures.candidates import AUTOTUNE
from stages.compare.cures.trial import STAGES as BEFORE_QUANTIZE
from stages.core.config.schema import ModelConfig, QuantConfig, SocConfig
from tests.conftest import REPOSITORY

STAGES = {
    name: stage.get("do", stage)  # compile is there once for each compiler
    for name, stage in yaml.safe_load((REPOSITORY / "dvc.yaml").read_text(encoding="utf-8"))["stages"].items()
}
TRIED = [*BEFORE_QUANTIZE, "quantize", AUTOTUNE]
"""The stages, and the command, that compare's cures run."""


@pytest.fixture(scope="module")
def graph():
    """All imports of all modules, those inside functions among them."""
    return grimp.build_graph("stages", cache_dir=None)


def imported(graph, module):
    return graph.find_upstream_modules(module) | {module}


def path_of(module):
    """A dependency as dvc.yaml names it: a stage's folder, or a folder or single module of core.

    None for `stages` and `stages.core` themselves: neither does anything that a result depends on.
    """
    parts = module.split(".")
    depth = 3 if parts[:2] == ["stages", "core"] else 2
    path = REPOSITORY.joinpath(*parts[:depth])
    if len(parts) < depth:
        return None
    return (path if path.is_dir() else path.with_suffix(".py")).relative_to(REPOSITORY).as_posix()


def code_of(stage):
    return [dependency for dependency in STAGES[stage]["deps"] if dependency.startswith("stages/")]


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_depends_on_the_code_that_it_imports(graph, stage):
    """And on that of the stages that it runs: compare's cures."""
    run = [stage, *TRIED] if stage == "compare" else [stage]
    modules = {module for each in run for module in imported(graph, f"stages.{each}.__main__")}
    paths = {path_of(module) for module in modules} - {None}
    not_listed, not_imported = paths - {*code_of(stage)}, {*code_of(stage)} - paths
    assert not not_listed, "dvc.yaml lacks these"
    assert not not_imported, "dvc.yaml has these for nothing"
    assert len(code_of(stage)) == len(paths)


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_runs_the_module_of_its_name(stage):
    assert STAGES[stage]["cmd"] == f"python -m stages.{stage}"


def test_what_a_function_imports_counts(graph):
    """`distance` imports numba's sums when it is called."""
    assert "stages.core.statistics.error_statistics" in imported(graph, "stages.core.statistics.metrics")


def test_a_plot_s_colours_leave_calibration_as_it_is():
    assert "stages/core/render" not in code_of("calibrate")
    assert [stage for stage in STAGES if "stages/core/render" in code_of(stage)] == ["compare"]


def test_no_stage_depends_on_all_of_core():
    assert not [stage for stage in STAGES if {"stages", "stages/core"} & {*code_of(stage)}]


@pytest.mark.parametrize("stage", ["quantize", "compare", "evaluate"])
def test_dvc_watches_what_a_quantized_network_may_follow_from(stage):
    of_quant, keys = sorted(
        (entry["params.yaml"] for entry in STAGES[stage]["params"] if isinstance(entry, dict)),
        key=lambda keys: not keys[0].startswith("quant."),
    )
    model, soc = ModelConfig().network, SocConfig(name="T40").arithmetic
    assert of_quant == [f"quant.{key}" for key in QuantConfig("q").settings]
    assert keys == [*(f"model.{key}" for key in model), *(f"soc.{key}" for key in soc)]
    assert len(soc) == len(dataclasses.fields(SocConfig)) - 3
    assert len(model) == len(dataclasses.fields(ModelConfig)) - 1
