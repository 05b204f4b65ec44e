import subprocess

import pytest

from benchmarks import mutants
from benchmarks.mutants import MUTANTS, Mutant, Outcome, check, killer, measure, passes, table
from stages.core.base.errors import UserError

PLUS = Mutant("sum.py", "a + b", "a - b", "test_sum.py")


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A project of one module and its test."""
    (tmp_path / "sum.py").write_text("def total(a, b):\n    return a + b\n")
    (tmp_path / "test_sum.py").write_text("from sum import total\n\n\ndef test_total():\n    assert total(1, 2) == 3\n")
    monkeypatch.setattr(mutants, "PROJECT", tmp_path)
    return tmp_path


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: f"{mutant.file}:{mutant.text.strip()}")
def test_every_mutant_fits_the_source(mutant):
    check(mutant)


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("a - b", "sum.py holds 'a + b' 0 times, and once is needed: choose the text anew"),
        ("a + b + a + b", "sum.py holds 'a + b' 2 times"),
        (None, "there is no sum.py: name the file that it is now"),
    ],
)
def test_a_mutant_that_does_not_fit_is_refused_before_any_test_runs(project, source, said):
    if source is None:
        (project / "sum.py").unlink()
    else:
        (project / "sum.py").write_text(source)
    with pytest.raises(UserError) as caught:
        measure([PLUS], 1, None)
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("answers", "killed_by"), [([True, False], "quick"), ([True, True, False], "all"), ([True, True, True], None)]
)
def test_quick_tests_come_first_and_the_source_comes_back(project, monkeypatch, answers, killed_by):
    sources = []

    def answer(checkout, arguments):
        sources.append((checkout / "sum.py").read_text().splitlines()[-1].strip())
        return answers[len(sources) - 1]

    monkeypatch.setattr(mutants, "passes", answer)
    assert killer(PLUS, project) == killed_by
    assert sources == ["return a + b", *["return a - b"] * (len(answers) - 1)]
    assert (project / "sum.py").read_text().endswith("return a + b\n")


def test_tests_that_fail_without_a_mutant_are_an_error(project, monkeypatch):
    monkeypatch.setattr(mutants, "passes", lambda *_: False)
    with pytest.raises(UserError, match=r"test_sum\.py fails as it is: mend that first"):
        killer(PLUS, project)


@pytest.mark.slow
def test_what_pytest_says(project):
    here = ["-n", "0", "--rootdir", str(project)]
    assert passes(project, here)
    (project / "sum.py").write_text("def total(a, b):\n    return a - b\n")
    assert not passes(project, here)
    (project / "sum.py").write_text("def total(a, b)\n")
    with pytest.raises(UserError, match=r"ended with exit code [12]: "):
        passes(project, here)


@pytest.mark.parametrize(("killed_by", "code", "said"), [("quick", 0, "1 of 1"), (None, 1, "0 of 1")])
def test_a_survivor_is_exit_code_1(project, monkeypatch, capsys, killed_by, code, said):
    subprocess.run(["git", "init", "-q"], cwd=project, check=True)
    monkeypatch.setattr(mutants, "killer", lambda *_: killed_by)
    assert measure([PLUS], 1, project / "rows.json") == code
    assert f"score: {said} mutants killed" in capsys.readouterr().out
    assert (
        f'"killed_by": {"null" if killed_by is None else chr(34) + killed_by + chr(34)}'
        in (project / "rows.json").read_text()
    )


def test_the_table_says_what_became_of_each():
    shown = table([Outcome(PLUS, "quick"), Outcome(PLUS, None)])
    assert list(shown.columns[-1].cells) == ["killed (quick)", "survived"]
