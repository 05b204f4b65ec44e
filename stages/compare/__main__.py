"""Reads out/export, out/quantize, out/calibset, data; writes out/compare: tables, diagnosis, plot, report."""

from stages.compare.background import Background
from stages.compare.cures.cures import with_cures
from stages.compare.diagnose.diagnosis import diagnose
from stages.compare.gather.gather import gather
from stages.compare.render.render import begin_figures, render
from stages.compare.render.report_figures import load_plots
from stages.core.base.artifacts import discard, stage_output
from stages.core.base.paths import COMPARE
from stages.core.command import run_stage
from stages.core.config.schema import Config
from stages.core.config.settings_record import compare_settings, save_settings


def compare(config: Config) -> None:
    discard(COMPARE)
    with stage_output(COMPARE) as folder, Background() as background:
        background.prepare(load_plots)
        gathered = gather(config, folder, background)
        figures = begin_figures(gathered, config, background)  # drawn while the diagnosis runs networks
        diagnosis = with_cures(diagnose(gathered, config), config)
        rendered = render(gathered, diagnosis, figures, config)
        rendered.write_files(folder)
        save_settings(folder, compare_settings(config))
    rendered.show()


if __name__ == "__main__":
    run_stage(compare, __doc__ or "")
