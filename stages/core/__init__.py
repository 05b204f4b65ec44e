"""What stages share. A folder imports only what stands above it here.

    base        errors, the console, files that appear whole, pinned sources, processes
    config      an experiment: its schema, how conf/ composes to it, its checks
    graph       ONNX graphs, and running them in ONNX Runtime
    data        samples: files, decoding, storage, labels
    integer     the arithmetic of the SOC: qparams, rules, reference, simulator, dumps
    statistics  what calibration counts, and how alike two tensors are
    render      pages and plots

Beside them: `command`, the frame of every stage and command; `tables`, results for the terminal; `cost`, what a layer
costs on a SOC.
"""
