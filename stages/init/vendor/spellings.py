"""Three generations of the vendor's config, said in the keys of one of them: the flat cfg of July 2022.

Sources: post-training guides of February 2022 (command line, ptq json) and July 2022 (flat cfg; the guide spells some
keys in several ways), samples of the training kit (nested json).
"""

from collections.abc import Mapping
from typing import Any

from stages.core.base.errors import UserError, did_you_mean
from stages.init.vendor.config_values import Setting, Settings, flag
from stages.quantize.quantizers.node_bits import FEATURE_BIT, MAX, MIN, WEIGHT_BIT

__all__ = ["NETWORK", "VALIDATION_PATH", "from_call", "from_config"]

NETWORK, VALIDATION_PATH = "NETWORK", "VALIDATION_PATH"
FLAT_KEYS = [
    "SOC", "INPUT", "INPUT_SHAPE", "MEAN", "NORMAL", "COLOR", "OUTPUT", "QUANT_DATASET_PATH", "DEBUG_PATH",
    "QUANT_FEATURE_BIT", "QUANT_WEIGHT_BIT", "QUANT_FEATURE_METHOD", "QUANT_WEIGHT_METHOD", "QUANT_DATASET_SIZE",
    "QUANT_NODE_SKIP", "QUANT_OP_SKIP", "WEIGHT_CORRECT_PATH", "FEATURE_CORRECT_PATH", "WEIGHT_FAKE_QUANT",
    "FEATURE_FAKE_QUANT", "SAVE_OP_QUANT_BIT", "LOAD_OP_QUANT_BIT", "LOAD_OP_QUANT_MIN_MAX",
]  # fmt: skip
KEY_OF_SPELLING = {name.lower(): name for name in FLAT_KEYS} | {
    "quant_feature_bits": "QUANT_FEATURE_BIT",
    "quant_weight_bits": "QUANT_WEIGHT_BIT",
    "feature_quant_bit": "QUANT_FEATURE_BIT",
    "feature_quant_bits": "QUANT_FEATURE_BIT",
    "weight_quant_bit": "QUANT_WEIGHT_BIT",
    "weight_quant_bits": "QUANT_WEIGHT_BIT",
    "deubg_path": "DEBUG_PATH",
    "weight_coreect_path": "WEIGHT_CORRECT_PATH",
    "format": "COLOR",
    "path": "QUANT_DATASET_PATH",
    "used_image_num": "QUANT_DATASET_SIZE",
    "used_sample_num": "QUANT_DATASET_SIZE",
    "skip_quant_op_names": "QUANT_NODE_SKIP",
    "feature_quantize_method": "QUANT_FEATURE_METHOD",
    "weight_quantize_method": "QUANT_WEIGHT_METHOD",
    "feature_quantize_bit": "QUANT_FEATURE_BIT",
    "feature_quantize_bits": "QUANT_FEATURE_BIT",
    "weight_quantize_bit": "QUANT_WEIGHT_BIT",
    "weight_quantize_bits": "QUANT_WEIGHT_BIT",
    "skip_node_quant": "QUANT_NODE_SKIP",
    "skip_op_quant": "QUANT_OP_SKIP",
    "width": "WIDTH",
    "height": "HEIGHT",
}
KEY_OF_OPTION = {
    "target_device": "SOC",
    "i": NETWORK,
    "inputpath": NETWORK,
    "mean": "MEAN",
    "var": "NORMAL",
    "img_width": "WIDTH",
    "img_height": "HEIGHT",
    "img_channel": "CHANNEL",
    "input_node": "INPUT",
    "input_nodes": "INPUT",
    "output_node": "OUTPUT",
    "output_nodes": "OUTPUT",
    "framework": "FORMAT",
}
CONFIG_FILE_OPTIONS = ("cfg", "config", "ptq_config_path")
GROUP_KEYS = ("debug", "bias_corr")
NODE_BITS_KEYS = {FEATURE_BIT, WEIGHT_BIT, MIN, MAX}
MAX_NAMED_KEYS = 4  # unknown ones that are said each by itself
MNN_KEYS = {"batch_size", "feature_clamp_value", "weight_clamp_value", "input_type", "quant_bits"}
"""Keys of MNN's json that are decided elsewhere here."""
OUTPUT_OPTIONS = {"o", "outputpath", "save_quantize_model"}  # what it writes: nothing to configure here


def from_call(options: Mapping[str, str], name: str, notes: list[str]) -> tuple[Settings, list[str]]:
    """Translate the options of a call of the converter; lists stand with commas there.

    Args:
        options: without their dashes.
        name: of the script.
        notes: takes what the user should know.

    Returns:
        The settings, and the config files that the call names.
    """
    settings: Settings = {}
    files = []
    for option, value in options.items():
        key, where = _plain(option), f"{name}: --{option}"
        if key in CONFIG_FILE_OPTIONS:
            files.append(value)
        elif key in KEY_OF_OPTION:
            listed: Any = value
            if KEY_OF_OPTION[key] in ("MEAN", "NORMAL", "INPUT", "OUTPUT"):
                listed = [part.strip() for part in value.split(",") if part.strip()]
            settings[KEY_OF_OPTION[key]] = Setting(listed, where)
        elif key == "post_training_quantization":
            if value.lower() == "false":
                notes.append(f"{where} {value}: the script converts without quantizing; here everything is quantized")
        elif key not in OUTPUT_OPTIONS:
            known = [*KEY_OF_OPTION, *CONFIG_FILE_OPTIONS, *OUTPUT_OPTIONS, "post_training_quantization"]
            notes.append(f"{where}: unknown, left out; {did_you_mean(key, known)}")
    return settings, files


def from_config(content: Mapping[str, Any], name: str, notes: list[str]) -> Settings:
    """Translate a config file of any generation.

    Args:
        content: the parsed file.
        name: of the file.
        notes: takes what the user should know.

    Raises:
        UserError: for a value of a wrong kind, or a file that is no config: none of its keys is known.
    """
    if {"arch", "model"} & {_plain(key) for key in content}:
        return _from_kit(content, name, notes)
    _refuse_others(content, name)
    settings: Settings = {}
    unknown: list[str] = []
    for spelled, value in content.items():
        key, where = _plain(spelled), f"{name}: {spelled}"
        if key == "debug" and value is not False:  # MNN's is a flag
            _debug(value, where, settings, notes)
        elif key == "bias_corr":
            _corrections(value, where, settings, notes)
        elif key == "debug" or key in MNN_KEYS:
            continue
        elif key in KEY_OF_SPELLING:
            if KEY_OF_SPELLING[key] in settings:
                raise UserError(
                    f"{where} and {settings[KEY_OF_SPELLING[key]].where} are two spellings of one key: keep one"
                )
            settings[KEY_OF_SPELLING[key]] = Setting(value, where)
        else:
            unknown.append(str(spelled))
    _divisors(settings, notes)
    if len(unknown) > MAX_NAMED_KEYS:
        notes.append(f"{name}: {len(unknown)} keys unknown, left out: {', '.join(unknown[:MAX_NAMED_KEYS])}, ...")
    else:
        known = [*FLAT_KEYS, *(key for key, flat in KEY_OF_SPELLING.items() if flat.lower() != key), *GROUP_KEYS]
        notes += [f"{name}: {key}: unknown, left out; {did_you_mean(key, known)}" for key in unknown]
    return settings


def _divisors(settings: Settings, notes: list[str]) -> None:
    """Turn MNN's normal, which multiplies, into a divisor: none of pixels is below 1."""
    normal = settings.get("NORMAL")
    values = normal.value if normal is not None and isinstance(normal.value, list | tuple) else []
    if normal is None or not values or not all(isinstance(value, float) and 0 < value < 1 for value in values):
        return
    divisors = [float(f"{1 / value:.6g}") for value in values]
    settings["NORMAL"] = Setting(divisors, normal.where)
    notes.append(f"{normal.where}={list(values)} multiplies, as MNN has it: here {divisors} divides")


def _refuse_others(content: Mapping[str, Any], name: str) -> None:
    """Refuse a file of another kind, such as the one of single nodes' bit widths that lies beside a cfg."""
    if content and all(isinstance(value, dict) and value and {*value} <= NODE_BITS_KEYS for value in content.values()):
        raise UserError(f"{name}: this is a node-bits file: give run.sh or the cfg; quant.node_bits=file:... reads it")
    if not any(_plain(key) in (*KEY_OF_SPELLING, *GROUP_KEYS) for key in content):
        raise UserError(f"{name}: none of its keys is one of a converter's config, such as SOC, INPUT_SHAPE, MEAN")


def _plain(key: object) -> str:
    """A key without what its spellings differ in."""
    return str(key).strip().lower().replace(" ", "_").replace("-", "_")


def _group(value: Any, prefix: str, known: set[str], notes: list[str]) -> dict[str, Any]:
    """A group of keys in their plain spelling; unknown ones are noted. `prefix` is the group's path, with a dot."""
    if not isinstance(value, dict):
        raise UserError(f"{prefix.rstrip('.')}={value}: give a group of keys")
    for key in value:
        if _plain(key) not in known:
            notes.append(f"{prefix}{key}: unknown, left out; {did_you_mean(_plain(key), sorted(known))}")
    return {_plain(key): setting for key, setting in value.items() if _plain(key) in known}


def _debug(value: Any, where: str, settings: Settings, notes: list[str]) -> None:
    group = _group(value, f"{where}.", {"open", "debug_input_path", "debug_output_dir"}, notes)
    if flag(Setting(group.get("open"), f"{where}.open")):
        settings["DEBUG_PATH"] = Setting(group.get("debug_input_path", ""), f"{where}.debug_input_path")


def _corrections(value: Any, where: str, settings: Settings, notes: list[str]) -> None:
    group = _group(value, f"{where}.", {"weight_corr", "feature_corr", "vali_dir", "corr_dir"}, notes)
    for side in ("weight", "feature"):
        if flag(Setting(group.get(f"{side}_corr"), f"{where}.{side}_corr")):
            settings[f"{side.upper()}_CORRECT_PATH"] = Setting(group.get("corr_dir", ""), f"{where}.corr_dir")
            settings[VALIDATION_PATH] = Setting(group.get("vali_dir", ""), f"{where}.vali_dir")


def _from_kit(content: Mapping[str, Any], name: str, notes: list[str]) -> Settings:
    """The training kit's nested json."""
    groups = _group(content, f"{name}: ", {"arch", "model", "extra"}, notes)
    arch = _group(groups.get("arch", {}), f"{name}: ARCH.", {"soc"}, notes)
    model = _group(groups.get("model", {}), f"{name}: MODEL.", {"format", "input"}, notes)
    _group(groups.get("extra", {}), f"{name}: EXTRA.", {"biz_code", "verbose"}, notes)  # for its own log
    settings: Settings = {}
    if "soc" in arch:
        settings["SOC"] = Setting(arch["soc"], f"{name}: ARCH.SOC")
    if "format" in model:
        settings["FORMAT"] = Setting(model["format"], f"{name}: MODEL.FORMAT")
    return settings | _kit_inputs(model.get("input", []), f"{name}: MODEL.INPUT", notes)


def _kit_inputs(listed: Any, where: str, notes: list[str]) -> Settings:
    if not isinstance(listed, list | tuple):
        raise UserError(f"{where}={listed}: give a list of inputs")
    sides, more = ("channel", "height", "width"), ("color", "normal", "mean")
    known = {"batch", *sides, *more}
    inputs = [_group(setting, f"{where}[{index}].", known, notes) for index, setting in enumerate(listed)]
    for index, setting in enumerate(inputs):
        absent = [side.upper() for side in sides if side not in setting]
        if absent:
            raise UserError(f"{where}[{index}] lacks {', '.join(absent)}")
    settings: Settings = {}
    if inputs:
        shapes = [[setting.get("batch", 1), *(setting[side] for side in sides)] for setting in inputs]
        settings["INPUT_SHAPE"] = Setting(shapes, where)
    for key in more:
        if any(key in setting for setting in inputs):
            settings[key.upper()] = Setting([setting.get(key) for setting in inputs], f"{where}[].{key.upper()}")
    return settings
