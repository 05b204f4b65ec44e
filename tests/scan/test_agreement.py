"""What a scan says is what quantize and build do later."""

import contextlib
import json
import re
from pathlib import Path

import numpy as np
import onnx
import pytest

from stages.build.__main__ import build
from stages.build.pluto.folder import compiled_form, refusals_report
from stages.build.runtime.folder import write_runtime
from stages.build.runtime.program import UnsupportedError
from stages.calibrate.__main__ import calibrate
from stages.calibset.__main__ import calibset
from stages.core.graph.onnx_graph import Graph
from stages.core.statistics.collect import collect
from stages.export.__main__ import export
from stages.export.network import exported_network
from stages.quantize.__main__ import quantize
from stages.scan.network_scan import scan_network
from stages.scan.options import OWN_CONF, read_socs
from stages.scan.placements import State
from stages.scan.routes import CPP, OPEN_T41
from tests.conftest import write_params
from tests.networks import quantized_network, soc_config, write_pictures
from tests.scan.agreement import (
    cpp_disagreements,
    layers_on_codes,
    open_t41_disagreements,
    placement_disagreements,
)
from tests.scan.networks import INT8, NETWORKS, inputs_of, scanned

SOCS = ("t41", "bm1684x", "bm1684")


def pictures(model, count=3):
    rng = np.random.default_rng(4)
    return [
        {each.name: rng.uniform(0, 1, each.shape).astype(np.float32) for each in inputs_of(model)} for _ in range(count)
    ]


@pytest.fixture(scope="module", params=NETWORKS)
def network(request):
    """A network, its scan, and what quantize makes of it on each SOC with pictures."""
    model = onnx.shape_inference.infer_shapes(NETWORKS[request.param]())
    quantized = {soc: quantized_network(model, pictures(model), soc_config(soc)) for soc in SOCS}
    return model, scanned(model, SOCS), quantized


@pytest.mark.parametrize("soc", SOCS)
def test_layers(network, soc):
    _, scan, quantized = network
    on_codes = layers_on_codes(quantized[soc].integer)
    placement = scan.socs[soc].placement
    nodes = {layer.name: layer.names for layer in placement.setup.layers}
    wrong = {
        name: state
        for name, state in placement.states.items()
        if state is not State.undecided and (state is State.integer) == on_codes.isdisjoint(nodes[name])
    }
    assert wrong == {}
    assert on_codes.difference(*nodes.values()) == set()


@pytest.mark.parametrize("soc", SOCS)
def test_the_cpp_runtime(network, soc, tmp_path):
    model, scan, quantized = network
    (route,) = (each for each in scan.socs[soc].routes if each.name == CPP)
    first = route.refusals[0] if route.refusals else None
    message = f"^{re.escape(first.node)}.*{re.escape(first.reason)}$" if first else ""
    with pytest.raises(UnsupportedError, match=message) if first else contextlib.nullcontext():
        write_runtime(tmp_path / "runtime", "net", quantized[soc].integer, inputs_of(model))


def test_the_open_t41_runtime(network):
    model, scan, quantized = network
    ranges = {name: (each.low, each.high) for name, each in _statistics(model).items()}
    made = quantized["t41"]
    _, refusals, notes = compiled_form(made.params, made.qdq, ranges)
    assert open_t41_disagreements(scan.socs["t41"], refusals_report(refusals, notes)) == []


def test_the_networks_are_of_all_kinds():
    """Some taken, some refused by each route, some with layers that calibration decides."""
    scans = {name: scanned(onnx.shape_inference.infer_shapes(make()), SOCS) for name, make in NETWORKS.items()}
    taken = {name: {route.name: route.taken for route in scan.socs["t41"].routes} for name, scan in scans.items()}
    assert {name for name, routes in taken.items() if not routes[CPP]} == {"attention"}
    assert {name for name, routes in taken.items() if routes[OPEN_T41]} == {"joined_parts"}
    assert scans["joined_parts"].socs["t41"].count(State.undecided)
    assert scans["attention"].socs["t41"].islands == [["gate"], ["weights", "picked", "normalized"], ["probabilities"]]


def _statistics(model):
    return collect(model, ((str(index), feeds) for index, feeds in enumerate(pictures(model))))


@pytest.mark.slow
@pytest.mark.parametrize("name", NETWORKS)
def test_the_stages_on_every_soc(name, tmp_path, monkeypatch):
    """The whole way: export, calibset, calibrate, quantize and build beside the scan of the source."""
    monkeypatch.chdir(tmp_path)
    Path("conf").symlink_to(OWN_CONF)
    onnx.save(NETWORKS[name](), "net.onnx")
    write_pictures(Path("calibration"), 6)
    overrides = ["model=onnx", "model.source=file:net.onnx", "model.inputs=[{mean: [0], normal: [255]}]"]
    overrides += ["data=folder", "data.calibration.source=file:calibration"]
    overrides += ["data.debug.source=file:calibration", "data.evaluation.source=file:calibration"]
    overrides += ["data.evaluation.labels=null", "data.evaluation.task=none"]
    if name == "cameras":
        for camera in ("wide", "near"):
            for index, path in enumerate(write_pictures(Path(camera), 6)):
                Path("pictures", str(index)).mkdir(parents=True, exist_ok=True)
                path.rename(Path("pictures", str(index), f"{camera}.png"))
        overrides = [each.replace("file:calibration", "file:pictures") for each in overrides]
    socs = read_socs(None, OWN_CONF)
    network = exported_network(write_params(*overrides).model, lambda _: None)
    scan = scan_network(Graph(network.model), network.inputs, "", socs, INT8)
    for soc in socs:
        config = write_params(*overrides, f"soc={soc}")
        if soc == next(iter(socs)):
            for stage in (export, calibset, calibrate):
                stage(config)
        quantize(config)
        with contextlib.suppress(OSError):
            build(config)
        assert placement_disagreements(scan.socs[soc]) == []
        assert cpp_disagreements(scan.socs[soc], Path(), tmp_path / f"runtime-{soc}") == []
        (route,) = (each for each in scan.socs[soc].routes if each.name == CPP)
        assert Path(f"out/build/{soc}/runtime").is_dir() == route.taken
        if soc == "t41":
            check = json.loads(Path("out/build/t41/pluto/check.json").read_text(encoding="utf-8"))
            assert open_t41_disagreements(scan.socs[soc], check) == []
