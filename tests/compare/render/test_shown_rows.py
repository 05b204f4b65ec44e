from stages.compare.render.render import MOST_ROWS, SHOWN_ROWS, Rendered
from tests.core.test_tables import row


def test_a_long_table_is_shown_in_part(capsys):
    for count, shown in ((MOST_ROWS, MOST_ROWS), (MOST_ROWS + 1, SHOWN_ROWS)):
        rows = [row(f"node{index}", 0.9) for index in range(count)]
        Rendered({}, {}, {}, rows, []).show()
        said = capsys.readouterr().out
        assert said.count("node") - said.count("nodes") == shown + 1  # and the heading
        assert ("all nodes in their order: out/compare/similarity.csv" in said) == (count > MOST_ROWS)
