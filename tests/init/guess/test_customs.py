from types import SimpleNamespace

import pytest

from stages.core.config.schema import Color, Fit
from stages.init.guess.customs import custom_of_head, custom_of_metadata
from stages.init.guess.guess import Sure
from stages.init.guess.ranges import RANGES, Clues, guess_range

UNIT, IMAGENET, SIGNED, PIXELS, CAFFE = RANGES


def head(name, levels=3):
    return SimpleNamespace(name=name, levels=[None] * levels)


@pytest.mark.parametrize(
    ("name", "color", "mean", "normal"),
    [
        ("YOLOX-like", Color.BGR, (0.0,), (1.0,)),
        ("YOLOv8-like", Color.RGB, (0.0,), (255.0,)),
        ("SCRFD-like", Color.RGB, (127.5,), (128.0,)),
        ("UltraFace-like", Color.RGB, (127.0,), (128.0,)),
    ],
)
def test_families_have_their_own(name, color, mean, normal):
    custom = custom_of_head(head(name))
    assert (custom.color, custom.normalization.mean, custom.normalization.normal) == (color, mean, normal)


def test_picodet_is_told_from_nanodet_by_its_levels():
    assert custom_of_head(head("NanoDet-like", 3)).color is Color.BGR
    assert custom_of_head(head("NanoDet-like", 4)).color is Color.RGB
    assert custom_of_head(head("unheard-of")) is None


def test_metadata():
    classifier = custom_of_metadata({"stride": "1", "task": "classify", "names": "{}"}, 224)
    assert (classifier.preprocess.fit, classifier.preprocess.shorter_side) == (Fit.crop, 224)
    alphabet = {"character": "\n".join("abcdefghijklmnopqrstuvwxyz")}
    assert custom_of_metadata(alphabet, 48).color is Color.BGR
    assert custom_of_metadata(alphabet, 224) is None  # names of classes, perhaps
    assert custom_of_metadata({"character": "0\n90\n180\n270"}, 48) is None
    assert custom_of_metadata({}, 640) is None


def answering(said):
    return SimpleNamespace(
        colors=(Color.RGB, Color.BGR),
        answers=lambda normalization, _: said.get(normalization, 0.0),
        misfit=lambda *_: None,
        labelled=None,
    )


@pytest.mark.parametrize(
    ("said", "expected", "sure"),
    [
        ({PIXELS: 0.6, UNIT: 0.1}, PIXELS, Sure.high),  # as the family does
        ({PIXELS: 0.4, UNIT: 0.6}, PIXELS, Sure.medium),  # not the best, but not far
        ({PIXELS: 0.1, UNIT: 0.6}, UNIT, Sure.medium),  # another training
        ({}, PIXELS, Sure.medium),  # pictures without objects
    ],
)
def test_answers_confirm_a_family_or_contradict_it(said, expected, sure):
    known = guess_range(Clues(None, None, custom_of_head(head("YOLOX-like")), answering(said), True))
    assert (known.normalization.mean, known.normalization.normal) == (expected.mean, expected.normal)
    assert known.sure is sure
