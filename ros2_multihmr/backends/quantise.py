"""An exported network made for processors: weights of the backbone in 8 bits, its blocks in ONNX Runtime's own kernels.

Every matrix of the backbone's blocks becomes 8-bit integers with a scale per output; what goes into it is rounded to 8
bits at run time, with the range that it has in that image, so no images are needed for calibration. Attention,
normalisation, detection and the head stay in float32: that is where rounding loses people.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple, cast

import torch
from torch import nn

from ros2_multihmr.model.vit import MLP_RATIO, Block, VisionTransformer

RUNTIME_DOMAIN = "com.microsoft"  # operators that only ONNX Runtime has
_PREPARED = "onnx.quant.pre_process"  # says that nothing is to be simplified first; it warns otherwise
# Inputs and outputs of a block's layers, in widths: queries, keys and values; projection; both layers of the MLP.
_WIDTHS = ((1, 3), (1, 1), (1, MLP_RATIO), (MLP_RATIO, 1))


class _Product(NamedTuple):
    """A linear layer in the graph.

    Attributes:
        product: The node that multiplies with the weights.
        added: The node that adds the bias.
    """

    product: Any
    added: Any


def fold_scales(backbone: VisionTransformer) -> None:
    """Moves each block's two factors per channel into the weights before them: the same function, fewer operations."""
    with torch.no_grad():
        for block in backbone.blocks:
            one = cast(Block, block)
            for layer, name in ((one.attn.proj, "ls1"), (one.mlp.fc2, "ls2")):
                gamma = getattr(block, name).gamma
                layer.weight.mul_(gamma[:, None])
                layer.bias.mul_(gamma)
                setattr(block, name, nn.Identity())


def use_runtime_kernels(proto: Any, depth: int, heads: int) -> None:
    """Puts attention and GELU of an exported backbone into one operator of ONNX Runtime each, in place.

    Args:
        proto: The `onnx.ModelProto`.
        depth: Blocks of the backbone.
        heads: Heads of each.

    Raises:
        ValueError: The graph is not laid out as the exporter is known to do it.
    """
    from onnx import helper

    graph, blocks = proto.graph, _blocks(proto, depth)
    proto.opset_import.append(helper.make_opsetid(RUNTIME_DOMAIN, 1))
    for qkv, proj, fc1, fc2 in blocks:
        after = qkv.added.output[0]
        parts, attended, bent = [f"{after}_{part}" for part in "qkv"], f"{after}_attended", f"{after}_gelu"
        _insert_after(
            graph,
            qkv.added,
            helper.make_node("Split", [after], parts, axis=-1, num_outputs=3),
            helper.make_node("MultiHeadAttention", parts, [attended], domain=RUNTIME_DOMAIN, num_heads=heads),
        )
        proj.product.input[0] = attended
        _insert_after(graph, fc1.added, helper.make_node("Gelu", [fc1.added.output[0]], [bent], domain=RUNTIME_DOMAIN))
        fc2.product.input[0] = bent
    _drop_unused(graph)


def quantise(proto: Any, path: Path, depth: int) -> None:
    """Writes an exported network with the products of its blocks in 8 bits.

    Args:
        proto: The `onnx.ModelProto`.
        path: File to write.
        depth: Blocks of the backbone.

    Raises:
        ValueError: See `use_runtime_kernels`.
    """
    from onnxruntime.quantization import QuantType, quantize_dynamic

    proto.metadata_props.add(key=_PREPARED, value="onnxruntime.quant")
    names = [layer.product.name for block in _blocks(proto, depth) for layer in block]
    quantize_dynamic(
        proto,
        str(path),
        per_channel=True,
        weight_type=QuantType.QInt8,
        op_types_to_quantize=["MatMul"],
        nodes_to_quantize=names,
    )


def _blocks(proto: Any, depth: int) -> list[list[_Product]]:
    """The four linear layers of every block, told from others by the shapes of their weights, one after the other."""
    graph = proto.graph
    shapes = {tensor.name: tuple(tensor.dims) for tensor in graph.initializer}
    adds = {name: node for node in graph.node if node.op_type == "Add" for name in node.input}
    products = [node for node in graph.node if node.op_type == "MatMul" and len(shapes.get(node.input[1], ())) == 2]
    found: list[list[_Product]] = []
    count = len(_WIDTHS)
    while len(products) >= count and len(found) < depth:
        width = shapes[products[0].input[1]][0]
        wanted = [(inputs * width, outputs * width) for inputs, outputs in _WIDTHS]
        matches = [shapes[node.input[1]] for node in products[:count]] == wanted
        if matches and all(node.output[0] in adds for node in products[:count]):
            found.append([_Product(node, adds[node.output[0]]) for node in products[:count]])
        products = products[count if matches else 1 :]
    if len(found) < depth:
        raise ValueError(
            f"the exported graph has {len(found)} blocks of a known layout, not {depth}: this version of torch or "
            "onnxscript writes it differently; use another, or export with precision float32"
        )
    return found


def _insert_after(graph: Any, node: Any, *added: Any) -> None:
    place = next(index for index, one in enumerate(graph.node) if one.output == node.output) + 1
    for index, one in enumerate(added):
        graph.node.insert(place + index, one)


def _drop_unused(graph: Any) -> None:
    """Drops nodes and weights that no output depends on."""
    needed, kept = {output.name for output in graph.output}, []
    for node in reversed(graph.node):
        if needed.intersection(node.output):
            needed.update(node.input)
            kept.append(node)
    weights = [tensor for tensor in graph.initializer if tensor.name in needed]
    del graph.node[:], graph.initializer[:]
    graph.node.extend(reversed(kept))
    graph.initializer.extend(weights)
