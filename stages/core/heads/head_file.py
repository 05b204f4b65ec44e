"""A head as a file: what export recognizes and every later stage decodes with."""

from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from stages.core.base.artifacts import read_artifact
from stages.core.heads.families.anchors import AnchorHead
from stages.core.heads.families.cells import CellHead
from stages.core.heads.families.centers import CenterHead
from stages.core.heads.families.distances import DistanceHead
from stages.core.heads.families.fastestdet import FastestDetHead
from stages.core.heads.families.priors import PriorHead
from stages.core.heads.head import BoxForm, Columns, Evidence, Head, Kind, Level, Stage, View

__all__ = ["ExportedHead", "from_json", "load_head", "to_json"]

FAMILIES: tuple[type[Head], ...] = (AnchorHead, CellHead, CenterHead, DistanceHead, FastestDetHead, PriorHead)


@dataclass(frozen=True)
class ExportedHead:
    """A head of the exported network.

    Attributes:
        head: how values become boxes.
        cut: whether the network ends at the head's last convolutions; otherwise `head.evidence` says where in the
            outputs the values are.
    """

    head: Head
    cut: bool


def load_head(path: Path) -> ExportedHead | None:
    """Load out/export/detector.json; None of a network without a head that is known.

    Raises:
        UserError: if it is missing or damaged, or lacks what a head has: an earlier version of export wrote it.
    """
    return read_artifact(path, from_json)


def to_json(exported: ExportedHead | None) -> dict[str, Any]:
    """Plain form for JSON."""
    if exported is None:
        return {"head": None}
    head = exported.head
    described = {"head": str(head), "family": type(head).__name__, "kind": head.kind, "name": head.name}
    return described | {"cut": exported.cut, "tensors": head.tensors} | asdict(head)


def from_json(content: dict[str, Any]) -> ExportedHead | None:
    """The inverse of `to_json`."""
    if content["head"] is None:
        return None
    (family,) = (family for family in FAMILIES if family.__name__ == content["family"])
    given = {field.name: content[field.name] for field in fields(family)}
    given["levels"] = tuple(_level(level) for level in given["levels"])
    given["evidence"] = _evidence(given["evidence"]) if given["evidence"] else None
    return ExportedHead(family(**given), content["cut"])


def _level(content: dict[str, Any]) -> Level:
    views = {Kind(kind): View(**view) for kind, view in content["views"].items()}
    anchors = tuple((float(width), float(height)) for width, height in content["anchors"])
    return Level(**content | {"views": views, "anchors": anchors})


def _evidence(content: dict[str, Any]) -> Evidence:
    return Evidence(
        stages={Kind(kind): Stage(stage) for kind, stage in content["stages"].items()},
        tensors={Kind(kind): tuple(tensors) for kind, tensors in content["tensors"].items()},
        shapes={tensor: tuple(shape) for tensor, shape in content["shapes"].items()},
        columns=tuple(_columns(columns) for columns in content["columns"]),
        difference=content["difference"],
        selectors=tuple(content["selectors"]),
        others=tuple(content["others"]),
    )


def _columns(content: dict[str, Any]) -> Columns:
    kinds, form = tuple(map(Kind, content["kinds"])), content["form"]
    return Columns(
        **content | {"kinds": kinds, "stage": Stage(content["stage"]), "form": BoxForm(form) if form else None}
    )
