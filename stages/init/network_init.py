"""From a network and a folder of samples to an experiment: conf/model, conf/data, params.yaml."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from stages.compare.diagnose.inputs.input_fit import MIN_PICTURES
from stages.compose import run as compose_into
from stages.core.base.artifacts import write_text
from stages.core.base.console import output
from stages.core.base.paths import REPORT
from stages.core.config.schema import ModelConfig, PreprocessConfig
from stages.core.data.inputs import NetworkInput
from stages.export.sources.constant_inputs import with_constants
from stages.init.asked_model import asked_keys, asked_model
from stages.init.guess.customs import Custom, custom_of_head, custom_of_metadata
from stages.init.guess.guess import Guess, Sure
from stages.init.guess.preprocessing import custom_of, fit_of, guess_preprocessing
from stages.init.guess.ranges import Clues
from stages.init.model_name import check_free
from stages.init.network.first_operators import first_arithmetic
from stages.init.network.number_inputs import number_inputs
from stages.init.network.read_network import ReadNetwork, SourceGraph, picture_color, source_graph
from stages.init.network.sizes import SizedNetwork, sized_network
from stages.init.pictures.picture_folder import PictureFolder, open_pictures
from stages.init.pictures.sample_sets import SampleSets, sample_sets
from stages.init.show import show_next, show_read, show_table
from stages.init.write.data_file import data_text
from stages.init.write.model_file import ModelFile, model_text
from stages.init.write.source_text import file_name

__all__ = ["Wanted", "init_from_network", "what_tells"]

PARAMS = Path("params.yaml")
CALLABLE = "model.torch.callable="


@dataclass(frozen=True)
class Wanted:
    """What the user asks for.

    Attributes:
        source: of the network, as `model.source` has it; None of a module that `overrides` name.
        name: of the model and of the data set.
        samples: folder of samples; None: none yet.
        soc: file of conf/soc, without suffix; None: the default of conf/config.yaml.
        quant: file of conf/quant.
        shapes: input or tensor -> shape.
        conf: the config folder.
        force: whether files of these names may be replaced.
        overrides: of `model.torch` and `model.outputs`, KEY=VALUE.
    """

    source: str | None
    name: str
    samples: Path | None
    soc: str | None
    quant: str | None
    shapes: Mapping[str, Sequence[int]]
    conf: Path
    force: bool
    overrides: Sequence[str] = ()


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
    model = asked_model(wanted.name, wanted.source, wanted.overrides)
    model, graph, constants = _with_constants(model, source_graph(model, wanted.shapes, _pictures(folder)), folder)
    sized = sized_network(model, graph, wanted.shapes, folder.folder if folder else None)
    show_read(_called(wanted), graph, sized)
    preprocess = _preprocess(_customs(graph, sized.network), sized.network)
    sets = sample_sets(folder, wanted.name, sized.network, preprocess) if folder else None
    file = _model_file(wanted, graph, sized, sets)
    if constants is not None:
        asked = {**file.asked, "constants": model.constants}
        file = replace(file, guesses=[constants, *file.guesses], asked=asked)
    guesses = [*file.guesses, *(sets.guesses if sets else ())]
    if sets and wanted.soc is None:
        guesses.append(Guess("soc", f"{wanted.conf}/config.yaml's", "no --soc is given", Sure.low))
    show_table(guesses)
    texts = {paths[0]: model_text(file)} | ({paths[1]: data_text(sets.file)} if sets else {})
    _write_composed(texts, wanted, composes=sets is not None)
    takes = None if _picture(sized.network) else sized.network.inputs
    tells = what_tells(sized.network, sets)
    show_next(_said(wanted), list(texts), composed=sets is not None, guesses=guesses, takes=takes, tells=tells)
    return sets is not None


def what_tells(network: ReadNetwork, sets: SampleSets | None) -> str:
    """Where to look for mean, normal and colour, if their guesses are not sure."""
    if network.head is not None:
        return f"the training code tells; so do the boxes in {REPORT}"
    if network.classes is not None and (sets is None or sets.file.labels is None):
        return f"the training code tells, or labels of {MIN_PICTURES} pictures"
    return "the training code tells"


def _pictures(folder: PictureFolder | None) -> bool:
    return folder is not None and folder.holds_pictures


def _with_constants(
    model: ModelConfig, graph: SourceGraph, folder: PictureFolder | None
) -> tuple[ModelConfig, SourceGraph, Guess | None]:
    """Make inputs that are one number constants, where the samples say it."""
    found, guess = number_inputs(graph.model, graph.shapes, folder.folder if folder else None)
    if guess is None:
        return model, graph, None
    constants = {**model.constants, **found}
    bound = with_constants(graph.model, found, [])
    shapes = {name: shape for name, shape in graph.shapes.items() if name not in found}
    return replace(model, constants=constants), replace(graph, model=bound, shapes=shapes), guess


def _said(wanted: Wanted) -> list[str]:
    """The network, and what was said of it, as words of the command."""
    shapes = [f"{name}={','.join(map(str, shape))}" for name, shape in wanted.shapes.items()]
    overrides = [word for word in wanted.overrides if wanted.source or not word.startswith(CALLABLE)]
    return [wanted.source or _called(wanted), *overrides, *(word for shape in shapes for word in ("--shape", shape))]


def _called(wanted: Wanted) -> str:
    """What lines call the network: its file, or the class that builds it."""
    if wanted.source:
        return file_name(wanted.source)
    return next(word.removeprefix(CALLABLE) for word in wanted.overrides if word.startswith(CALLABLE))


def _picture(network: ReadNetwork) -> NetworkInput | None:
    """The first input that a picture fits."""
    return next((one for one in network.inputs if picture_color(one.shape) is not None), None)


def _customs(graph: SourceGraph, network: ReadNetwork) -> tuple[Custom | None, Custom | None]:
    """What the exporter's metadata and the detector's family say; neither of a network that takes no picture."""
    picture = _picture(network)
    if picture is None:
        return None, None
    by_head = custom_of_head(network.head.head) if network.head is not None else None
    return custom_of_metadata(graph.metadata, min(picture.height, picture.width)), by_head


def _preprocess(customs: tuple[Custom | None, Custom | None], network: ReadNetwork) -> PreprocessConfig:
    """How pictures are fitted to try the network on them."""
    picture = _picture(network)
    return PreprocessConfig() if picture is None else fit_of(customs[0] or customs[1], picture, network.classes)[0]


def _model_file(wanted: Wanted, graph: SourceGraph, sized: SizedNetwork, sets: SampleSets | None) -> ModelFile:
    network, picture = sized.network, _picture(sized.network)
    inputs: list[dict[str, object]] = [{"name": name, "shape": list(shape)} for name, shape in sized.shapes.items()]
    guesses: list[Guess] = [sized.guess] if sized.guess else []
    preprocess, thresholds = None, None
    if picture is None or (sets is not None and not sets.pictures):
        why = "no input takes a picture" if picture is None else "the samples are no pictures"
        guesses.append(Guess("mean, normal", "0, 1", f"{why}: arrays are fed as they are", Sure.medium))
    else:
        arithmetic = first_arithmetic(graph.model, picture.name)
        clues = Clues(
            arithmetic, *_customs(graph, network), sets.trials if sets else None, detects=network.head is not None
        )
        guessed, custom = guess_preprocessing(clues, picture), custom_of(clues)
        preprocess, fit = fit_of(custom, picture, network.classes)
        guesses += [*guessed.guesses, fit]
        fed = next(one for one in inputs if one["name"] == picture.name)
        fed |= {"mean": list(guessed.mean), "normal": list(guessed.normal), "color": guessed.color.value}
        if custom and custom.thresholds and network.head is not None:
            thresholds = custom.thresholds
            shown = f"score {thresholds[0]:g}, suppression {thresholds[1]:g}"
            guesses.append(Guess("thresholds", shown, f"{custom.whose} own", Sure.medium))
    head = f"head: {network.head.head}" if network.head else ""
    read = f"{_called(wanted)} ({graph.producer or 'exporter unknown'})"
    asked = asked_keys(wanted.overrides)
    return ModelFile(wanted.name, wanted.source, read, inputs, preprocess, thresholds, guesses, head, asked)


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
