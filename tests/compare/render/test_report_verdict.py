import pytest

from stages.compare.diagnose.finding import KINDS, Effect, Finding
from stages.compare.gather.similarity import Similarity
from stages.compare.render.report_verdict import FIRST_LOOK, finding_lines, verdict

CURE = "quant.skip_nodes=[/mid/Conv]"
FINDINGS = [
    Finding("falls", "/mid/Conv", "it falls <here>", {"a": 1.0}, CURE, Effect("isolated cosine", 0.75, 1.0)),
    Finding("debug", None, "others please", {"known": 1}),
]


def row(name, average, **more):
    return {"node": name, "cosine_avg": average, **more}


def said(rows, findings=(), worst=None):
    conclusion = verdict(Similarity({row["node"]: row for row in rows}, rows[-1]), findings, worst)
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


def test_every_kind_of_finding_has_a_place_to_look_at():
    assert set(FIRST_LOOK) == set(KINDS)


def test_findings_on_the_terminal():
    assert finding_lines(FINDINGS) == [
        "finding 1: it falls <here>",
        "  try: python -m stages.compose --keep 'quant.skip_nodes=[/mid/Conv]' && dvc repro",
        "finding 2: others please",
    ]
    assert finding_lines([]) == []
