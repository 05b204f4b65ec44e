"""One MLflow run for each call: what was asked, what came out, the curve, the table and the node-bits file."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from stages.core.config.schema import Config
from stages.track.run import RunContent, fingerprint, flatten, git_revision, log_once, plain, shown_store, tracking_uri

__all__ = ["log", "run_content"]


def log(config: Config, options: Mapping[str, Any], report: Mapping[str, Any], files: Sequence[Path]) -> list[str]:
    """Log a call, unless it is there already; gives lines that say where.

    Raises:
        UserError: if the store cannot be reached or written.
    """
    uri = tracking_uri()
    content = run_content(config, options, report, files)
    run_id, new = log_once(content, uri)
    return [
        f"MLflow run: {run_id} ({'new' if new else 'logged before'}), experiment {content.experiment}",
        f"see it with: {shown_store(uri)}",
    ]


def run_content(
    config: Config, options: Mapping[str, Any], report: Mapping[str, Any], files: Sequence[Path]
) -> RunContent:
    """Gather a run. It goes into an experiment beside the pipeline's, whose runs have other columns.

    Args:
        config: the experiment that was tuned.
        options: of the command, those that decide what is chosen; None: not given.
        report: what autotune.json holds.
        files: what was written, the report first.
    """
    chosen, asked = report["rows"][-1], " ".join(report["asked"])
    params = {key: value for key, value in options.items() if value is not None}
    params |= flatten({"quant": plain(asdict(config.quant))})
    unseen = report["unseen"] or {}
    metrics = {_mlflow_name(key): value for key, value in chosen.items() if isinstance(value, float)}
    return RunContent(
        experiment=f"{config.track.experiment}-autotune",
        run_name=f"{config.model.name} {config.soc.name} {asked}",
        params={"asked": asked, **params},
        metrics=metrics | {"predicted": report["predicted"]} | {f"unseen.{key}": unseen[key] for key in unseen},
        curves={},
        tags={
            "fingerprint": fingerprint(params, files),
            "soc": config.soc.name,
            "model": config.model.name,
            "data": config.data.name,
            "quant": config.quant.name,
            "git_revision": git_revision(),
            "mlflow.note.content": f"{asked}: error {chosen['error']:.3g} (predicted {report['predicted']:.3g})",
            "mlflow.source.name": "stages.autotune",
        },
        artifacts={"": files},
        tables={
            "comparison.json": [{_mlflow_name(key): value for key, value in row.items()} for row in report["rows"]]
        },
    )


def _mlflow_name(key: str) -> str:
    return key.replace(" ", "_")
