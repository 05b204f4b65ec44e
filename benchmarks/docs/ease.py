"""How easily a page reads: Flesch's reading ease of its prose."""

import re

__all__ = ["prose", "reading_ease", "syllables"]

FENCED = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
COMMENT = re.compile(r"<!--.*?-->", re.DOTALL)
TABLE = re.compile(r"^\|.*$", re.MULTILINE)
IMAGE = re.compile(r"!\[[^\]]*\]\([^)]*\)")
LINK = re.compile(r"\[([^\]]*)\]\([^)]*\)")
CODE = re.compile(r"`[^`]*`")
HEADING = re.compile(r"^#+ +(.+)$", re.MULTILINE)
ITEM = re.compile(r"^\s*(?:-|\d+\.) +", re.MULTILINE)
VOWELS = re.compile(r"(?:[aeiou]|y(?![aeiou]))+")
SILENT = re.compile(r"(?:[^aeiouylscgxz]es|[aeiouy]les?|[^aeiouydt]ed|[^l]e)$")
"""Ends of words whose last e is not spoken."""


def prose(page: str) -> str:
    """The sentences of a page: no code, tables or pictures; a heading or an item of a list is a sentence."""
    text = TABLE.sub("", COMMENT.sub("", FENCED.sub("", page)))
    text = CODE.sub("it", LINK.sub(r"\1", IMAGE.sub("", text)))
    return ITEM.sub(". ", HEADING.sub(r"\1.", text))


def syllables(word: str) -> int:
    """How many syllables an English word has, by its groups of vowels: one too few where two are spoken apart."""
    word = re.sub(r"[^a-z]", "", word.lower())
    count = len(VOWELS.findall(word))
    if count > 1 and SILENT.search(word):
        count -= 1
    return max(count, 1)


def reading_ease(text: str) -> float:
    """Flesch's reading ease: 60 to 70 is plain English, 30 and less is hard.

    Source: R. Flesch, "A new readability yardstick", Journal of Applied Psychology, 1948.

    Raises:
        ValueError: for a text without words.
    """
    sentences = [each for each in re.split(r"[.!?:]+(?:\s|$)|\n\s*\n", text) if re.search(r"[A-Za-z]", each)]
    words = re.findall(r"[A-Za-z][A-Za-z'-]*", text)
    if not words:
        raise ValueError("a text without words")
    return (
        206.835 - 1.015 * len(words) / len(sentences) - 84.6 * sum(map(syllables, words)) / len(words)
    )  # Flesch's constants
