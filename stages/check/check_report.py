"""What check says: lines and a table for the terminal, one self-contained page, and plain content for JSON."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import jinja2
import numpy as np
from rich.table import Table
from rich.text import Text

from stages.check.dump_comparison import DumpComparison
from stages.check.layer_comparison import LayerResult, State
from stages.check.steps import Array, Step
from stages.core.base.console import counted, new_table

__all__ = ["advice", "content", "differing_table", "page", "summary"]

MAX_MAPPED_LAYERS = 3  # whose differences are drawn
WIDE_TERMINAL_COLUMNS = 110  # so many take the whole table
MAX_MAP_CELLS = 48  # of a map's side
STATE_COLOURS = {State.DIFFERS: "red", State.MISSING: "magenta", State.LAYOUT: "cyan", State.FOLLOWS: "yellow"}
"""States that are not equal, the worst first, and their colours."""
STATE_WORDS = {
    State.EQUAL: "equal",
    State.LAYOUT: "equal, written otherwise",
    State.DIFFERS: "differs",
    State.FOLLOWS: "follows",
    State.MISSING: "missing",
}


def summary(comparison: DumpComparison) -> str:
    """Counts of what became of the layers."""
    counts = Counter(result.state for result in comparison.layers)
    return ", ".join(f"{counts[state]} {STATE_WORDS[state]}" for state in State if counts[state])


def advice(comparison: DumpComparison) -> list[tuple[str, str]]:
    """What was found and what to do, the first layer's first; layers of one layout together."""
    lines: list[tuple[str, str]] = []
    follows = any(result.state is State.FOLLOWS for result in comparison.layers)
    fed = comparison.fed
    if fed is not None and fed.cause is not None and (fed.state is State.LAYOUT or follows):
        lines.append((f"input: {fed.cause.sentence}", fed.cause.cure))
    written: dict[tuple[str, str], list[str]] = {}
    for result in comparison.layers:
        if result.state is State.DIFFERS and result.cause is not None:
            lines.append((f"{result.layer.name}: {result.cause.sentence}", result.cause.cure))
        if result.state is State.LAYOUT and result.cause is not None:
            written.setdefault((result.cause.sentence, result.cause.cure), []).append(result.layer.name)
    for (sentence, cure), names in written.items():
        who = names[0] if len(names) == 1 else f"{counted(len(names), 'layer')}, first {names[0]}"
        lines.append((f"{who}: {sentence}", cure))
    missing = [result.layer.name for result in comparison.layers if result.state is State.MISSING]
    if missing:
        cure = "see what the board printed last (memory, a missing operator, a full disk), and whether all was copied"
        lines.append((f"missing on the board: {_listed(missing)}", cure))
    if extra := comparison.pair.extra:
        lines.append((f"on the board alone: {_listed(extra)}", "not compared: old dumps, or layers of another model"))
    return lines


def differing_table(comparison: DumpComparison, width: int, count: int | None = 20) -> Table:
    """Lay out the layers that are not equal, those that differ by themselves first; few columns show less of each."""
    order = list(STATE_COLOURS)
    rows = [(index, result) for index, result in enumerate(comparison.layers) if result.state in STATE_COLOURS]
    rows.sort(key=lambda row: order.index(row[1].state))
    title = f"{counted(len(rows), 'layer')} of {len(comparison.layers)} not equal" + (
        "" if comparison.known.certain else ", by name"
    )
    table = new_table(title)
    table.add_column("#", justify="right", no_wrap=True)
    table.add_column("layer", overflow="fold", min_width=16)
    table.add_column("state", no_wrap=True)
    table.add_column("differ", justify="right", no_wrap=True)
    if width >= WIDE_TERMINAL_COLUMNS:
        table.add_column("largest", justify="right", no_wrap=True)
        table.add_column("first at n,h,w,c: PC, board", no_wrap=True)
    table.add_column("read as", overflow="fold", min_width=10)
    for index, result in rows[:count]:
        measured = (_largest(result), _first(result)) if width >= WIDE_TERMINAL_COLUMNS else ()
        cells = (_share(result), *measured, _step_names(result))
        table.add_row(str(index), Text(result.layer.name), result.state, *cells, style=STATE_COLOURS[result.state])
    return table


def content(comparison: DumpComparison, any_layout: bool) -> dict[str, Any]:
    """All of it as plain values."""
    pair = comparison.pair
    return {
        "name": comparison.name,
        "pc": str(pair.pc.folder),
        "board": str(pair.board.folder),
        "equal": comparison.equal(any_layout),
        "verdict": comparison.verdict,
        "layers_known_from": comparison.known.source,
        "advice": [{"found": sentence, "do": cure} for sentence, cure in advice(comparison)],
        "input": _row(comparison.fed) if comparison.fed else None,
        "layers": [_row(result) for result in comparison.layers],
        "missing": list(pair.missing),
        "extra": list(pair.extra),
        "notes": list(comparison.notes),
    }


def page(comparisons: Sequence[DumpComparison], any_layout: bool) -> str:
    """Render HTML that needs no other file and no network, the same for the same content."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("stages.check", "."),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    shown = [_shown(comparison, any_layout) for comparison in comparisons]
    template = environment.get_template("report.html.j2")
    return template.render(comparisons=shown, words=STATE_WORDS, states=list(State))


def _shown(comparison: DumpComparison, any_layout: bool) -> dict[str, Any]:
    """A comparison as the page takes it."""
    rows = []
    for index, result in enumerate(comparison.layers):
        cells = [str(index), result.layer.name, STATE_WORDS[result.state], _share(result), _largest(result)]
        sentence = result.cause.sentence if result.cause else ""
        rows.append((result.state, [*cells, _first(result), _step_names(result), sentence]))
    guilty = [result for result in comparison.layers if result.state is State.DIFFERS and result.difference]
    return {
        "comparison": comparison,
        "equal": comparison.equal(any_layout),
        "summary": summary(comparison),
        "advice": advice(comparison),
        "rows": rows,
        "maps": [_mapped(result) for result in guilty[:MAX_MAPPED_LAYERS]],
    }


def _mapped(result: LayerResult) -> dict[str, Any]:
    """Where a layer differs: of each pixel and of each channel the share of values."""
    assert result.match is not None
    assert result.difference is not None
    expected, actual = result.match.expected, result.match.actual
    if result.match.equal:  # the steps alone make the difference
        actual = actual[..., ::-1]
    changed = expected != actual
    pixels = _coarse(changed.mean(axis=(0, 3)), MAX_MAP_CELLS, MAX_MAP_CELLS)
    channels = _coarse(changed.mean(axis=(0, 1, 2))[np.newaxis], 1, 4 * MAX_MAP_CELLS)[0]
    apart = actual.astype(np.float64) - expected.astype(np.float64)
    values, counts = np.unique(apart[changed], return_counts=True)
    order = np.argsort(-counts, kind="stable")[:6]
    return {
        "name": result.layer.name,
        "shape": "x".join(map(str, expected.shape)),
        "difference": result.difference,
        "sentence": result.cause.sentence if result.cause else "",
        "pixels": pixels.round(3).tolist(),
        "channels": channels.round(3).tolist(),
        "steps": [(f"{values[i]:+g}", int(counts[i])) for i in order] if expected.dtype.kind != "f" else [],
        "examples": _examples(expected, actual, changed),
    }


def _examples(expected: Array, actual: Array, changed: Array) -> list[tuple[str, str, str]]:
    """The first few values that differ: where, on the PC, on the board."""
    indices = np.argwhere(changed)[:8]
    return [(",".join(map(str, at)), f"{expected[tuple(at)]:g}", f"{actual[tuple(at)]:g}") for at in indices]


def _coarse(shares: Array, rows: int, columns: int) -> Array:
    """Means over blocks, so that there are at most so many."""
    for axis, most in ((0, rows), (1, columns)):
        size = shares.shape[axis]
        if size > most:
            starts = np.unique(np.linspace(0, size, most, endpoint=False).astype(int))
            sizes = np.diff([*starts, size]).reshape([-1 if i == axis else 1 for i in range(2)])
            shares = np.add.reduceat(shares, starts, axis=axis) / sizes
    return shares


def _row(result: LayerResult) -> dict[str, Any]:
    difference, cause = result.difference, result.cause
    return {
        "layer": result.layer.name,
        "state": str(result.state),
        "pc": result.layer.file,
        "board": result.board or None,
        "read_as": [step.name for step in _steps(result)],
        "values": difference.total if difference else None,
        "differ": difference.count if difference else None,
        "largest": difference.largest if difference and np.isfinite(difference.largest) else None,
        "mean": difference.mean if difference else None,
        "first": list(difference.first) if difference else None,
        "expected": difference.expected if difference and np.isfinite(difference.expected) else None,
        "found": difference.actual if difference and np.isfinite(difference.actual) else None,
        "cause": cause.kind if cause else None,
        "sentence": cause.sentence if cause else None,
        "do": cause.cure if cause else None,
    }


def _share(result: LayerResult) -> str:
    return f"{result.difference.count} ({result.difference.share:.2%})" if result.difference else ""


def _largest(result: LayerResult) -> str:
    return f"{result.difference.largest:.4g}" if result.difference else ""


def _first(result: LayerResult) -> str:
    difference = result.difference
    if difference is None:
        return ""
    return f"{','.join(map(str, difference.first))}: {difference.expected:g}, {difference.actual:g}"


def _step_names(result: LayerResult) -> str:
    return ", ".join(step.name for step in _steps(result))


def _steps(result: LayerResult) -> tuple[Step, ...]:
    """How the files were read, where that is not the usual way."""
    return result.match.board.steps + result.match.pc.steps if result.match else ()


def _listed(names: Sequence[str], most: int = 4) -> str:
    return ", ".join(names[:most]) + (f", and {len(names) - most} more" if len(names) > most else "")
