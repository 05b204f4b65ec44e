"""Every finding of compare: how it looks, when it is found, what cures it."""

from collections.abc import Mapping
from dataclasses import dataclass

from benchmarks.docs.reference.text import bullet
from stages.compare.diagnose.finding import KINDS, REMARKS

__all__ = ["FINDINGS", "INFORMATION", "FindingPage", "findings_page"]


@dataclass(frozen=True)
class FindingPage:
    """What the page says of a kind of finding.

    Attributes:
        title: what is wrong, in a few words.
        looks: how it looks in the report and in the results.
        found: when compare finds it.
        cures: what compare tries or prints, each an item of a list.
        by_hand: what to do where compare has no line to type.
    """

    title: str
    looks: str
    found: str
    cures: tuple[str, ...] = ()
    by_hand: str = ""


INTRODUCTION = """\
# Every finding

A finding says what is wrong, by what evidence, and what to type. `compare` prints findings, worst first, and
[the report](../report.md) shows them. To see those of the current experiment:

```sh
dvc repro compare
```

A cure is tried before it is printed, and stands there with its measured effect ([how](../verdict.md#cures)).
`out/compare/diagnosis.json` has each finding with its kind, as below
([its keys](../artifacts.md#compare-diagnosisjson)).

The pictures are the report's own plots, of numbers that are made up to show one finding each.
"""
INFORMATION_INTRODUCTION = "These lines of the report are no faults. They have no cure."
FINDINGS: Mapping[str, FindingPage] = {
    "not_finite": FindingPage(
        "A tensor is infinite or not a number",
        "In the table the cosine of the node is 0 and its SQNR -200 dB. So are those of all nodes behind it.",
        "A tensor of the quantized network is infinite or not a number on a debug picture, mostly behind a Log or a "
        "Div that reads the code of 0. The first such node is named.",
        ("`quant.skip_nodes` with up to six layers in integers before it, back to those with weights",),
    ),
    "unquantized": FindingPage(
        "No layer with weights runs in integers",
        "Every row of the table has cosine 1: the float network is compared with itself.",
        "The settings ask for integers, but the SOC has no bit widths for any layer with weights. The notes of "
        "`quantize` give the reason for each.",
        by_hand="another `soc`, or bit widths that it has for these layers. `python -m stages.scan` shows all SOCs.",
    ),
    "parts": FindingPage(
        "Parts of an output share a scale that ruins one of them",
        "One part of an output has a fidelity near 0, the others are good. A detector gives boxes with scores of 0.",
        "One scale leaves a part fewer than 16 steps, and the part's error is half of its own deviation and 3 times "
        "its error before the joint. Or it leaves a part of an output fewer than 4 steps, or at most 4 values and a "
        "quarter of them.",
        ("`model.cut=true` for a detector", "`quant.skip_nodes` of the joint and of what moves its values"),
    ),
    "few_codes": FindingPage(
        "The values of an output that decide have few codes",
        "A detector that is not recognized finds nothing, or far too much; a histogram of its logits is one bar at the "
        "end of the codes.",
        "An output of logits of places ([what that is](../verdict.md#what-an-output-is-judged-by)) is poor, and its "
        "values above 0 have fewer than 16 codes: others far below 0, which say no more than -10 does, take up the "
        "range. The finding gives the range, the bits and the codes that are left, and says where an operator behind, "
        "such as Transpose, keeps it from more bits. Range methods do not help: all weigh or keep the far values.",
        (
            "`quant.skip_nodes` with what only moves the values behind the layer, whose sums then are the output; "
            "where the SOC gives no float outputs with the layer too. What else is tried is tried together with it",
        ),
    ),
    "input": FindingPage(
        "Colour order, mean or normal are wrong",
        "The quantized network agrees with the float one, and both are bad: low accuracy, few boxes, low scores. In "
        "the plot of a detector's scores all dots lie on the diagonal, low down.",
        "Other values fit the training statistics of the first batch norms 1.5 times (colours exchanged) or 3 times "
        "as well, by 2 standard errors or 1, over 32 of the calibration pictures; or they make the labels of "
        "`data.evaluation` likelier, by 0.1 nats and 2 standard errors over 32 pictures.",
        ("`model.inputs=[...]` with the values that fit",),
    ),
    "calibration": FindingPage(
        "The calibration pictures do not show what the network will see",
        "Features clip from the first layers on: their values leave the range of the codes.",
        "The debug pictures leave the ranges that calibration saw, at the input or in a quarter of the features, by "
        "1 % of the signal's energy; over a quarter of the pictures are of one colour; or there are fewer than 10.",
        ("`data.calibration.source`", "`data.calibration.size`"),
    ),
    "range": FindingPage(
        "A range is much too wide, or clips too much",
        "One layer's histogram fills a small part of its codes, or ends in a wall at the last code.",
        "A range of `quant.node_bits` is 4 times as wide as what was seen; or a range of that file, of KL or of "
        "PERCENTILE clips 1 % of the signal's energy. (MSE, ADMM and OUTPUT weigh what clipping costs.)",
        ("`quant.node_ranges=false`", "`quant.feature_method=OUTPUT`"),
    ),
    "bit_width": FindingPage(
        "A node has too few bits",
        "One green bar (the layer alone) is low, and the line falls with it.",
        "A node with fewer bits than most, or a first or last layer below 8 bits, has a quarter of all layers' "
        "isolated errors. It is poor alone, or the output is below 0.99.",
        ("`quant.node_bits_ignore` where your file set the bits", "`quant.edge_bits=8`", "`quant.skip_nodes`"),
    ),
    "channel_imbalance": FindingPage(
        "The channels of one feature differ much in range",
        "In the layer's plot of channel ranges a few bars tower over all others.",
        "A channel is 8 times as wide as the median one, which has fewer than 16 codes, and a consumer of the feature "
        "is below 0.99 alone.",
        (
            "`quant.equalization=cross_layer` where channels can be scaled",
            "`quant.feature_method=OUTPUT`; for weights that share a scale `quant.rounding=compensate`",
            "`quant.skip_nodes`",
        ),
    ),
    "first_layer": FindingPage(
        "The first layer is poor",
        "The line over depth begins below 0.99.",
        "The outputs are poor, nothing above explains it, and a first layer below 0.99 at 8 bits costs most.",
        by_hand="look at colour order, mean and normal, and give `model.inputs=[...]` as the network was trained.",
    ),
    "falls": FindingPage(
        "Similarity falls at a layer",
        "The line over depth drops at one place and stays low.",
        "The outputs are poor, nothing above explains it, and a layer, or up to six that cannot be told apart, makes "
        "a quarter of the outputs' loss.",
        ("`quant.skip_nodes` with these layers",),
    ),
    "accumulates": FindingPage(
        "Many layers cost a little each",
        "The line over depth sinks slowly. No green bar is low.",
        "The outputs are poor, and neither anything above nor a single layer explains it. Where no line of another "
        "finding helps, this one stands too, without a cure.",
        (
            "below 8 bits, and where weights cost more: `quant.rounding=compensate`",
            "where features cost more: `quant.feature_method=OUTPUT` (below 8 bits only after KL and PERCENTILE)",
            "at 8 bits: `quant.weight_correction=true quant.feature_correction=true`",
            "the next wider bit width that the SOC has",
        ),
    ),
    "boxes": FindingPage(
        "A detector loses or invents boxes",
        "On the report's pictures boxes are marked as lost or invented.",
        "It loses or invents surely more than a tenth of its boxes: fewer than one in 20 networks that lose a tenth "
        "would lose as many.",
        ("`model.cut=true` where it brings boxes back, measured on the same run",),
    ),
    "scores": FindingPage(
        "A detector's scores have very few values",
        "In the plot of scores all dots lie on a few horizontal lines.",
        "10 boxes or more of the quantized network have 4 different scores or fewer.",
        by_hand="`model.cut=true` for a head that was left whole, else more bits: `quant.feature_bits`.",
    ),
    "debug": FindingPage(
        "Debug pictures served to quantize",
        "All is good, better than on other pictures. The line over depth stays near 1.",
        "A debug picture is among those that calibrate, correct or validate. It says nothing against the network.",
        by_hand="`data.debug.source` with pictures that serve for nothing else.",
    ),
}
"""By kind."""
INFORMATION: Mapping[str, str] = {
    "input_unchecked": "Neither batch norms nor labels tell how the network was fed in training, or there are too few "
    "pictures, or a picture is not its only input. Look at colour order, mean and normal yourself.",
    "float_layers": "Layers that the SOC runs in float though you did not ask for it. "
    "[Which ONNX operators run](../operators.md) lists those that run in integers.",
    "dead_channels": "Channels that are 0 on the whole debug set: the network could be smaller.",
}
"""By kind."""


def findings_page() -> str:
    """The text of the page, worst first."""
    parts = [INTRODUCTION]
    parts += [_finding(kind, FINDINGS[kind]) for kind in KINDS]
    parts.append(f"## Information\n\n{INFORMATION_INTRODUCTION}\n")
    parts.append("\n".join(bullet(f"`{kind}`: {text}") for kind, text in INFORMATION.items()) + "\n")
    return "\n".join(parts)


def _finding(kind: str, page: FindingPage) -> str:
    remark = " It is a remark: the verdict does not go by it." if kind in REMARKS else ""
    lines = [f"## {page.title}", "", f"Kind `{kind}`.{remark}", ""]
    lines += [bullet(f"**Looks like**: {page.looks}"), bullet(f"**Found when**: {page.found}")]
    if len(page.cures) == 1:
        lines.append(bullet(f"**Cure**: {page.cures[0]}."))
    elif page.cures:
        lines += [
            "- **Cures**, in this order:",
            *(f"    {bullet(cure)}".replace("\n", "\n    ") for cure in page.cures),
        ]
    else:
        lines.append(bullet(f"**Cure**, by hand: {page.by_hand}"))
    lines += ["", f"![{page.title}](../images/findings/{kind}.svg)"]
    return "\n".join([*lines, ""])
