"""Pictures of text, rendered in the fonts that Matplotlib carries."""

from importlib.util import find_spec
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

__all__ = ["captchas", "lines", "matplotlib_data", "pages"]

FONTS = ("DejaVuSans.ttf", "DejaVuSans-Bold.ttf", "DejaVuSerif.ttf", "DejaVuSansMono.ttf", "DejaVuSerif-Italic.ttf")
WORDS = [
    "camera", "network", "board", "depth", "picture", "signal", "window", "garden", "river", "station", "market",
    "number", "thirty", "seven", "paper", "engine", "north", "bridge", "silver", "table", "morning", "letter",
    "record", "weight", "channel", "second", "summer", "winter", "travel", "ticket", "platform",
]  # fmt: skip
DIGITS = "0123456789"
PAPER, INK = (190, 256), (0, 90)
"""Grey levels of paper and of ink."""

Picture = NDArray[np.uint8]


def matplotlib_data() -> Path:
    """Where Matplotlib keeps fonts and drawings; it is not imported for that."""
    found = find_spec("matplotlib")
    assert found is not None
    assert found.origin is not None
    return Path(found.origin).parent / "mpl-data"


def lines(count: int, height: int, width: int) -> list[Picture]:
    """Pictures of a line of words and numbers, BGR [height, width, 3]."""
    rng = np.random.default_rng(1)
    return [_line(rng, height, width) for _ in range(count)]


def pages(count: int, height: int, width: int) -> list[Picture]:
    """Pictures of pages: a title, paragraphs, a figure or a table; BGR [height, width, 3]."""
    rng = np.random.default_rng(2)
    return [_page(rng, height, width) for _ in range(count)]


def captchas(count: int, height: int, width: int, letters: str = DIGITS, length: int = 5) -> list[Picture]:
    """Pictures of a few letters with lines across, BGR [height, width, 3]."""
    rng = np.random.default_rng(3)
    pictures = []
    for _ in range(count):
        picture = Image.new("RGB", (width, height), _grey(rng, PAPER))
        draw = ImageDraw.Draw(picture)
        pitch = width / (length + 1)
        for place, letter in enumerate(rng.choice(list(letters), length)):
            top = int(rng.integers(0, max(height - int(0.8 * height), 1)))
            draw.text((pitch * (place + 0.5), top), str(letter), _grey(rng, INK), _font(rng, int(0.7 * height)))
        for _ in range(3):
            ends = [(int(rng.integers(width)), int(rng.integers(height))) for _ in range(2)]
            draw.line(ends, _grey(rng, INK))
        pictures.append(_noisy(rng, picture))
    return pictures


def _line(rng: np.random.Generator, height: int, width: int) -> Picture:
    picture = Image.new("RGB", (width, height), _grey(rng, PAPER))
    font = _font(rng, int(height * rng.uniform(0.5, 0.7)))
    ImageDraw.Draw(picture).text(
        (int(0.1 * height), int(0.1 * height)), _fitting(rng, font, width), _grey(rng, INK), font
    )
    return _noisy(rng, picture)


def _page(rng: np.random.Generator, height: int, width: int) -> Picture:
    picture = Image.new("RGB", (width, height), _grey(rng, PAPER))
    draw = ImageDraw.Draw(picture)
    margin, line = width // 16, int(height * rng.uniform(0.022, 0.04))
    title = _font(rng, 2 * line)
    top = margin
    draw.text((margin, top), _fitting(rng, title, width - 2 * margin), _grey(rng, INK), title)
    top += 4 * line
    while top < height - 8 * line:
        if rng.uniform() < 0.3:
            bottom = top + int(rng.integers(6, 10)) * line
            _figure(rng, draw, (margin, top, width - margin, min(bottom, height - margin)))
            top = bottom + line
            continue
        font = _font(rng, line)
        for _ in range(int(rng.integers(3, 7))):
            draw.text((margin, top), _fitting(rng, font, width - 2 * margin), _grey(rng, INK), font)
            top += int(1.4 * line)
        top += 2 * line
    return _noisy(rng, picture)


def _figure(rng: np.random.Generator, draw: ImageDraw.ImageDraw, box: tuple[int, int, int, int]) -> None:
    """A grid with a border, or a filled box."""
    left, top, right, bottom = box
    draw.rectangle(box, outline=_grey(rng, INK), fill=_grey(rng, (120, 200)) if rng.uniform() < 0.5 else None)
    for x in range(left, right, max((right - left) // 5, 1)):
        draw.line([(x, top), (x, bottom)], _grey(rng, INK))
    for y in range(top, bottom, max((bottom - top) // 4, 1)):
        draw.line([(left, y), (right, y)], _grey(rng, INK))


def _fitting(rng: np.random.Generator, font: ImageFont.FreeTypeFont, width: int) -> str:
    """Words that fill `width` pixels."""
    text = str(rng.choice(WORDS))
    while True:
        word = str(rng.choice(WORDS)) if rng.uniform() < 0.8 else str(rng.integers(10, 10000))
        if font.getlength(f"{text} {word}") > 0.95 * width:
            return text
        text = f"{text} {word}"


def _font(rng: np.random.Generator, size: int) -> ImageFont.FreeTypeFont:
    folder = matplotlib_data() / "fonts" / "ttf"
    return ImageFont.truetype(str(folder / FONTS[int(rng.integers(len(FONTS)))]), max(size, 6))


def _grey(rng: np.random.Generator, levels: tuple[int, int]) -> tuple[int, int, int]:
    red, green, blue = (int(level) for level in rng.integers(levels[0], levels[1], 3))
    return red, green, blue


def _noisy(rng: np.random.Generator, picture: Image.Image) -> Picture:
    """The picture in BGR with the noise of a camera."""
    values = np.asarray(picture)[:, :, ::-1] + rng.normal(0, 4, (picture.height, picture.width, 3))
    return np.clip(values, 0, 255).astype(np.uint8)
