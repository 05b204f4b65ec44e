"""Outputs that a network takes again at the next step, told from those that are its answer."""

from stages.core.graph.onnx_graph import Graph

__all__ = ["answering_outputs", "float_outputs", "states_of"]


def float_outputs(graph: Graph) -> list[str]:
    """The float outputs that a network computes."""
    computed = set(graph.float_tensors) & graph.producers.keys()
    return [name for name in graph.outputs if name in computed]


def states_of(graph: Graph) -> list[str]:
    """The outputs that are fed back: each has the shape of an input of its own; none if no other output were left.

    The first input is what changes from step to step, and no state.

    Args:
        graph: the float network.
    """
    free = [graph.shapes.get(name) for name in graph.inputs[1:]]
    states = []
    for name in graph.outputs:
        shape = graph.shapes.get(name)
        if shape and shape in free:
            free.remove(shape)
            states.append(name)
    return states if len(states) < len(graph.outputs) else []


def answering_outputs(graph: Graph) -> list[str]:
    """The float outputs that a network computes and that are no states; of states the answers of later steps tell.

    Args:
        graph: the float network.
    """
    states, outputs = set(states_of(graph)), float_outputs(graph)
    return [name for name in outputs if name not in states] or outputs
