from benchmarks.diagnosis.project import compose_command, finding_bar, finding_columns, first_cure

PRINTED = """\
12 of 94 nodes are poor
finding 1: one thing
  try: python -m stages.compose --keep 'a=[b,c]' && dvc repro
finding 2: another
  try: python -m stages.compose --keep d=e && dvc repro
"""


def test_the_line_under_the_first_finding() -> None:
    assert first_cure(PRINTED) == "python -m stages.compose --keep 'a=[b,c]' && dvc repro"
    assert first_cure("finding 1: no cure\nfinding 2: one\n  try: x\n") is None
    assert first_cure("all is well\n") is None


def test_the_shell_gets_every_override_whole() -> None:
    line = compose_command(["data=folder", 'data.evaluation.labels="file:/a folder/labels.csv"'])
    assert line == """python -m stages.compose data=folder 'data.evaluation.labels="file:/a folder/labels.csv"'"""


def test_the_first_finding() -> None:
    finding = {"kind": "range", "node": "conv", "cure": "quant.node_ranges=false", "sentence": "too wide"}
    row = finding_columns("wide", [finding, {"kind": "boxes"}])
    assert row == {"fault": "wide", "first_finding": "range", "node": "conv", "cure": "quant.node_ranges=false"}
    assert finding_bar("range", "conv", row) == ("first finding: range conv", "range conv", True)
    assert finding_bar("range", "other", row) == ("first finding: range other", "range conv", False)
    assert finding_bar(None, None, row) == ("first finding: none", "range conv", False)
    assert finding_bar(None, None, finding_columns("sound", [])) == ("first finding: none", "none", True)
