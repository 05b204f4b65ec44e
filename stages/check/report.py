"""What check says: lines and a table for the terminal, one self-contained page, and plain content for JSON."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import jinja2
import numpy as np
from rich.table import Table
from rich.text import Text

from stages.check.folders import Pairs
from stages.check.knowledge import Known
from stages.check.steps import Array
from stages.check.verdict import Found, State, headline
from stages.core.base.console import counted

__all__ = ["Case", "advice", "content", "differing_table", "page", "summary"]

MAPPED = 3  # layers whose differences are drawn
WIDE = 110  # columns of a terminal that takes the whole table
CELLS = 48  # of a map's side
HURTS = {State.DIFFERS: "red", State.MISSING: "magenta", State.LAYOUT: "cyan", State.FOLLOWS: "yellow"}
"""States that are not equal, the worst first, and their colours."""
WORDS = {
    State.EQUAL: "equal",
    State.LAYOUT: "equal, written otherwise",
    State.DIFFERS: "differs",
    State.FOLLOWS: "follows",
    State.MISSING: "missing",
}


@dataclass(frozen=True)
class Case:
    """One pair of folders, compared.

    Attributes:
        name: of the input; empty where there is but one.
        pc, board: the folders.
        known: what is known of the layers.
        pairs: the files.
        found: the layers in graph order.
        fed: the input, if both folders hold it.
        notes: further lines to read.
    """

    name: str
    pc: str
    board: str
    known: Known
    pairs: Pairs
    found: Sequence[Found]
    fed: Found | None
    notes: Sequence[str]

    @property
    def verdict(self) -> str:
        """The first sentence."""
        return headline(self.found, self.fed)

    def equal(self, any_layout: bool) -> bool:
        """Whether every layer is there and the same; `any_layout`: however it is written."""
        fine = {State.EQUAL, State.LAYOUT} if any_layout else {State.EQUAL}
        return all(entry.state in fine for entry in self.found)


def summary(case: Case) -> str:
    """Counts of what became of the layers."""
    counts = Counter(entry.state for entry in case.found)
    return ", ".join(f"{counts[state]} {WORDS[state]}" for state in State if counts[state])


def advice(case: Case) -> list[tuple[str, str]]:
    """What was found and what to do, the first layer's first; layers of one layout together."""
    lines: list[tuple[str, str]] = []
    follows = any(entry.state is State.FOLLOWS for entry in case.found)
    if case.fed is not None and case.fed.cause is not None and (case.fed.state is State.LAYOUT or follows):
        lines.append((f"input: {case.fed.cause.sentence}", case.fed.cause.cure))
    for entry in case.found:
        if entry.state is State.DIFFERS and entry.cause is not None:
            lines.append((f"{entry.layer.name}: {entry.cause.sentence}", entry.cause.cure))
    written: dict[tuple[str, str], list[str]] = {}
    for entry in case.found:
        if entry.state is State.LAYOUT and entry.cause is not None:
            written.setdefault((entry.cause.sentence, entry.cause.cure), []).append(entry.layer.name)
    for (sentence, cure), names in written.items():
        who = names[0] if len(names) == 1 else f"{counted(len(names), 'layer')}, first {names[0]}"
        lines.append((f"{who}: {sentence}", cure))
    missing = [entry.layer.name for entry in case.found if entry.state is State.MISSING]
    if missing:
        cure = "see what the board printed last (memory, a missing operator, a full disk), and whether all was copied"
        lines.append((f"missing on the board: {_listed(missing)}", cure))
    if case.pairs.extra:
        lines.append(
            (f"on the board alone: {_listed(case.pairs.extra)}", "not compared: old dumps, or layers of another model")
        )
    return lines


def differing_table(case: Case, width: int, count: int | None = 20) -> Table:
    """Lay out the layers that are not equal, those that differ by themselves first; few columns show less of each."""
    order = list(HURTS)
    rows = [(index, entry) for index, entry in enumerate(case.found) if entry.state in HURTS]
    rows.sort(key=lambda row: order.index(row[1].state))
    title = f"{counted(len(rows), 'layer')} of {len(case.found)} not equal" + (
        "" if case.known.certain else ", by name"
    )
    table = Table(title=title, title_justify="left", header_style="bold")
    table.add_column("#", justify="right", no_wrap=True)
    table.add_column("layer", overflow="fold", min_width=16)
    table.add_column("state", no_wrap=True)
    table.add_column("differ", justify="right", no_wrap=True)
    if width >= WIDE:
        table.add_column("largest", justify="right", no_wrap=True)
        table.add_column("first at n,h,w,c: PC, board", no_wrap=True)
    table.add_column("read as", overflow="fold", min_width=10)
    for index, entry in rows[:count]:
        measured = (_largest(entry), _first(entry)) if width >= WIDE else ()
        cells = (_share(entry), *measured, _steps(entry))
        table.add_row(str(index), Text(entry.layer.name), entry.state, *cells, style=HURTS[entry.state])
    return table


def content(case: Case, any_layout: bool) -> dict[str, Any]:
    """All of it as plain values."""
    return {
        "name": case.name,
        "pc": case.pc,
        "board": case.board,
        "equal": case.equal(any_layout),
        "verdict": case.verdict,
        "layers_known_from": case.known.source,
        "advice": [{"found": found, "do": cure} for found, cure in advice(case)],
        "input": _row(case.fed) if case.fed else None,
        "layers": [_row(entry) for entry in case.found],
        "missing": list(case.pairs.missing),
        "extra": list(case.pairs.extra),
        "notes": list(case.notes),
    }


def page(cases: Sequence[Case], any_layout: bool) -> str:
    """Render HTML that needs no other file and no network, the same for the same content."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("stages.check", "."),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    shown = []
    for case in cases:
        rows = []
        for index, entry in enumerate(case.found):
            cells = [str(index), entry.layer.name, WORDS[entry.state], _share(entry), _largest(entry), _first(entry)]
            rows.append((entry.state, [*cells, _steps(entry), entry.cause.sentence if entry.cause else ""]))
        guilty = [entry for entry in case.found if entry.state is State.DIFFERS and entry.difference]
        shown.append(
            {
                "case": case,
                "equal": case.equal(any_layout),
                "summary": summary(case),
                "advice": advice(case),
                "rows": rows,
                "maps": [_mapped(entry) for entry in guilty[:MAPPED]],
            }
        )
    return environment.get_template("report.html.j2").render(cases=shown, words=WORDS, states=list(State))


def _mapped(entry: Found) -> dict[str, Any]:
    """Where a layer differs: of each pixel and of each channel the share of values."""
    assert entry.match is not None
    assert entry.difference is not None
    expected, found = entry.match.expected, entry.match.found
    if entry.match.equal:  # the steps alone make the difference
        found = found[..., ::-1]
    changed = expected != found
    pixels = _coarse(changed.mean(axis=(0, 3)), CELLS, CELLS)
    channels = _coarse(changed.mean(axis=(0, 1, 2))[np.newaxis], 1, 4 * CELLS)[0]
    apart = found.astype(np.float64) - expected.astype(np.float64)
    values, counts = np.unique(apart[changed], return_counts=True)
    order = np.argsort(-counts, kind="stable")[:6]
    return {
        "name": entry.layer.name,
        "shape": "x".join(map(str, expected.shape)),
        "difference": entry.difference,
        "sentence": entry.cause.sentence if entry.cause else "",
        "pixels": pixels.round(3).tolist(),
        "channels": channels.round(3).tolist(),
        "steps": [(f"{values[i]:+g}", int(counts[i])) for i in order] if expected.dtype.kind != "f" else [],
        "examples": _examples(expected, found, changed),
    }


def _examples(expected: Array, found: Array, changed: Array) -> list[tuple[str, str, str]]:
    """The first few values that differ: where, on the PC, on the board."""
    places = np.argwhere(changed)[:8]
    return [(",".join(map(str, at)), f"{expected[tuple(at)]:g}", f"{found[tuple(at)]:g}") for at in places]


def _coarse(shares: Array, rows: int, columns: int) -> Array:
    """Means over blocks, so that there are at most so many."""
    for axis, most in ((0, rows), (1, columns)):
        size = shares.shape[axis]
        if size > most:
            starts = np.unique(np.linspace(0, size, most, endpoint=False).astype(int))
            sizes = np.diff([*starts, size]).reshape([-1 if i == axis else 1 for i in range(2)])
            shares = np.add.reduceat(shares, starts, axis=axis) / sizes
    return shares


def _row(entry: Found) -> dict[str, Any]:
    found = entry.difference
    return {
        "layer": entry.layer.name,
        "state": str(entry.state),
        "pc": entry.layer.file,
        "board": entry.board or None,
        "read_as": [step.name for step in (entry.match.board.steps + entry.match.pc.steps if entry.match else ())],
        "values": found.total if found else None,
        "differ": found.count if found else None,
        "largest": found.largest if found and np.isfinite(found.largest) else None,
        "mean": found.mean if found else None,
        "first": list(found.first) if found else None,
        "expected": found.expected if found and np.isfinite(found.expected) else None,
        "found": found.found if found and np.isfinite(found.found) else None,
        "cause": entry.cause.kind if entry.cause else None,
        "sentence": entry.cause.sentence if entry.cause else None,
        "do": entry.cause.cure if entry.cause else None,
    }


def _share(entry: Found) -> str:
    return f"{entry.difference.count} ({entry.difference.share:.2%})" if entry.difference else ""


def _largest(entry: Found) -> str:
    return f"{entry.difference.largest:.4g}" if entry.difference else ""


def _first(entry: Found) -> str:
    found = entry.difference
    return f"{','.join(map(str, found.first))}: {found.expected:g}, {found.found:g}" if found else ""


def _steps(entry: Found) -> str:
    return ", ".join(step.name for step in (entry.match.board.steps + entry.match.pc.steps if entry.match else ()))


def _listed(names: Sequence[str], most: int = 4) -> str:
    return ", ".join(names[:most]) + (f", and {len(names) - most} more" if len(names) > most else "")
