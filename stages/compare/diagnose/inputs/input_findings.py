"""Whether the network is fed as it was trained: colour order, mean, normal.

Two kinds of evidence. The batch norms that export noted say which mean and deviation each channel of the first layers
had in training: pictures that are fed alike bring the channels near to them. Labels say it where there are any: a
network that sees what it was trained on gives them more probability. Neither asks the quantized network anything.
"""

from collections.abc import Callable, Sequence

from stages.compare.diagnose.finding import Effect, Finding
from stages.compare.diagnose.inputs.input_evidence import InputEvidence
from stages.compare.diagnose.inputs.input_fit import (
    MAX_MISFIT,
    STANDARD_ERRORS,
    clearly_better,
    contrast_misfit,
    misfit,
    surely_likelier,
)
from stages.compare.diagnose.inputs.preprocessing_variants import PreprocessingVariant, alternatives, inputs_override
from stages.core.config.schema import InputConfig

__all__ = ["best_variant", "input_findings"]

MIN_COLOUR_RATIO, MIN_NORMAL_RATIO = 1.5, 3.0
"""An alternative must fit so many times as well. Exchanged colours of photos differ little, so the first is low; dark
or flat pictures are nearer to another mean or normal than to their own, so the second is not. Of 13 pictures drawn anew
300 times none made exchanged colours fit EfficientNet-Lite0 so much better."""
NORMAL_STANDARD_ERRORS = 1.0
"""From so many on an advantage of another mean or normal counts, which must fit 3 times as well anyway. Measured on
EfficientNet-Lite0 fed with ImageNet's: of 16 photos drawn anew 50 times 50 find it, 32 at 2 standard errors; fed as
trained none of 800 draws of 8 and 16 photos, dark, bright and flat ones by themselves too, took another mean or normal
for its own at 1."""


def best_variant(configured: PreprocessingVariant, evidence: InputEvidence) -> PreprocessingVariant:
    """Find how the network was fed in training; gives the configured variant unless another is clearly better."""
    best = configured
    for _ in range(2):  # the colour may be wrong and the mean too, and neither cure alone enough
        better = [other for other in alternatives(best) if other != configured and _better(best, other, evidence)]
        if not better and evidence.standardized(best) and misfit(evidence.standardized(best)) > MAX_MISFIT:
            both = dict.fromkeys(other for first in alternatives(best) for other in alternatives(first))
            better = [other for other in both if other not in (best, configured) and _better(best, other, evidence)]
        if not better:
            return best
        best = min(better, key=_rank(evidence))
    return best


def _rank(evidence: InputEvidence) -> Callable[[PreprocessingVariant], tuple[float, float]]:
    """Best fit first; without batch norms the likeliest labels."""

    def rank(variant: PreprocessingVariant) -> tuple[float, float]:
        standardized, likelihoods = evidence.standardized(variant), evidence.likelihoods(variant)
        return misfit(standardized) if standardized else 0.0, -float(likelihoods.mean()) if likelihoods.size else 0.0

    return rank


def _better(now: PreprocessingVariant, other: PreprocessingVariant, evidence: InputEvidence) -> bool:
    colour_alone = other.normalizes_like(now)
    needed = (MIN_COLOUR_RATIO, STANDARD_ERRORS) if colour_alone else (MIN_NORMAL_RATIO, NORMAL_STANDARD_ERRORS)
    if evidence.hopeless(now, other, 1 / MIN_COLOUR_RATIO if colour_alone else MIN_NORMAL_RATIO / 2):
        return False
    before, after = evidence.standardized(now), evidence.standardized(other)
    fits = clearly_better(before, after, *needed)
    if fits and not colour_alone:
        # dark pictures have the mean of another variant, but not its contrast
        fits = contrast_misfit(after) <= contrast_misfit(before)
    if before and not fits and (not colour_alone or clearly_better(after, before, *needed)):
        return False  # labels cost a run of the whole network each: asked where the norms cannot tell
    if not fits and evidence.unlikely(now, other):
        return False
    likelihoods, others = evidence.likelihoods(now), evidence.likelihoods(other)
    contradicted = bool(likelihoods.size) and others.mean() < likelihoods.mean()
    return surely_likelier(likelihoods, others, evidence.chance) or (fits and not contradicted)


def input_findings(
    configured: PreprocessingVariant,
    best: PreprocessingVariant,
    evidence: InputEvidence,
    config: Sequence[InputConfig],
) -> list[Finding]:
    """Say that another variant fits, by what, and how to feed that way.

    Args:
        configured: the variant that is configured.
        best: what `best_variant` gave.
        evidence: what it went by.
        config: `model.inputs`.
    """
    if best == configured:
        return []
    measures: dict[str, float | str] = {"configured": str(configured), "fits": str(best)}
    reasons, effect = [], None
    if evidence.standardized(configured):
        before, after = (misfit(evidence.standardized(variant)) for variant in (configured, best))
        measures |= {"misfit_configured": before, "misfit_fits": after}
        effect = Effect("misfit", before, after)
        reasons.append(f"the first batch norms' channels are {after:.3g} from what training saw, not {before:.3g}")
    if evidence.likelihoods(configured).size and evidence.likelihoods(best).size:
        before, after = (float(evidence.likelihoods(variant).mean()) for variant in (configured, best))
        measures |= {"log_likelihood_configured": before, "log_likelihood_fits": after}
        effect = effect or Effect("log-likelihood of the labels in nats", before, after)
        reasons.append(f"the labels' mean log-likelihood is {after:.3g} nats, not {before:.3g}")
    sentence = f"the network is fed {configured}, and {best} fits it better: {'; '.join(reasons)}"
    return [Finding("input", None, sentence, measures, inputs_override(config, best), effect)]
