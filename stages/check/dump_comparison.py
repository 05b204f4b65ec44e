"""The comparison of a PC's dump with a board's, and what it comes to in one sentence."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from stages.check.causes import Cause
from stages.check.checked_layer import CheckedLayer
from stages.check.dump_folders import Dump, DumpPair, pair_files
from stages.check.known_layers import KnownLayers, input_form, known_layers
from stages.check.layer_comparison import LayerResult, State, compare_input, compare_layers
from stages.check.steps import Array
from stages.core.base.console import counted
from stages.core.base.paths import INPUTS
from stages.core.base.sources import SourceFile
from stages.core.data.arrays import read_array
from stages.core.data.inputs import load_inputs, only_picture
from stages.core.integer.dumps import dumped_layers

__all__ = ["DumpComparison", "compare_dumps"]


@dataclass(frozen=True)
class DumpComparison:
    """One pair of dumps, compared.

    Attributes:
        name: of the input; empty where there is but one.
        pair: the dumps.
        known: what is known of the layers.
        layers: the results in graph order.
        fed: that of the input, if both dumps hold it.
        notes: further lines to read.
    """

    name: str
    pair: DumpPair
    known: KnownLayers
    layers: Sequence[LayerResult]
    fed: LayerResult | None
    notes: Sequence[str]

    @property
    def verdict(self) -> str:
        """The first sentence: of the first layer that really differs, else of the first missing one, else of all."""
        layers, fed = self.layers, self.fed
        follows = any(result.state is State.FOLLOWS for result in layers)
        if fed is not None and fed.state is State.DIFFERS and fed.cause is not None and follows:
            return f"the input differs: {fed.cause.sentence}"
        guilty = next((result for result in layers if result.state is State.DIFFERS), None)
        if guilty is not None and guilty.cause is not None:
            return f"{guilty.layer.name} is the first layer that differs: {guilty.cause.sentence}"
        missing = [result.layer.name for result in layers if result.state is State.MISSING]
        if stop := _stop(layers):
            last, count = stop
            return f"the board stopped after {last}: {counted(count, 'layer')} missing from {missing[-count]} on"
        if missing:
            return f"{counted(len(missing), 'layer')} missing on the board, first {missing[0]}; what is there is equal"
        layout = sum(result.state is State.LAYOUT for result in layers)
        if layout:
            return f"all {counted(len(layers), 'layer')} have the same values; {layout} of them written another way"
        return f"all {counted(len(layers), 'layer')} are equal"

    def equal(self, any_layout: bool) -> bool:
        """Whether every layer is there and the same; `any_layout`: however it is written."""
        fine = {State.EQUAL, State.LAYOUT} if any_layout else {State.EQUAL}
        return all(result.state in fine for result in self.layers)


def _stop(layers: Sequence[LayerResult]) -> tuple[str, int] | None:
    """The last layer before an end that is missing altogether, and how many are missing; None: the last is there."""
    present = [index for index, result in enumerate(layers) if result.state is not State.MISSING]
    if not present or present[-1] == len(layers) - 1:
        return None
    return layers[present[-1]].layer.name, len(layers) - 1 - present[-1]


def compare_dumps(
    name: str, pc: Dump, board: Dump, log: str, notes: Sequence[str], others: Sequence[Dump]
) -> DumpComparison:
    """Compare one pair of dumps.

    Args:
        name: of the input; empty where there is but one.
        pc: the PC's dump.
        board: the board's.
        log: what the board or the PC's tool printed.
        notes: lines for the user.
        others: the PC's dumps of other inputs.

    Raises:
        UserError: if no file belongs to another, or the list beside the dump is damaged.
    """
    pair, known = pair_files(pc, board), known_layers(pc, log)
    inputs = [compare_input(pair, files, input_form(pc, files[0])) for files in pair.inputs]
    fed = next((result for result in inputs if result.state is State.DIFFERS), next(iter(inputs), None))

    def other_input(file: str, content: bytes) -> str | None:
        same = (dump for dump in others if file in dump.files and dump.read(file) == content)
        return next((f"the input {dump.folder.name}" for dump in same), None)

    differs = fed is not None and fed.state is State.DIFFERS
    layers = compare_layers(pair, known.layers, other_input, _feeding_mistakes(pc, known), differs)
    layers, left_out = _without_undumped(layers, pc, known)
    return DumpComparison(name, pair, known, layers, fed, [*notes, *left_out])


def _without_undumped(
    layers: Sequence[LayerResult], pc: Dump, known: KnownLayers
) -> tuple[list[LayerResult], list[str]]:
    """Leave out what the board cannot have, with notes: its input's codes, and files left from another dump."""
    missing = [result for result in layers if result.state is State.MISSING]
    inputs = [result for result in missing if result.layer.is_input]
    unknown = [result for result in missing if not result.layer.is_input and not result.layer.listed]
    left_out = {result.layer.name for result in (*inputs, *unknown)}
    notes = []
    if inputs:  # the vendor's runtime takes pixels, and dumps what it computes
        notes.append(f"not compared: the board has no dump of its input's codes ({inputs[0].layer.name})")
    if unknown:
        files = ", ".join(result.layer.file for result in unknown)
        notes.append(f"not compared: {files} in {pc.folder}, which {known.source} does not list; nor has the board it")
    return [result for result in layers if result.layer.name not in left_out], notes


def _feeding_mistakes(pc: Dump, known: KnownLayers) -> Callable[[CheckedLayer, Array], Cause | None]:
    """How the board was fed, where the experiment is at hand to try it on the PC's input."""

    def find(layer: CheckedLayer, actual: Array) -> Cause | None:
        pixel_files = [name for name in pc.inputs if name.startswith("input_data_shape")]
        inputs = load_inputs(INPUTS) if INPUTS.is_file() else []
        if known.model is None or not pixel_files or not only_picture(inputs):
            return None
        from stages.check.feeding_mistakes import find_mistake  # noqa: PLC0415  ONNX Runtime takes a while to import

        tensor = next(each.tensor for each in dumped_layers(known.model) if each.node == layer.name)
        path = pc.folder / pixel_files[0]
        pixels = read_array(SourceFile(str(path), path.read_bytes), path.suffix, inputs[0], "the PC's input")
        return find_mistake(known.model, tensor, pixels, inputs[0], actual)

    return find
