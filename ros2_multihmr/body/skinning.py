"""Kinematics and linear blend skinning: every joint turns what hangs on it about its place at rest."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import torch
from torch import Tensor, nn


class Skeleton(nn.Module):
    """A kinematic tree, sorted by depth: each depth is one batched product."""

    _parents: Tensor
    _order: Tensor
    _back: Tensor
    _above: Tensor

    def __init__(self, parents: Sequence[int]) -> None:
        """Sorts the tree.

        Args:
            parents: J parent indices, each before its children; -1 for the root, joint 0.
        """
        super().__init__()
        depth = [0] * len(parents)
        for joint, parent in enumerate(parents[1:], start=1):
            depth[joint] = depth[parent] + 1
        order = sorted(range(len(parents)), key=lambda joint: depth[joint])
        ends = [sum(d <= level for d in depth) for level in range(max(depth) + 1)]
        self._levels = tuple(itertools.pairwise(ends))
        # Place of each joint's parent within the level above.
        starts = [0, *ends]
        above = [0] + [order.index(parents[joint]) - starts[depth[joint] - 1] for joint in order[1:]]
        for name, values in (("_parents", [0, *parents[1:]]), ("_order", order), ("_above", above)):
            self.register_buffer(name, torch.tensor(values), persistent=False)
        self.register_buffer("_back", torch.argsort(self._order), persistent=False)

    def forward(self, rotmats: Tensor, rest: Tensor) -> tuple[Tensor, Tensor]:
        """Poses the tree with its root at the origin.

        Args:
            rotmats: (N, J, 3, 3) rotation of every joint against its parent, about axes parallel to the model's.
            rest: (N, J, 3) joints at rest [m].

        Returns:
            (N, J, 3, 4) transforms that take points at rest to posed ones, and (N, J, 3) posed joints.
        """
        offsets = rest - rest[:, self._parents]
        steps = torch.cat([rotmats, offsets[..., None]], -1)[:, self._order]
        posed = [steps[:, :1]]
        for first, last in self._levels:
            parent = posed[-1][:, self._above[first:last]]
            step = (parent[..., :3, None] * steps[:, first:last, None]).sum(-2)
            posed.append(torch.cat([step[..., :3], step[..., 3:] + parent[..., 3:]], -1))
        bones = torch.cat(posed, 1)[:, self._back]
        turned, joints = bones[..., :3], bones[..., 3]
        back_to_rest = (turned * rest[..., None, :]).sum(-1)
        return torch.cat([turned, (joints - back_to_rest)[..., None]], -1), joints


def skin(rest: Tensor, transforms: Tensor, weights: Tensor) -> Tensor:
    """Linear blend skinning.

    Args:
        rest: (N, 3, V) vertices at rest, coordinate by coordinate [m].
        transforms: (N, J, 3, 4) transforms of `Skeleton`.
        weights: (J, V) skinning weights.

    Returns:
        (N, V, 3) posed vertices.
    """
    people, joints = transforms.shape[:2]
    rows = transforms.permute(0, 2, 3, 1).reshape(people * 12, joints)
    blend = (rows @ weights).reshape(people, 3, 4, weights.shape[1])
    posed = (blend[:, :, :3] * rest[:, None]).sum(2) + blend[:, :, 3]
    return posed.transpose(1, 2)
