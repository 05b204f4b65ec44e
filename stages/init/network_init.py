"""From a network and a folder of samples to an experiment: conf/model, conf/data, params.yaml."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from stages.compose import run as compose_into
from stages.core.base.artifacts import write_text
from stages.core.base.console import output
from stages.core.config.schema import PreprocessConfig
from stages.core.data.inputs import noun_of, only_picture
from stages.init.guess.customs import Custom, custom_of_head, custom_of_metadata
from stages.init.guess.guess import Guess, Sure
from stages.init.guess.preprocessing import custom_of, fit_of, guess_preprocessing
from stages.init.guess.ranges import Clues
from stages.init.model_name import check_free
from stages.init.network.first_operators import first_arithmetic
from stages.init.network.read_network import SourceGraph, picture_color, source_graph
from stages.init.network.sizes import SizedNetwork, sized_network
from stages.init.pictures.picture_folder import open_pictures
from stages.init.pictures.sample_sets import SampleSets, sample_sets
from stages.init.show import show_next, show_read, show_table
from stages.init.write.data_file import data_text
from stages.init.write.model_file import ModelFile, model_text
from stages.init.write.source_text import file_name

__all__ = ["Wanted", "init_from_network"]

PARAMS = Path("params.yaml")


@dataclass(frozen=True)
class Wanted:
    """What the user asks for.

    Attributes:
        source: of the network, as `model.source` has it.
        name: of the model and of the data set.
        samples: folder of samples; None: none yet.
        soc: file of conf/soc, without suffix; None: the default of conf/config.yaml.
        quant: file of conf/quant.
        shapes: input or tensor -> shape.
        conf: the config folder.
        force: whether files of these names may be replaced.
    """

    source: str
    name: str
    samples: Path | None
    soc: str | None
    quant: str | None
    shapes: Mapping[str, Sequence[int]]
    conf: Path
    force: bool


def init_from_network(wanted: Wanted) -> bool:
    """Read the network, guess, write the files and compose.

    Returns:
        Whether the experiment is composed: not without samples.

    Raises:
        UserError: for a network or samples that cannot be taken; then nothing is written.
    """
    paths = [wanted.conf / group / f"{wanted.name}.yaml" for group in ("model", "data")]
    for path in paths[: 2 if wanted.samples else 1]:
        check_free(path, wanted.force)
    folder = open_pictures(wanted.samples) if wanted.samples else None
    graph = source_graph(wanted.source, wanted.name, wanted.shapes)
    sized = sized_network(wanted.source, wanted.name, graph, wanted.shapes, folder.folder if folder else None)
    show_read(wanted.source, graph, sized)
    customs = _customs(graph, sized)
    sets = sample_sets(folder, wanted.name, sized.network, _preprocess(customs, sized)) if folder else None
    file = _model_file(wanted, graph, sized, customs, sets)
    guesses = [*file.guesses, *(sets.guesses if sets else ())]
    show_table(guesses)
    texts = {paths[0]: model_text(file)} | ({paths[1]: data_text(sets.file)} if sets else {})
    _write_composed(texts, wanted, composes=sets is not None)
    show_next(wanted.source, list(texts), composed=sets is not None, guesses=guesses)
    return sets is not None


def _customs(graph: SourceGraph, sized: SizedNetwork) -> tuple[Custom | None, Custom | None]:
    """What the exporter's metadata and the detector's family say; neither of a network that takes no picture."""
    first, head = sized.network.inputs[0], sized.network.head
    if not only_picture(sized.network.inputs) and picture_color(first.shape) is None:
        return None, None
    by_head = custom_of_head(head.head) if head is not None else None
    return custom_of_metadata(graph.metadata, min(first.shape[2:])), by_head


def _preprocess(customs: tuple[Custom | None, Custom | None], sized: SizedNetwork) -> PreprocessConfig:
    custom = customs[0] or customs[1]
    if custom is not None or picture_color(sized.network.inputs[0].shape) is None:
        return custom.preprocess if custom else PreprocessConfig()
    return fit_of(None, sized.network, sized.network.classes)[0]


def _model_file(
    wanted: Wanted,
    graph: SourceGraph,
    sized: SizedNetwork,
    customs: tuple[Custom | None, Custom | None],
    sets: SampleSets | None,
) -> ModelFile:
    network = sized.network
    guesses: list[Guess] = [sized.guess] if sized.guess else []
    inputs: list[dict[str, object]] = [{"name": name, "shape": list(shape)} for name, shape in sized.shapes.items()]
    pictured = [one for one in inputs if picture_color(sized.shapes[str(one["name"])]) is not None]
    takes_arrays = sets is not None and not sets.pictures
    preprocess, thresholds = None, None
    if pictured and not takes_arrays:
        arithmetic = first_arithmetic(graph.model, str(pictured[0]["name"]))
        trials = sets.trials if sets and only_picture(network.inputs) else None
        clues = Clues(arithmetic, *customs, trials, network.head is not None)
        guessed = guess_preprocessing(clues, network)
        preprocess, fit = fit_of(custom_of(clues), network, network.classes)
        guesses += [*guessed.guesses, fit]
        pictured[0] |= {"mean": list(guessed.mean), "normal": list(guessed.normal), "color": guessed.color.value}
        custom = custom_of(clues)
        thresholds = custom.thresholds if custom and network.head is not None else None
        if custom and thresholds:
            shown = f"score {thresholds[0]:g}, suppression {thresholds[1]:g}"
            guesses.append(Guess("thresholds", shown, f"{custom.whose} own", Sure.medium))
    else:
        why = (
            "samples are arrays" if takes_arrays else f"no input takes a picture: a {noun_of(network.inputs)} is arrays"
        )
        guesses.append(Guess("mean, normal", "0, 1", f"{why}, fed as they are", Sure.medium))
    head = f"head: {network.head.head}" if network.head else ""
    read = f"{file_name(wanted.source)} ({graph.producer or 'exporter unknown'})"
    return ModelFile(wanted.name, wanted.source, read, inputs, preprocess, thresholds, guesses, head)


def _write_composed(texts: Mapping[Path, str], wanted: Wanted, composes: bool) -> None:
    """Write the files and compose; if that is refused, leave all as it was."""
    before = {path: path.read_text(encoding="utf-8") if path.exists() else None for path in texts}
    for path, text in texts.items():
        write_text(path, text)
    if not composes:
        return
    overrides = [f"soc={wanted.soc}"] if wanted.soc else []
    overrides += [f"model={wanted.name}", f"data={wanted.name}"]
    overrides += [f"quant={wanted.quant}"] if wanted.quant else []
    try:
        with output.capture():  # which keys change is of no interest in a new experiment
            compose_into(overrides, wanted.conf, PARAMS, check_only=False)
    except BaseException:
        for path, earlier in before.items():
            if earlier is None:
                path.unlink()
            else:
                write_text(path, earlier)
        raise
