"""Metrics as users write them: the classes that docs/evaluation.md shows, and some that are wrong."""

import numpy as np


class WordErrors:
    """Word error rate of a whole set: insertions, deletions and substitutions over the words that were said."""

    greater_is_better = False

    def __init__(self):
        self.errors = self.words = 0

    def add(self, name, outputs, label):
        said, heard = label.split(), best_words(next(iter(outputs.values())))
        row = list(range(len(heard) + 1))
        for i, word in enumerate(said, 1):
            row, before = [i], row
            for j, other in enumerate(heard, 1):
                row.append(min(before[j] + 1, row[j - 1] + 1, before[j - 1] + (word != other)))
        self.errors, self.words = self.errors + row[-1], self.words + len(said)

    def result(self):
        return {"wer": self.errors / self.words}


class FirstWordErrors(WordErrors):
    """The share of words that are not heard first."""

    def add(self, name, outputs, label):
        self.errors += label != best_words(outputs["logits"])[0]
        self.words += 1


def best_words(logits):
    """The names of the two best classes, in order."""
    return [("ant", "bee", "cat")[i] for i in np.argsort(-logits[0])[:2]]


class Right:
    """How often the best class is the label, and of how many pictures."""

    def __init__(self):
        self.hits = []

    def add(self, name, outputs, label):
        self.hits.append(np.argmax(outputs["logits"]) == label)

    def result(self):
        return {"right": np.mean(self.hits), "pictures": len(self.hits)}


class Mean:
    def __init__(self):
        self.sums = 0.0

    def add(self, name, outputs, label):
        assert label is None
        self.sums += float(outputs["logits"].max())

    def result(self):
        return self.sums


class Wrong:
    """Fails as often as it can."""

    def add(self, name, outputs, label):
        return outputs["nothing"]


class NoNumber(Mean):
    def result(self):
        return {"wer": float("nan")}


class NoName(Mean):
    def result(self):
        return {"word errors, %": 1.0}


class Nothing(Mean):
    def result(self):
        return {}


class Taken(Right):
    def result(self):
        return {"top1": 1.0}


def failing():
    raise ValueError("no\nway")


class FailsToAdd(Mean):
    def add(self, name, outputs, label):
        raise KeyError("nothing")
