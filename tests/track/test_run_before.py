from dataclasses import replace

import pytest

from stages.track.run import PARENT_TAG, RunContent, log_run, open_experiment, store
from stages.track.run_before import RunBefore, run_before

RUN = RunContent(
    experiment="e",
    run_name="net",
    params={"quant.weight_bits": 4, "quant.name": "a8w4", "soc.name": "T40", "quant.skip_nodes": ["a"]},
    metrics={"fidelity": 0.95, "cosine": 0.99, "count": 28.0},
    curves={},
    tags={"model": "net", "mlflow.source.name": "stages.track"},
    artifacts={},
)


@pytest.mark.parametrize(
    ("params", "metrics", "words"),
    [
        (
            {"quant.weight_bits": "8", "quant.name": "int8", "soc.name": "T40", "quant.skip_nodes": "[]"},
            {"fidelity": 0.98, "cosine": 0.999, "agreement": 1.0},
            "fidelity 0.98 -> 0.95, cosine 0.999 -> 0.99; changed: quant.weight_bits 8 -> 4, "
            "quant.skip_nodes [] -> ['a']",
        ),
        ({"quant.weight_bits": "4"}, {"fidelity": 0.98}, "fidelity 0.98 -> 0.95; changed: no setting"),
    ],
)
def test_words(params, metrics, words):
    assert RunBefore("id", params, metrics).words(RUN) == words


def test_a_metric_of_the_user_s_own_comes_first_and_many_changes_are_counted():
    content = replace(
        RUN,
        metrics={"fidelity": 0.9, "quantized.top5": 1.0, "quantized.wer": 0.2},
        params={f"k{n}": n for n in range(8)},
    )
    said = RunBefore("id", {f"k{n}": "x" for n in range(8)}, content.metrics).words(content)
    assert said.startswith("quantized.wer 0.2 -> 0.2, fidelity 0.9 -> 0.9; changed: k0 x -> 0, ")
    assert said.endswith("k5 x -> 5, 2 keys more")


@pytest.mark.slow
def test_the_last_run_of_the_same_network_that_is_no_sweep_s(tmp_path):
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    with store(uri):
        experiment = open_experiment("e", uri)
        first = log_run(RUN, experiment)
        assert run_before(RUN, first, uri) is None
        second = log_run(replace(RUN, params={"quant.weight_bits": 8}), experiment)
        log_run(RUN, experiment, parent=first)
        log_run(replace(RUN, tags=RUN.tags | {"model": "other"}), experiment)
        log_run(replace(RUN, tags=RUN.tags | {"mlflow.source.name": "stages.autotune"}), experiment)
        last = log_run(RUN, experiment)
        found = run_before(RUN, last, uri)
    assert PARENT_TAG not in RUN.tags
    assert found is not None
    assert (found.run_id, found.params["quant.weight_bits"]) == (second, "8")
    assert run_before(RUN, second, uri).run_id == last
