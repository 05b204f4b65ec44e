"""One float and one exact pass over the debug pictures, and nothing else: `python -m benchmarks.passes [--every]`.

The reference of `benchmarks.compare`, in a project's folder: reads both networks and the pictures, and runs both on
each picture. With `--every` the networks return all tensors that compare's table has a row for, not their outputs only.
"""

import sys
from pathlib import Path

from stages.core.base.paths import FLOAT_MODEL, INPUTS, INTEGER_MODEL
from stages.core.config.load import load_params
from stages.core.data.inputs import feeds, load_inputs
from stages.core.data.sample_files import read_samples, select
from stages.core.graph.onnx_graph import Graph, load_model
from stages.core.graph.session import Runner, with_outputs
from stages.core.integer.model import load_integer_model
from stages.core.integer.simulator import simulator_model

__all__ = ["run_passes"]


def run_passes(every_tensor: bool) -> None:
    """Run both networks on each debug picture; their outputs are dropped."""
    config, inputs = load_params(Path("params.yaml")), load_inputs(INPUTS)
    model = load_model(FLOAT_MODEL)
    graph = Graph(model)
    tensors = [name for name in graph.float_tensors if name in graph.producers] if every_tensor else list(graph.outputs)
    runners = [
        Runner(with_outputs(model, tensors)),
        Runner(simulator_model(load_integer_model(INTEGER_MODEL), tensors), optimize="safe"),
    ]
    files = select(config.data.debug, inputs, "data.debug")
    for picture in read_samples(files, inputs, config.model.preprocess, "data.debug"):
        for runner in runners:
            runner.run(feeds(picture.sample, inputs))


if __name__ == "__main__":
    run_passes(every_tensor="--every" in sys.argv[1:])
