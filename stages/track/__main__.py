"""Reads params.yaml and what all stages wrote; writes one MLflow run and out/track/run.json."""

from stages.core.base.artifacts import read_artifact, stage_output, write_json
from stages.core.base.console import next_step, output
from stages.core.base.paths import COMPARE, EVALUATE, INPUTS, METRICS, QPARAMS, REPORT, SIMILARITY, TRACK
from stages.core.command import run_stage
from stages.core.config.schema import Config
from stages.core.config.settings_record import check_settings, compare_settings, evaluate_settings
from stages.core.data.inputs import load_inputs, noun_of
from stages.core.integer.network_params import load_qparams
from stages.core.tables import accuracy_line, measured_metrics, similarity_table, table_rows
from stages.track.pipeline_run import pipeline_run
from stages.track.run import log_once, shown_store, tracking_uri
from stages.track.run_before import run_before

SHOWN_NODES = 5  # least similar ones in the closing summary


def track(config: Config) -> None:
    load_qparams(QPARAMS, config)  # refuses results of other parameters
    check_settings(COMPARE, compare_settings(config))
    check_settings(EVALUATE, evaluate_settings(config))
    metrics, rows = read_artifact(METRICS, measured_metrics), read_artifact(SIMILARITY, table_rows)
    content = pipeline_run(config, metrics, rows)
    run_id, new = log_once(content, uri := tracking_uri())
    before = run_before(content, run_id, uri)
    with stage_output(TRACK) as folder:
        write_json(folder / "run.json", {"run_id": run_id, "experiment": config.track.experiment})

    output.print(similarity_table(rows, output.width, SHOWN_NODES))
    output.print(accuracy_line(metrics, noun_of(load_inputs(INPUTS))))
    if before is not None:
        output.print(f"since the run before: {before.words(content)}")
    output.print(f"report:      {REPORT.resolve().as_uri()}")
    output.print(f"MLflow run:  {run_id} ({'new' if new else 'logged before'}), experiment {config.track.experiment}")
    next_step(f"{shown_store(uri)}, to compare the experiments")


if __name__ == "__main__":
    run_stage(track, __doc__ or "")
