import numpy as np
import pytest

from stages.compare.diagnose.finding import KINDS, Effect, Finding
from stages.compare.gather.observed_parts import ObservedJoint, ObservedPart
from stages.compare.gather.similarity import Similarity
from stages.compare.render.report_verdict import FIRST_LOOK, OutputEvidence, finding_lines, verdict
from stages.core.outputs.joints import Joint, Part
from tests.compare.detected import observed, picture
from tests.compare.detected import row as boxes_in_a_row

CURE = "quant.skip_nodes=[/mid/Conv]"
FINDINGS = [
    Finding("falls", "/mid/Conv", "it falls <here>", {"a": 1.0}, CURE, Effect("isolated cosine", 0.75, 1.0)),
    Finding("debug", None, "others please", {"known": 1}),
]


def row(name, average, **more):
    return {"node": name, "cosine_avg": average, **more}


def output_of_parts(*errors, by_channel=False, values=40):
    """Parts called part 0, part 1, ... with these errors in parts of their deviations."""
    parts = [
        ObservedPart(Part(f"part {index}", np.arange(4)), values, 0.0, 1.0, 2.0, 2.0 * error, None, 40, 2)
        for index, error in enumerate(errors)
    ]
    return ObservedJoint(Joint("y", "fc", [each.part for each in parts], {}, True, by_channel), parts)


def said(rows, findings=(), worst=None, joints=(), boxes=None):
    conclusion = verdict(
        Similarity({row["node"]: row for row in rows}, rows[-1]), OutputEvidence(joints, boxes), findings, worst
    )
    return conclusion.level, conclusion.sentence


def test_good():
    assert said([row("stem", 0.9999), row("fc", 0.9912)]) == (
        "good", "Good: the output (fc) has cosine 0.9912, and no node is below 0.98.",
    )  # fmt: skip


@pytest.mark.parametrize(("end", "level", "word"), [(0.9566, "look", "Look here"), (0.9499, "broken", "Broken")])
def test_the_layer_that_errs_most_is_named(end, level, word):
    rows = [row("/mid/Conv", 0.9321, isolated_sqnr=12.34), row("fc", end, isolated_sqnr=30.0)]
    assert said(rows, worst=rows[0]) == (
        level,
        f"{word}: the output (fc) has cosine {end:.4f}, 2 of 2 nodes are below 0.98; the layer that errs most by "
        "itself is /mid/Conv (12.3 dB alone).",
    )


@pytest.mark.parametrize("worst", [None, row("/mid/Conv", 0.4321)])
def test_the_least_similar_is_named_where_nothing_else_is_known(worst):
    rows = [row("/mid/Conv", 0.4321), row("fc", 0.9912)]
    assert said(rows, worst=worst) == (
        "look",
        "Look here: the output (fc) has cosine 0.9912, 1 of 2 nodes is below 0.98; the worst is /mid/Conv (0.4321).",
    )


def test_a_finding_goes_first():
    rows = [row("stem", 0.9999), row("fc", 0.9912)]
    assert said(rows, FINDINGS, rows[0]) == (
        "look",
        "Look here: the output (fc) has cosine 0.9912, no node is below 0.98; look first at /mid/Conv (finding 1).",
    )  # fmt: skip


def test_an_output_is_as_good_as_its_worst_part():
    rows = [row("stem", 0.9999), row("fc", 0.9999)]
    lost = "the output (fc) has cosine 0.9999, its part part 1 an error of 1 of its deviation"
    assert said(rows, joints=[output_of_parts(0.01, 1.0)]) == (
        "look",
        f"Look here: {lost}, no node is below 0.98; part 1 tells no more than a constant on these pictures.",
    )
    ruined = Finding("parts", "join", "it is ruined", {"output": "y"})
    assert said(rows, [ruined], joints=[output_of_parts(0.01, 1.0)]) == (
        "broken", f"Broken: {lost}, no node is below 0.98; look first at what join joins (finding 1).",
    )  # fmt: skip


def test_a_part_that_errs_little_is_named_and_good():
    level, sentence = said([row("fc", 0.9999)], joints=[output_of_parts(0.01, 0.125)])
    assert level == "good"
    assert "its part part 1 an error of 0.12 of its deviation" in sentence


@pytest.mark.parametrize(
    "joint",
    [output_of_parts(1.5), output_of_parts(0.1, 1.5, by_channel=True), output_of_parts(0.1, 1.5, values=3)],
)
def test_no_verdict_by_a_single_part_or_channel_or_few_values(joint):
    assert said([row("fc", 0.9999)], joints=[joint])[0] == "good"


def test_a_ruined_part_inside_is_not_yet_a_broken_output():
    ruined = Finding("parts", "join", "it is ruined", {})
    assert said([row("fc", 0.9999)], [ruined])[0] == "look"


LOST_BOXES = Finding("boxes", None, "they are lost", {})


def test_a_detector_is_as_good_as_its_boxes():
    """Whatever the cosine says."""
    dead = observed(picture(boxes_in_a_row(12), boxes_in_a_row(0)))
    assert said([row("fc", 0.9999)], [LOST_BOXES], boxes=dead) == (
        "broken",
        "Broken: the quantized network has 0 of the float network's 12 boxes (0 to 24 % of such boxes) on 1 "
        "picture; the output (fc) has cosine 0.9999, no node is below 0.98; look first at the boxes that differ "
        "(finding 1).",
    )
    some = observed(picture(boxes_in_a_row(12), boxes_in_a_row(7)))
    assert said([row("fc", 0.5)], [LOST_BOXES], boxes=some)[0] == "look"
    sound = observed(picture(boxes_in_a_row(12), boxes_in_a_row(11)))
    assert said([row("mid", 0.9), row("fc", 0.5)], boxes=sound) == (
        "good",
        "Good: the quantized network has 11 of the float network's 12 boxes (65 to 99 % of such boxes) on 1 "
        "picture; the output (fc) has cosine 0.5000, and 2 of 2 nodes are below 0.98.",
    )


def test_few_boxes_do_not_make_an_output_good():
    few = observed(picture(boxes_in_a_row(3), boxes_in_a_row(3)))
    level, sentence = said([row("fc", 0.5)], boxes=few)
    assert level == "broken"
    assert "has 3 of the float network's 3 boxes on 1 picture, too few to go by; the output" in sentence
    lost = observed(picture(boxes_in_a_row(3), boxes_in_a_row(0)))
    assert said([row("fc", 0.9999)], [LOST_BOXES], boxes=lost)[0] == "broken"


def test_every_kind_of_finding_has_a_place_to_look_at():
    assert set(FIRST_LOOK) == set(KINDS)


def test_findings_on_the_terminal():
    assert finding_lines(FINDINGS) == [
        "finding 1: it falls <here>",
        "  try: python -m stages.compose --keep 'quant.skip_nodes=[/mid/Conv]' && dvc repro",
        "finding 2: others please",
    ]
    cut = Finding("parts", "join", "so it is", {}, "model.cut=true model.outputs=[]")
    assert (
        finding_lines([cut])[1]
        == "  try: python -m stages.compose --keep model.cut=true 'model.outputs=[]' && dvc repro"
    )
    assert finding_lines([]) == []
