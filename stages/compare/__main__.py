"""Reads out/export, out/quantize, out/calibset, data; writes out/compare: tables, diagnosis, plot, report."""

from dataclasses import replace

from stages.compare.background import Background
from stages.compare.cures.candidates import candidates, without_line
from stages.compare.diagnose.diagnosis import Diagnosis, diagnose
from stages.compare.gather.gather import gather
from stages.compare.render.render import begin_figures, render
from stages.compare.render.report_figures import load_plots
from stages.core.base.artifacts import discard, stage_output
from stages.core.base.console import say
from stages.core.base.paths import COMPARE
from stages.core.command import run_stage
from stages.core.config.schema import Config
from stages.core.config.settings_record import compare_settings, save_settings

UNTRIED = "no cure was tried: compare.cures=0"


def compare(config: Config) -> None:
    discard(COMPARE)
    with stage_output(COMPARE) as folder, Background() as background:
        background.prepare(load_plots)
        gathered = gather(config, folder, background)
        figures = begin_figures(gathered, config, background)  # drawn while the diagnosis runs networks
        diagnosis = _treated(diagnose(gathered, config), config)
        rendered = render(gathered, diagnosis, figures, config)
        rendered.write_files(folder)
        save_settings(folder, compare_settings(config))
    rendered.show()


def _treated(diagnosis: Diagnosis, config: Config) -> Diagnosis:
    """The diagnosis with the cures that help; as they take minutes, what became of the outputs is said before."""
    if not config.compare.cures:
        findings = [without_line(finding) for finding in diagnosis.findings]
        untried = [UNTRIED] if findings != list(diagnosis.findings) and not diagnosis.notes else []
        return replace(diagnosis, findings=findings, notes=[*diagnosis.notes, *untried])
    if any(candidates(diagnosis, config)):
        say("so far", f"{diagnosis.outcome.words()}; the verdict follows the cures", "bold")
    from stages.compare.cures.cures import with_cures  # noqa: PLC0415  (it composes, which takes Hydra)

    return with_cures(diagnosis, config)


if __name__ == "__main__":
    run_stage(compare, __doc__ or "")
