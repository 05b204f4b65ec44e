"""The run of an experiment that went through the pipeline, gathered from its artifacts."""

import hashlib
import math
from dataclasses import asdict
from pathlib import Path
from typing import Any

from stages.core.base.artifacts import as_object, read_artifact
from stages.core.base.checksums import checked_file, read_bytes
from stages.core.base.paths import (
    BOXES,
    BY_CLASS,
    CALIBSET,
    COMPARE,
    DIAGNOSIS,
    EVALUATE,
    EXPORT,
    FLOAT_MODEL,
    INPUTS,
    INTEGER_MODEL,
    METRICS,
    NODE_BITS,
    QPARAMS,
    QUANTIZED_MODEL,
    REPORT,
    SIMILARITY,
    SIMILARITY_TABLE,
)
from stages.core.config.schema import Config
from stages.core.data.inputs import load_inputs, noun_of
from stages.core.data.sample_store import stored_sets
from stages.core.tables import accuracy_line, bit_widths
from stages.track.run import RunContent, fingerprint, flatten, git_revision, plain

__all__ = ["pipeline_run", "run_fingerprint", "run_params"]

FINGERPRINTED = (QUANTIZED_MODEL, INTEGER_MODEL, METRICS, SIMILARITY, DIAGNOSIS)
"""The results that tell a run from others, beside its parameters; the diagnosis has the cures that were tried."""


def pipeline_run(
    config: Config, metrics: dict[str, Any], rows: list[dict[str, Any]], folder: Path = Path()
) -> RunContent:
    """Gather a run from the artifacts.

    Args:
        config: the experiment's.
        metrics: what evaluate measured.
        rows: the similarity table.
        folder: where out/ and params.yaml are.
    """
    params = run_params(config)
    quant = config.quant
    features, weights = (side.removesuffix("-bit") for side in bit_widths(quant))
    cosines = [row["cosine_avg"] for row in rows]
    noun = noun_of(load_inputs(folder / INPUTS))
    boxes = [BOXES] if (folder / BOXES).exists() else []  # of a detector
    return RunContent(
        experiment=config.track.experiment,
        run_name=f"{config.model.name} {config.soc.name} a{features}w{weights} {quant.feature_method.name}",
        params=params,
        metrics=flatten(metrics)
        | {
            "similarity.cosine_min": min(cosines),
            "similarity.cosine_mean": sum(cosines) / len(cosines),
            "export.max_difference": read_artifact(folder / EXPORT / "check.json", _max_difference),
        },
        curves={
            "layers/cosine_avg": cosines,  # the slash puts the curves into a section of their own
            "layers/cosine_min": [row["cosine_min"] for row in rows],
            "layers/euclidean": [math.nan if row["euclidean"] is None else row["euclidean"] for row in rows],
        },
        tags={
            "fingerprint": run_fingerprint(config, folder),
            "soc": config.soc.name,
            "model": config.model.name,
            "data": config.data.name,
            "quant": quant.name,
            "git_revision": git_revision(),
            "data_hash": _data_hash(folder),
            "mlflow.note.content": accuracy_line(metrics, noun),  # the description on the run's page
            "mlflow.source.name": "stages.track",
        },
        artifacts={
            name: [checked_file(folder / path) for path in paths]
            for name, paths in {
                "": [REPORT, Path("params.yaml")],
                "compare": [
                    COMPARE / "similarity.svg",
                    SIMILARITY_TABLE,
                    SIMILARITY,
                    *boxes,
                ],
                "evaluate": [METRICS, EVALUATE / "predictions.csv", BY_CLASS],
                "models": [FLOAT_MODEL, QUANTIZED_MODEL, INTEGER_MODEL, QPARAMS, NODE_BITS],
            }.items()
        },
    )


def run_fingerprint(config: Config, folder: Path = Path()) -> str:
    """What tells a run from others: its parameters but the name of its settings, and its results."""
    params = {key: value for key, value in run_params(config).items() if key != "quant.name"}
    return fingerprint(params, [folder / path for path in FINGERPRINTED])


def run_params(config: Config) -> dict[str, Any]:
    """Flatten what a run is told apart by."""
    unlogged = ("watch", "compare")  # neither changes what the network is or how good
    params = flatten(plain({key: value for key, value in asdict(config).items() if key not in unlogged}))
    return {key: value for key, value in params.items() if not key.startswith("soc.operators.")}


def _max_difference(content: Any) -> float:
    """Of export's check: the largest difference to the source."""
    return float(as_object(content)["max_difference"])


def _data_hash(folder: Path) -> str:
    """Identify the pictures used: those that served to quantize, and those that were evaluated with their labels."""
    digests = [content for samples in stored_sets(folder / CALIBSET).values() for content in samples.digests]
    digest = hashlib.sha256("".join(digests).encode())
    for line in read_bytes(folder / EVALUATE / "predictions.csv").decode("utf-8").splitlines()[1:]:
        digest.update(",".join(line.split(",")[:3]).encode())
    return digest.hexdigest()[:16]
