import pytest

from stages.compare.diagnose.cure import Cure
from stages.compare.diagnose.finding import KINDS, Effect, Finding
from stages.compare.diagnose.outcome import Outcome
from stages.compare.gather.similarity import Similarity
from stages.compare.render.report_verdict import FIRST_LOOK, cure_lines, finding_lines, verdict
from stages.core.outputs.answers import Answers
from stages.core.outputs.judged_set import JudgedSet
from stages.core.outputs.output_error import PartError
from stages.core.outputs.output_judge import Level, OutputJudgement
from stages.core.outputs.output_kind import OutputKind
from stages.core.statistics.task_metric import TaskMetric
from tests.compare.detected import observed, picture
from tests.compare.detected import row as boxes_in_a_row
from tests.compare.outcomes import came_through

CURE = "quant.skip_nodes=[/mid/Conv]"
FINDINGS = [
    Finding("falls", "/mid/Conv", "it falls <here>", {"a": 1.0}, CURE, Effect("isolated cosine", 0.75, 1.0)),
    Finding("debug", None, "others please", {"known": 1}),
]


def row(name, average, **more):
    return {"node": name, "cosine_avg": average, **more}


def judged(fidelity, output="logits", part="", kind=OutputKind.class_scores, **more):
    """An output of variance 1 whose error leaves that fidelity."""
    return OutputJudgement(output, kind, [PartError(output, part, 40, 1.0, (1 - fidelity**2) ** 0.5)], [1.0], **more)


def said(rows, findings=(), worst=None, outputs=(), boxes=None):
    similarity = Similarity({row["node"]: row for row in rows}, rows[-1])
    conclusion = verdict(similarity, came_through(outputs, boxes), findings, worst)
    return conclusion.level, conclusion.sentence


def test_good():
    rows = [row("stem", 0.9), row("fc", 0.9912)]
    assert said(rows, outputs=[judged(0.99)]) == (
        "good",
        "Good: the output logits (class scores) is off by 14 % of its variation "
        "(fidelity 0.9900 on 4 debug pictures); cosine 0.9912 on the debug pictures.",
    )
    assert said(rows) == ("good", "Good: the output (fc) has cosine 0.9912 on the debug pictures.")


@pytest.mark.parametrize(("fidelity", "level", "word"), [(0.979, "look", "Look here"), (0.749, "broken", "Broken")])
def test_the_layer_that_errs_most_is_named(fidelity, level, word):
    rows = [row("/mid/Conv", 0.9321, isolated_sqnr=12.34), row("fc", 0.9999, isolated_sqnr=30.0)]
    conclusion = said(rows, worst=rows[0], outputs=[judged(fidelity)])
    assert conclusion[0] == level
    assert conclusion[1].startswith(f"{word}: the output logits (class scores) is off by ")
    assert conclusion[1].endswith(
        f"(fidelity {fidelity:.4f} on 4 debug pictures; 1: equal, good from 0.98); "
        "cosine 0.9999 on the debug pictures; the layer that errs most by itself is /mid/Conv (12.3 dB alone)."
    )


def test_what_is_named_where_nothing_else_is_known():
    rows = [row("/mid/Conv", 0.4321), row("fc", 0.9912)]
    assert said(rows, outputs=[judged(0.9)])[1].endswith("; the worst is /mid/Conv (0.4321).")
    assert said(rows[1:], outputs=[judged(0.9)])[1].endswith("; no layer errs by itself.")


def test_a_finding_goes_first():
    rows = [row("stem", 0.9999), row("fc", 0.9912)]
    assert said(rows, FINDINGS, rows[0], [judged(0.99)]) == (
        "look",
        "Look here: the output logits (class scores) is off by 14 % of its variation "
        "(fidelity 0.9900 on 4 debug pictures); cosine 0.9912 on the debug pictures; "
        "look first at /mid/Conv (finding 1).",
    )


def test_debug_pictures_that_served_say_nothing_against_the_network():
    assert said([row("fc", 0.9912)], FINDINGS[1:], outputs=[judged(0.99)])[0] == "good"


def test_the_worst_of_several_outputs_is_named_with_its_part_and_answers():
    outputs = [
        judged(0.5, "h", kind=OutputKind.state),
        judged(0.97, "boxes", "sigmoid", OutputKind.values),
        judged(0.99, "scores", answers=Answers(4, 1, 2, "best classes")),
    ]
    level, sentence = said([row("fc", 0.9999)], outputs=outputs)
    assert level == "look"
    assert "the worst of 3 outputs, boxes (values), its part sigmoid, is off by 24 % of its variation" in sentence
    assert "1 of 4 best classes changed" in said([row("fc", 0.9999)], outputs=outputs[2:])[1]


def test_pictures_that_cannot_tell():
    nothing = judged(0.5, kind=OutputKind.heat_map, silent="the float network gives at most 0.01, so it finds nothing")
    assert said([row("fc", 0.3)], outputs=[nothing]) == (
        "unjudged",
        "Cannot tell: the output logits (heat map) cannot be judged on these 4 debug pictures: the float network gives "
        "at most 0.01, so it finds nothing; cosine 0.3000 on the debug pictures; take pictures that "
        "show what the network is for (data.debug).",
    )
    assert said([row("fc", 0.3)], outputs=[nothing, judged(0.99)])[0] == "good"
    assert said([row("fc", 0.3)], FINDINGS, outputs=[nothing])[0] == "look"


def test_one_number_is_said_with_its_float_values():
    """A score that never rises above 0 may be the logit of something that no picture shows."""
    output = judged(0.99, kind=OutputKind.number, span=(-8.1234, 0.8))
    sentence = said([row("fc", 0.9999)], outputs=[output])[1]
    assert sentence.startswith("Good: the output logits (one number of -8.12 to 0.8) is off by")


def test_what_calibration_has_not_seen_is_no_matter_where_the_evaluation_samples_are_good():
    finding, rows = Finding("calibration", None, "it saw less", {}), [row("fc", 0.9999)]
    sets = [JudgedSet(name, 8, [judged(0.99)]) for name in ("debug", "evaluation")]
    similarity = Similarity({"fc": rows[0]}, rows[0])
    levels = [
        verdict(similarity, Outcome.of(sets[0], other, "picture"), [finding], None).level for other in (None, sets[1])
    ]
    assert levels == ["look", "good"]
    falls = Finding("falls", "fc", "it falls", {})
    assert verdict(similarity, Outcome.of(*sets, "picture"), [finding, falls], None).level == "look"


def test_a_dead_part_is_a_broken_output():
    ruined = Finding("parts", "join", "it is ruined", {"output": "y"})
    level, sentence = said([row("fc", 0.9999)], [ruined], outputs=[judged(0.99)])
    assert (level, sentence[-42:]) == ("broken", "look first at what join joins (finding 1)."[-42:])
    inside = Finding("parts", "join", "it is ruined", {})
    assert said([row("fc", 0.9999)], [inside], outputs=[judged(0.99)])[0] == "look"


LOST_BOXES = Finding("boxes", None, "they are lost", {})


def test_a_detector_is_as_good_as_its_boxes():
    """Whatever its outputs say."""
    dead = observed(picture(boxes_in_a_row(12), boxes_in_a_row(0)))
    level, sentence = said([row("fc", 0.9999)], [LOST_BOXES], outputs=[judged(0.99)], boxes=dead)
    assert level == "broken"
    assert sentence.startswith(
        "Broken: the quantized network has 0 of the float network's 12 boxes (95 % CI 0 to 24 %) on 1 debug picture; "
        "the output logits"
    )
    some = observed(picture(boxes_in_a_row(12), boxes_in_a_row(7)))
    assert said([row("fc", 0.5)], [LOST_BOXES], outputs=[judged(0.1)], boxes=some)[0] == "look"
    sound = observed(picture(boxes_in_a_row(12), boxes_in_a_row(11)))
    assert said([row("mid", 0.9), row("fc", 0.5)], outputs=[judged(0.1)], boxes=sound)[0] == "good"


def test_few_boxes_do_not_make_an_output_good_nor_broken():
    few = observed(picture(boxes_in_a_row(5), boxes_in_a_row(4)))
    level, sentence = said([row("fc", 0.5)], outputs=[judged(0.1)], boxes=few)
    assert level == "unjudged"
    assert "has 4 of the float network's 5 boxes on 1 debug picture, too few to go by; the output" in sentence
    assert said([row("fc", 0.5)], outputs=[judged(0.99)], boxes=few)[0] == "good"
    for count, level in ((3, "good"), (2, "unjudged"), (0, "unjudged")):
        found = observed(picture(boxes_in_a_row(count), boxes_in_a_row(count)))
        assert said([row("fc", 0.5)], outputs=[judged(0.1)], boxes=found)[0] == level
    lost = observed(picture(boxes_in_a_row(3), boxes_in_a_row(0)))
    assert said([row("fc", 0.9999)], [LOST_BOXES], outputs=[judged(0.99)], boxes=lost)[0] == "broken"


def test_every_kind_of_finding_has_a_place_to_look_at():
    assert set(FIRST_LOOK) == set(KINDS)


def test_findings_on_the_terminal():
    assert finding_lines(FINDINGS) == [
        "finding 1: it falls <here>",
        "  try: python -m stages.compose --keep 'quant.skip_nodes=[/mid/Conv]' && dvc repro",
        "       isolated cosine 0.75 -> 1",
        "finding 2: others please",
    ]
    cut = Finding("parts", "join", "so it is", {}, "model.cut=true model.outputs=[]")
    assert (
        finding_lines([cut])[1]
        == "  try: python -m stages.compose --keep model.cut=true 'model.outputs=[]' && dvc repro"
    )
    assert finding_lines([]) == []


def test_cures_on_the_terminal():
    effect = Effect("fidelity of the outputs", 0.5, 0.99)
    lines = cure_lines([Cure("quant=best", effect, Level.good, False, 0), Cure(CURE, effect, Level.good, True, 1)])
    assert lines == [
        "cure 1, fidelity of the outputs 0.5 -> 0.99 (on the PC only: no converter takes a scale a channel of "
        "features): python -m stages.compose --keep quant=best && dvc repro",
        "cure 2, fidelity of the outputs 0.5 -> 0.99: python -m stages.compose --keep "
        "'quant.skip_nodes=[/mid/Conv]' && dvc repro",
    ]


def test_a_cure_that_is_not_enough_says_so():
    cure = Cure("quant=best", Effect("fidelity of the outputs", 0.0, 0.5), Level.broken, True, 0)
    assert cure_lines([cure])[0].startswith("cure 1, fidelity of the outputs 0 -> 0.5, still below 0.98: ")


def test_one_with_which_the_answers_stay_is_enough():
    effect = Effect("fidelity of the outputs", 0.4, 0.95, good=True)
    cure = Cure("quant=best", effect, Level.good, True, 0)
    assert cure_lines([cure])[0].startswith("cure 1, fidelity of the outputs 0.4 -> 0.95, which is good: the answers")


def test_what_is_not_finite_inside_is_looked_at_however_good_the_outputs_are():
    finding = Finding("not_finite", "log", "log is infinite", {})
    level, sentence = said([row("fc", 0.9912)], [finding], outputs=[judged(0.99)])
    assert level == "look"
    assert said([row("fc", 0.9912)], [finding], outputs=[judged(0.5)])[0] == "broken"
    assert sentence.endswith("look first at log, which is infinite or not a number (finding 1).")
    similarity, task = Similarity({}, row("fc", 0.9912)), TaskMetric("top-1", 0.8, 0.8, 64)
    assert verdict(similarity, came_through([judged(0.99)], task=task), [finding], None).level == "good"


def test_a_line_of_several_findings_is_printed_once():
    lines = finding_lines([FINDINGS[0], FINDINGS[0]])
    assert lines[-1] == "  try: the line of finding 1"
    assert sum(CURE in line for line in lines) == 1
