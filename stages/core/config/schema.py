"""The schema of an experiment: one dataclass a config group.

Each field's comment is its documentation; `check` beside it refuses what types cannot express, before any work starts.
"""

from dataclasses import asdict, dataclass, field, fields
from enum import Enum
from typing import Any

__all__ = [
    "FLOAT_BITS",
    "PICTURE_SETS",
    "SOURCE_KEYS",
    "Anchor",
    "Backend",
    "Calibration",
    "ChannelScales",
    "Color",
    "CompareConfig",
    "Config",
    "DataConfig",
    "DetectorConfig",
    "DetectorKind",
    "Equalization",
    "EvaluateConfig",
    "FakeQuant",
    "FeatureMethod",
    "FeatureScale",
    "FeatureZeroPoint",
    "Fit",
    "Head",
    "InputConfig",
    "Interpolation",
    "LabelledSet",
    "ModelConfig",
    "OpenRuntime",
    "OperatorGroup",
    "PictureSet",
    "PreprocessConfig",
    "QuantConfig",
    "Requantization",
    "Rounding",
    "SimulatedBitWidths",
    "SocConfig",
    "Task",
    "ToolchainConfig",
    "TorchConfig",
    "TrackConfig",
    "UnlikeParts",
    "Vendor",
    "VendorMethod",
    "WatchConfig",
    "WeightMethod",
    "WeightScale",
]

MISSING: Any = "???"  # OmegaConf's mark for a value that has no default
FLOAT_BITS = 32
"""The bit width that stands for float: nothing is quantized."""
SHORT_FLOATS = {"F16": 16, "BF16": 16}
"""Float types of fewer bits -> their bits."""


# --- soc ------------------------------------------------------------------------------------------------------


class Vendor(Enum):
    """Who makes the SOC: decides what the build stage writes."""

    ingenic = "ingenic"
    sophgo = "sophgo"


class Requantization(Enum):
    """How the accumulator becomes an output code."""

    nna = "nna"  # floor((4*acc + bias) / mult) + 2^(bits-1), per channel
    nna_open = "nna_open"  # the same as t41-pluto computes it: bias from int32 codes, sums rounded as real ones
    multiplier_shift = "multiplier_shift"  # (acc * multiplier) >> shift, per channel
    shift = "shift"  # acc >> shift, one shift a layer
    sophgo = "sophgo"  # TPU-MLIR for BM1684X, BM1688, CV186X: see docs/arithmetic.md
    sophgo_cv18xx = "sophgo_cv18xx"  # TPU-MLIR for CV181x, CV183x
    sophgo_bm1684 = "sophgo_bm1684"  # TPU-MLIR for BM1684

    @property
    def is_converters(self) -> bool:
        """Whether the vendor's converter chooses weights' codes and the structure by rules that are followed here."""
        return self in (self.sophgo, self.sophgo_cv18xx, self.sophgo_bm1684)

    @property
    def is_nna(self) -> bool:
        """Whether the accumulator is divided as Ingenic's unit does it."""
        return self in (Requantization.nna, Requantization.nna_open)


class FeatureZeroPoint(Enum):
    """Whether a feature's zero may lie anywhere."""

    affine = "affine"  # unsigned codes, any zero point
    symmetric = "symmetric"  # zero point at 0 (unsigned) or in the middle (signed)
    signed = "signed"  # in the middle, also where no value is negative


class FeatureScale(Enum):
    """How many scales a feature may have."""

    per_channel = "per_channel"  # nothing is known against a scale a channel
    per_tensor = "per_tensor"  # what the vendor's converter takes has one threshold a tensor


class WeightScale(Enum):
    """How many weight scales a layer has."""

    per_channel = "per_channel"
    per_tensor = "per_tensor"


class OpenRuntime(Enum):
    """A runtime that drives the unit without the vendor's toolkit."""

    pluto = "pluto"  # github.com/inoop/t41-pluto


@dataclass
class OperatorGroup:
    """Operators that run at the same bit widths."""

    types: list[str] = field(default_factory=list)  # ONNX types, DepthwiseConv or Silu
    feature_bits: list[int] = field(default_factory=list)  # of their features; empty: they run in float only
    weight_bits: list[int] = field(default_factory=list)  # of their weights; empty: they have none


@dataclass
class SimulatedBitWidths:
    """Bit widths that exist on the PC only, to find out what more bits would bring."""

    feature_bits: list[int] = field(default_factory=list)  # bit widths of features
    weight_bits: list[int] = field(default_factory=list)  # bit widths of weights


@dataclass
class ToolchainConfig:
    """The vendor's converter."""

    name: str = MISSING  # its executable
    # the executable, or a folder that has it: build runs Ingenic's then, compile Sophgo's; null: build prepares its
    # folder, and compile runs what `python -m stages.toolchain install sophgo` has installed
    path: str | None = None
    minutes: float = 60.0  # what one of its tools may take
    nntc: bool = False  # build writes a folder for TPU-NNTC, Sophgo's older tool, too


@dataclass
class RuntimeConfig:
    """What a board program links."""

    tree: str = ""  # folder of the vendor's runtime inside its toolkit
    libraries: dict[str, list[str]] = field(default_factory=dict)  # build type -> library names, in link order


@dataclass
class SocConfig:
    """What a SOC can do (`conf/soc/`)."""

    name: str = MISSING  # as the vendor's converter spells it
    vendor: Vendor = MISSING
    toolchain: ToolchainConfig = field(default_factory=ToolchainConfig)
    npu: str = MISSING  # generation of the NPU
    layout: str = MISSING  # feature layout in the unit's memory
    channel_alignment: int = MISSING  # channels of a group in that layout
    input_channels: int = 0  # channels of a picture as the board wants it; 0: as the network has
    requantization: Requantization = MISSING
    feature_zero_point: FeatureZeroPoint = MISSING
    feature_scale: FeatureScale = FeatureScale.per_channel
    weight_scale: WeightScale = MISSING
    float_types: list[str] = field(default_factory=list)  # what a layer that stays in float runs in
    float_outputs: bool = False  # a convolution or fully connected layer returns float at the end or to layers in float
    fused_activations: list[str] = field(default_factory=list)  # ONNX types folded into the layer before
    operators: dict[str, OperatorGroup] = field(default_factory=dict)  # by a name of the group's own
    simulated: SimulatedBitWidths = field(default_factory=SimulatedBitWidths)  # of every operator that runs in integers
    runtime: RuntimeConfig = field(default_factory=RuntimeConfig)
    open_runtime: OpenRuntime | None = None  # whose files the build stage writes too

    @property
    def bit_widths(self) -> dict[str, OperatorGroup]:
        """Operator -> the group that says its bit widths."""
        return {kind: group for group in self.operators.values() for kind in group.types}

    @property
    def float_bits(self) -> int:
        """Bits of what a layer in float computes with: the first of its float types, float32 where it lists none."""
        return SHORT_FLOATS.get(self.float_types[0], FLOAT_BITS) if self.float_types else FLOAT_BITS

    @property
    def follows_converter(self) -> bool:
        """Whether structure, ranges and integers are those that the vendor's converter chooses."""
        return isinstance(self.requantization, Requantization) and self.requantization.is_converters

    @property
    def arithmetic(self) -> dict[str, Any]:
        """What a quantized network may follow from: not with what it is converted, linked or run afterwards."""
        later = ("toolchain", "runtime", "open_runtime")
        return {key: value for key, value in asdict(self).items() if key not in later}


# --- model ----------------------------------------------------------------------------------------------------


class Color(Enum):
    """Channel order of a picture at the network's input."""

    RGB = "RGB"
    BGR = "BGR"
    GRAY = "GRAY"


class Fit(Enum):
    """How a picture of any size becomes one of the input's size."""

    stretch = "stretch"  # resize both sides, aspect ratio lost
    letterbox = "letterbox"  # resize to fit inside, pad the rest
    crop = "crop"  # resize the shorter side to `shorter_side`, cut the centre


class Interpolation(Enum):
    """OpenCV's interpolation when resizing."""

    nearest = "nearest"
    linear = "linear"
    area = "area"
    cubic = "cubic"


class Anchor(Enum):
    """Where a letterboxed picture lies."""

    center = "center"
    top_left = "top_left"


@dataclass
class PreprocessConfig:
    """From a decoded picture to the network's input size."""

    fit: Fit = Fit.stretch
    shorter_side: int = 0  # crop only: pixels of the shorter side before cutting; 0: as large as the cut
    interpolation: Interpolation = Interpolation.linear
    pad: int = 114  # letterbox only: grey level of the border, 0..255
    anchor: Anchor = Anchor.center  # letterbox only


@dataclass
class InputConfig:
    """One network input.

    The vendor's broadcasting holds: one mean or normal serves all channels; a field that is left out takes the
    value of the input before it. A tensor that no picture fits has mean 0 and normal 1 unless it has its own.
    """

    name: str | None = None  # a tensor or node of the graph (cuts it there); left out: the graph's own input
    shape: list[int] | None = None  # of a picture NCHW; left out: from the graph
    mean: list[float] | None = None  # in the units of pixels or numbers: (x - mean) / normal; default [0]
    normal: list[float] | None = None  # a standard deviation in those units; default [1]
    color: Color | None = None  # default RGB


@dataclass
class TorchConfig:
    """How to build a PyTorch module."""

    callable: str | None = None  # `module:function` or `module:Class.method`, returns the nn.Module
    arguments: dict[str, Any] = field(default_factory=dict)  # keyword arguments of the callable
    code: str | None = None  # source (`package:`, `file:`) put on the import path first
    output_names: list[str] = field(default_factory=list)  # names for the module's outputs
    submodule: str | None = None  # of a TorchScript file, the part to read, as "encoder"; null: all of it


class DetectorKind(Enum):
    """How a detector's outputs become boxes."""

    auto = "auto"  # as the graph decodes them, if it has a head that is known
    none = "none"  # no detector
    yolox = "yolox"  # centre (x + column) * stride, size exp(w) * stride
    yolov5 = "yolov5"  # centre (2 s(x) - 0.5 + column) * stride, size (2 s(w))^2 * anchor; s the logistic function


@dataclass
class DetectorConfig:
    """How a detector's boxes are decoded, scored and printed."""

    kind: DetectorKind = DetectorKind.auto
    # `module:function` of your own in place of `kind`: takes the float outputs (name -> array); gives boxes [N, 4]
    # (x0, y0, x1, y1 in pixels of the input), scores [N], classes [N]; without NMS
    function: str | None = None
    strides: list[int] = field(default_factory=lambda: [8, 16, 32])  # pixels of the input a cell, the finest grid first
    # of yolov5 and auto, where the graph does not decode: w, h, w, h, ... in pixels, as many for each stride
    anchors: list[float] = field(default_factory=list)
    classes: int | None = None  # how many there are; null: as many as the head in the network has
    score_threshold: float = 0.3  # boxes below it are dropped; a score is objectness times class
    nms_threshold: float = 0.6  # intersection over union from which the worse of two boxes of a class is dropped
    logits: bool | None = None  # scores come before the logistic function; null: as the kind is exported, yolov5 so


@dataclass
class ModelConfig:
    """A trained network (`conf/model/`)."""

    name: str = MISSING  # of the network, as files and runs are called; conf/model/NAME.yaml
    source: str | None = None  # `package:NAME==VERSION/path`, `file:PATH` or `https://...`; see docs/sources.md
    torch: TorchConfig = field(default_factory=TorchConfig)
    inputs: list[InputConfig] = field(default_factory=lambda: [InputConfig()])
    # inputs that always take the same value -> a number, or a list of numbers; they are no inputs any more
    constants: dict[str, Any] = field(default_factory=dict)
    outputs: list[str] = field(default_factory=list)  # tensors or nodes to end at; empty: the graph's own outputs
    # end a detector at its last convolutions and decode boxes in float; not where `outputs` has names
    cut: bool = True
    preprocess: PreprocessConfig = field(default_factory=PreprocessConfig)
    # largest difference allowed between the source and the exported network, relative to an output's largest value
    # where that is above 1
    fp32_diff: float = 0.001
    detector: DetectorConfig = field(default_factory=DetectorConfig)

    @property
    def network(self) -> dict[str, Any]:
        """What a quantized network may follow from: not what is done with its outputs afterwards."""
        return {key: value for key, value in asdict(self).items() if key != "detector"}


# --- data -----------------------------------------------------------------------------------------------------


class Task(Enum):
    """What the labels mean."""

    classification = "classification"  # one output, one class a picture
    detection = "detection"  # boxes; without labels the float network's are taken as the truth
    custom = "custom"  # what `metric` counts; a label is any text
    none = "none"  # no labels: of a detector as detection, else how far the outputs move is all that is measured


@dataclass
class PictureSet:
    """A set of pictures, or of other samples: see `stages/core/data/sample_files.py`."""

    source: Any = MISSING  # one source or a list: `package:NAME==VERSION/glob`, `file:FOLDER`
    size: int | None = None  # how many, evenly over the sorted names; null: all
    # [LOW, HIGH] of 0..1: the samples whose names hash to LOW <= x < HIGH, so that one source serves several sets and
    # a picture stays in its own when others are added; null: all
    part: list[float] | None = None
    # its arrays are the network's input as it is: float32, channels first, mean and normal already applied
    preprocessed: bool = False


def _held_out() -> PictureSet:
    """A set that is taken out of the calibration pictures unless it has a source."""
    return PictureSet(source=None)


@dataclass
class LabelledSet(PictureSet):
    """Pictures with labels."""

    # classification: `pattern:REGEX` on the name, `folders`, or `file:CSV` with columns file,label;
    # detection: `file:FOLDER` of YOLO text files, or `file:JSON` as COCO has it, with boxes, masks, key points;
    # custom: `file:CSV` with columns file,label; null: no labels
    labels: str | None = None
    task: Task = Task.classification
    # `module:Class` of your own beside what the task measures: an instance for each network, with
    # add(name, outputs, label) and result() -> a number, or several by name (docs/evaluation.md)
    metric: str | None = None
    # how precisely each key point can be placed, in parts of the object's size (OKS); empty: COCO's for 17, 1/K for K
    kpt_oks_sigmas: list[float] = field(default_factory=list)


@dataclass
class DataConfig:
    """The pictures (`conf/data/`)."""

    name: str = MISSING  # of the pictures, as runs are called; conf/data/NAME.yaml
    calibration: PictureSet = field(default_factory=PictureSet)  # what the ranges of all features come from
    correction: PictureSet = field(default_factory=_held_out)  # null: the calibration pictures but `validation`'s
    validation: PictureSet = field(default_factory=_held_out)  # null: every fifth calibration picture
    debug: PictureSet = field(default_factory=PictureSet)  # what compare runs
    evaluation: LabelledSet = field(default_factory=LabelledSet)  # what evaluate measures on, with labels or without


PICTURE_SETS = ("calibration", "correction", "validation", "debug", "evaluation")
"""The sets of `DataConfig`."""


# --- quant ----------------------------------------------------------------------------------------------------


class FeatureMethod(Enum):
    """How a feature's range is chosen from its statistics."""

    MAX_ABS = "MAX_ABS"  # everything that was seen
    KL = "KL"  # the clip of least Kullback-Leibler divergence
    MSE = "MSE"  # the clip of least squared error
    ADMM = "ADMM"  # scale and codes fitted in turns, each the best for the other
    OUTPUT = "OUTPUT"  # the clip of least error in what the next operators make of it; both ends by themselves
    PERCENTILE = "PERCENTILE"  # the clip that leaves out the farthest values, see `percentile`


class Calibration(Enum):
    """Who chooses the ranges of the network that the vendor's tool compiles."""

    own = "own"  # this project: those of qparams.json
    vendor = "vendor"  # the vendor's tool by itself, see `vendor_method`; Sophgo's alone is asked


class VendorMethod(Enum):
    """How Sophgo's run_calibration.py chooses ranges: its `--cali_method`."""

    kl = "kl"
    max = "max"
    mse = "mse"
    percentile9999 = "percentile9999"
    aciq_laplace = "aciq_laplace"
    aciq_gauss = "aciq_gauss"
    use_kl = "use_kl"
    use_max = "use_max"
    use_mse = "use_mse"
    use_percentile9999 = "use_percentile9999"


class WeightMethod(Enum):
    """How a weight's scale is chosen."""

    MAX_ABS = "MAX_ABS"  # the largest magnitude gets the largest code
    MSE = "MSE"  # the scale of least squared error
    ADMM = "ADMM"  # scale and codes fitted in turns, each the best for the other


class Equalization(Enum):
    """Whether channel scales move from layer to layer before anything is quantized."""

    none = "none"
    cross_layer = "cross_layer"  # so that a feature's channels, which share one scale, are of like range
    measured = "measured"  # the same, if the validation pictures have less error by it


class ChannelScales(Enum):
    """Whether features that only depthwise convolutions and tables take have a scale a channel, where the SOC can."""

    never = "never"
    always = "always"
    measured = "measured"  # whichever has the less error on the validation pictures


class Rounding(Enum):
    """How weights are rounded."""

    nearest = "nearest"  # each for itself
    compensate = "compensate"  # one by one, the rest making good each error (GPTQ)
    reconstruct = "reconstruct"  # learned block by block, with biases and scales (BRECQ, LSQ, QDrop); needs PyTorch


class FakeQuant(Enum):
    """Quantizing one side only, to see which side costs the accuracy."""

    none = "none"  # both sides
    feature = "feature"  # features only: weights stay in float
    weight = "weight"  # weights only: features stay in float


class Head(Enum):
    """What becomes of a detector's head."""

    quantized = "quantized"  # as the rest
    float = "float"  # the last convolutions before each output, and all after them, stay in float


class UnlikeParts(Enum):
    """What becomes of a Concat before an output whose parts have ranges so unlike that one scale ruins one of them."""

    float = "float"  # it and all after it stay in float
    quantized = "quantized"  # as the rest


@dataclass
class QuantConfig:
    """Bits and methods (`conf/quant/`)."""

    name: str = MISSING  # of these settings, as runs are called; conf/quant/NAME.yaml
    feature_bits: int = 8  # bit width of features; 32: float
    weight_bits: int = 8  # bit width of weights; 32: float
    feature_method: FeatureMethod = FeatureMethod.MAX_ABS
    calibration: Calibration = Calibration.own
    vendor_method: VendorMethod = VendorMethod.kl  # calibration=vendor only
    # calibration=vendor only: its search_qtable keeps layers in float until the outputs have this cosine; null: none
    vendor_cosine: float | None = None
    weight_method: WeightMethod = WeightMethod.MAX_ABS
    percentile: float = 99.99  # PERCENTILE only: percent of the values that the clip keeps
    equalization: Equalization = Equalization.none
    rounding: Rounding = Rounding.nearest
    steps: int | None = None  # reconstruct only: steps a block; null: 125, and 200 where anything has fewer than 8 bits
    variants: int = 4  # reconstruct only: pictures made of each: itself, its mirror image, cut-outs
    weight_correction: bool = False  # biases make good what rounding the weights adds to a layer's mean
    feature_correction: bool = False  # biases make good what quantized features add to it
    skip_nodes: list[str] = field(default_factory=list)  # nodes that stay in float
    skip_ops: list[str] = field(default_factory=list)  # operator types that stay in float
    # these nodes and all that they follow from stay in float: what comes before the layers that are worth integers,
    # as a spectrogram
    float_until: list[str] = field(default_factory=list)
    fake_quant: FakeQuant = FakeQuant.none
    head: Head = Head.quantized
    unlike_parts: UnlikeParts = UnlikeParts.float
    edge_bits: int | None = None  # least width of the first and last layers' weights and inputs; null: as the rest
    node_bits: str | None = None  # `file:PATH` of node -> bit width and range, which take precedence
    node_ranges: bool = True  # false: of node_bits take the widths only
    node_bits_ignore: list[str] = field(default_factory=list)  # layers of node_bits that follow the rest all the same
    # a scale a channel for features that only depthwise convolutions and tables (SiLU, ...) take, where the SOC
    # requantizes per channel
    channel_scales: ChannelScales = ChannelScales.never

    @property
    def settings(self) -> dict[str, Any]:
        """All but the name, which changes nothing."""
        return {key: value for key, value in asdict(self).items() if key != "name"}

    @property
    def float_features(self) -> bool:
        """Whether features stay in float: at 32 bits, or because weights alone are quantized."""
        return self.feature_bits == FLOAT_BITS or self.fake_quant is FakeQuant.weight

    @property
    def float_weights(self) -> bool:
        """Whether weights stay in float: at 32 bits, or because features alone are quantized."""
        return self.weight_bits == FLOAT_BITS or self.fake_quant is FakeQuant.feature


# --- the rest -------------------------------------------------------------------------------------------------


@dataclass
class CompareConfig:
    """What compare does beyond the similarity table."""

    isolated: bool = True  # also where the error comes from: each layer alone, features alone, weights alone quantized
    # how many lines are tried as cures where something is wrong, each through quantize and on the verdict's pictures;
    # 0: none is tried, and none is printed, nor is it searched where the outputs lose
    cures: int = 12
    # also every tensor of the first debug picture, float and quantized, as the vendor's tools dump it
    dump: bool = False


class Backend(Enum):
    """What computes the quantized network in evaluate."""

    simulator = "simulator"  # this project's, on the integer model
    toolchain = "toolchain"  # the vendor's, on what compile has made: seconds a picture


@dataclass
class EvaluateConfig:
    """How evaluate computes."""

    backend: Backend = Backend.simulator


@dataclass
class TrackConfig:
    """Where the MLflow run goes; the store itself is MLFLOW_TRACKING_URI, by default mlflow.db here."""

    experiment: str = "socquant"  # the MLflow experiment that runs go into


def _path_behind(key: str) -> Any:
    """A field of `watch`: the local path behind the source that the config has under `key`."""
    return field(default=f"${{watch:${{{key}}}}}", metadata={"source": key})


@dataclass
class WatchConfig:
    """Local paths behind the sources, for DVC to watch. Filled in by composition; not for editing."""

    model: str = _path_behind("model.source")
    code: str = _path_behind("model.torch.code")
    calibration: str = _path_behind("data.calibration.source")
    correction: str = _path_behind("data.correction.source")
    validation: str = _path_behind("data.validation.source")
    debug: str = _path_behind("data.debug.source")
    evaluation: str = _path_behind("data.evaluation.source")
    labels: str = _path_behind("data.evaluation.labels")
    node_bits: str = _path_behind("quant.node_bits")
    metric: str = "${watch_module:${data.evaluation.metric}}"
    decoding: str = "${watch_module:${model.detector.function}}"
    toolchain: str = "${watch_tool:${soc.toolchain.path},${soc.toolchain.name}}"
    # the compilers of other vendors than Ingenic that this machine has: dvc.yaml has a stage for each
    compilers: list[str] = "${watch_compilers:${soc.vendor},${soc.toolchain.path}}"  # type: ignore[assignment]
    compiled: str = "${watch_compiled:${watch.compilers}}"  # what they write, for the stages after them
    simulated: str = "${watch_simulated:${watch.compilers},${evaluate.backend}}"  # the same for evaluate

    @property
    def files(self) -> list[str]:
        """The user's own files and folders, and `PINNED_PATH` for what is none: not what a stage writes."""
        made = ("compilers", "compiled", "simulated")
        return [value for name, value in vars(self).items() if name not in made]


SOURCE_KEYS: dict[str, str] = {
    watched.name: watched.metadata["source"] for watched in fields(WatchConfig) if "source" in watched.metadata
}
"""Field of `watch` -> the config key whose local path it holds."""


@dataclass
class Config:
    """One experiment: what `conf/` composes to and `params.yaml` holds."""

    soc: SocConfig = field(default_factory=SocConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    data: DataConfig = field(default_factory=DataConfig)
    quant: QuantConfig = field(default_factory=QuantConfig)
    compare: CompareConfig = field(default_factory=CompareConfig)
    evaluate: EvaluateConfig = field(default_factory=EvaluateConfig)
    track: TrackConfig = field(default_factory=TrackConfig)
    watch: WatchConfig = field(default_factory=WatchConfig)
