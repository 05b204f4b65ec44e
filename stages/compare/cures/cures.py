"""Trying cures: what is printed as one has helped, by as much as is said."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from stages.compare.cures.candidates import (
    ALLOTMENT,
    PER_TENSOR,
    autotune_for,
    candidates,
    is_sure,
    tried_by_outputs,
    widens,
    without_line,
)
from stages.compare.cures.trial import OUTPUTS, SCRATCH_PREFIX, outcome_on, try_line, why_untried
from stages.compare.diagnose.cure import Cure, best_first, by_task, effect_of, helps, may_help
from stages.compare.diagnose.diagnosis import Diagnosis
from stages.compare.diagnose.finding import REMARKS, Effect, Finding, fidelity_of_output, worst_first
from stages.compare.diagnose.outcome import Outcome
from stages.core.base.artifacts import remove_leftovers
from stages.core.base.console import counted, progress, say
from stages.core.base.errors import UserError
from stages.core.config.overrides import split_overrides
from stages.core.config.schema import Config
from stages.core.outputs.output_judge import Level

__all__ = ["with_cures"]

FEW_CODES = "few_codes"


def with_cures(diagnosis: Diagnosis, config: Config) -> Diagnosis:
    """Try cures, and leave out of a diagnosis what did not help.

    Each line is applied as a user would apply it: composed with the experiment, quantized, and run on the pictures that
    the verdict goes by, or on some of them. The findings' own lines come first, then settings that help many networks;
    the trials end when one that the vendor's converter takes makes the network good, or after `compare.cures`. If none
    does, the best is tried together with others, as long as that helps, for up to half as many trials.

    Args:
        diagnosis: with lines that nobody has tried.
        config: the experiment.

    Returns:
        The diagnosis with the cures that help, best first. A finding keeps its line with the effect that was measured;
        one of a single layer whose mending does not help is no finding.
    """
    if not any(candidates(diagnosis, config)):
        return diagnosis
    if why := why_untried(config):
        findings = [without_line(finding) for finding in diagnosis.findings]
        return replace(diagnosis, findings=findings, notes=[f"no cure was tried: {why}"])
    remove_leftovers(OUTPUTS, SCRATCH_PREFIX)
    before = diagnosis.outcome
    if not by_task(before):
        before = outcome_on(before.judged.name, Path.cwd(), config)
    lost = may_help(before)
    trials, notes = _Trials(diagnosis, config, before), list[str]()
    own = {finding.cure for finding in diagnosis.findings if tried_by_outputs(finding)}
    say("cures", f"trying up to {config.compare.cures}, minutes: compare.cures=0 leaves them out", "dim")
    with progress("cures", config.compare.cures) as advance:
        for line in candidates(diagnosis, config) if lost else ():
            enough = trials.good_lines and line not in own
            if enough or len(trials.tried) >= config.compare.cures:
                break
            if line.endswith(PER_TENSOR) and not trials.scaled_by_channel:
                continue  # the same as what was tried before
            notes += trials.run(line if line in own else trials.with_base(line))
            advance()
        for _ in range(max(config.compare.cures // 2, 1)):
            if trials.good_lines or not (line := trials.together):
                break
            notes += trials.run(line)
            advance()
        if any(widens(line) for line in trials.good_lines) and not config.quant.node_bits:
            notes += trials.run(ALLOTMENT, autotune_for(diagnosis.outcome))
            advance()
    cures = best_first(trials.tried.values())
    kept = [finding for finding in diagnosis.findings if lost or is_sure(finding)]
    findings = [found for finding in kept if (found := _judged(finding, trials)) is not None]
    if diagnosis.accumulated is not None and all(finding.kind in REMARKS for finding in findings):
        findings = worst_first([diagnosis.accumulated, *findings])
    if diagnosis.outcome.level in (Level.look, Level.broken) and not cures:
        notes.append(f"none of {counted(len(trials.tried), 'line')} that were tried helps the outputs")
    return replace(diagnosis, findings=findings, cures=cures, tried=list(trials.tried.values()), notes=notes)


class _Trials:
    """The trials of one network."""

    def __init__(self, diagnosis: Diagnosis, config: Config, before: Outcome) -> None:
        self._before, self._config = before, config
        self._lost = [finding for finding in diagnosis.findings if finding.kind == FEW_CODES]
        self._refused: set[str] = set()
        self.tried: dict[str, Cure] = {}
        self.outcomes: dict[str, Outcome] = {}
        self.scaled_by_channel = False

    def run(self, line: str, preparation: Sequence[str] = ()) -> list[str]:
        """Try a line; gives a note if the line, or a stage with it, is refused."""
        try:
            samples = None if by_task(self._before) else self._before.judged.name
            result = try_line(line, self._config, samples, preparation)
        except UserError as error:
            self._refused.add(line)
            say("tried", f"{line}: refused: {error}", "dim")
            return [f"{line} could not be tried: {error}"]
        self.scaled_by_channel = result.channel_scales
        effect = effect_of(self._before, result.outcome)
        level, number = result.outcome.level, len(self.tried)
        cure = Cure(line, effect, level, not result.channel_scales, number, preparation)
        say("tried", f"{line}: {effect.words()}{'' if cure.helps else ', no help'}", "dim")
        self.tried[line] = cure
        self.outcomes[line] = result.outcome
        return []

    def effect_on(self, finding: Finding) -> Effect | None:
        """What a finding's line does, one of lost logits to its own output; None where it was not tried."""
        line = finding.cure or ""
        if line not in self.tried:
            return None
        if finding.kind != FEW_CODES:
            return self.tried[line].effect
        output = str(finding.evidence["output"])
        before, after = (outcome.fidelity_of(output) for outcome in (self._before, self.outcomes[line]))
        return Effect(fidelity_of_output(output), before, after, samples=self._before.samples)

    def with_base(self, line: str) -> str:
        """A line together with that of lost logits: while these have no codes, nothing else helps the worst output."""
        base = next((finding.cure for finding in self._lost if finding.cure in self.tried), None)
        return f"{base} {line}" if base and _keys(base).isdisjoint(_keys(line)) else line

    @property
    def good_lines(self) -> list[str]:
        """The lines that the vendor's converter takes and that make the network good."""
        tried = self.tried.items()
        return [line for line, cure in tried if cure.level is Level.good and cure.converter and cure.helps]

    @property
    def together(self) -> str:
        """The best line that the converter takes, with the best one of those that set other keys; empty without.

        What was tried already is left out: so a third line joins two that help together.
        """
        lines = [cure.override for cure in best_first(self.tried.values()) if cure.converter]
        pairs = [_joined(lines[0], line) for line in lines[1:]]
        return next((pair for pair in pairs if pair and pair not in self._refused | {*self.tried}), "")


def _joined(line: str, other: str) -> str:
    """A line with what another one sets beside; empty where that is nothing, or the same key otherwise."""
    more = [override for override in split_overrides(other) if override not in split_overrides(line)]
    return " ".join([line, *more]) if more and _keys(line).isdisjoint(_keys(" ".join(more))) else ""


def _keys(line: str) -> set[str]:
    """The keys that a line sets."""
    return {override.partition("=")[0] for override in split_overrides(line)}


def _judged(finding: Finding, trials: _Trials) -> Finding | None:
    """A finding with the effect of its line, without a line that does not help; None where it is then no finding."""
    if not tried_by_outputs(finding):
        return finding
    effect = trials.effect_on(finding)
    if effect is not None and helps(effect):
        return replace(finding, effect=effect)
    return without_line(finding) if effect is None or is_sure(finding) else None
