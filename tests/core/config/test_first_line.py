import shlex

import pytest

from stages.core.base.errors import UserError
from stages.core.config.first_line import COMPOSED_WITH, first_line, joined, recorded


@pytest.mark.parametrize(
    ("overrides", "line"),
    [
        ([], "# python -m stages.compose"),
        (["soc=a1", "model.inputs=[{mean: [1]}]"], "# python -m stages.compose soc=a1 'model.inputs=[{mean: [1]}]'"),
        (['quant.skip_nodes=["it\'s"]'], """# python -m stages.compose 'quant.skip_nodes=["it'"'"'s"]'"""),
    ],
)  # fmt: skip
def test_the_line_is_the_command(tmp_path, overrides, line):
    assert first_line(overrides) == line
    assert shlex.split(line.removeprefix("# ")) == ["python", "-m", "stages.compose", *overrides]
    (tmp_path / "params.yaml").write_text(f"{line}\nsoc: {{}}\n")
    assert recorded(tmp_path / "params.yaml") == overrides


def test_an_override_of_several_lines_is_refused():
    with pytest.raises(UserError) as caught:
        first_line(["soc=a1", 'quant.skip_nodes=["a\nb"]'])
    assert str(caught.value) == "override 'quant.skip_nodes=[\"a\\nb\"]': give it in one line"


@pytest.mark.parametrize(
    "text",
    [
        "soc: {}\n",
        "# python -m stages.composed soc=a1\n",
        "# python -m stages.compose 'a\n",
        "",
        f"soc: {{}}\n{COMPOSED_WITH} soc=a1\n",
    ],
)
def test_a_file_that_another_wrote_is_refused(tmp_path, text):
    params = tmp_path / "params.yaml"
    params.write_text(text)
    with pytest.raises(UserError, match=r"params\.yaml: its first line is not `# python -m stages\.compose") as caught:
        recorded(params)
    assert "\n" not in str(caught.value)


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(UserError, match=r"params\.yaml is missing: compose it first, without --keep"):
        recorded(tmp_path / "params.yaml")


@pytest.mark.parametrize(
    ("earlier", "later", "together"),
    [
        ([], ["a=1"], ["a=1"]),
        (["a=1"], [], ["a=1"]),
        (["a=1", "b=2"], ["c=3"], ["a=1", "b=2", "c=3"]),
        (["a=1", "b=2"], ["a=3"], ["b=2", "a=3"]),
        (["a=1", "a.b=2", "+a=3"], ["a=x=y"], ["a.b=2", "+a=3", "a=x=y"]),
    ],
)
def test_the_later_of_two_values_counts(earlier, later, together):
    assert joined(earlier, later) == together
