"""Writes test/golden/anny.npz: people posed by the `anny` package. `python test/make_anny_golden.py`"""

from pathlib import Path

import numpy as np
import torch
from scipy.spatial.transform import Rotation

from ros2_multihmr.body import BodyInfo, create_body

GOLDEN = Path(__file__).parent / "golden" / "anny.npz"
STEP = 5  # of the vertices, one in so many is kept


def random_people(info: BodyInfo, count: int, seed: int) -> dict[str, np.ndarray]:
    """Fields of a message, for people of all ages in wild poses."""
    rng = np.random.default_rng(seed)
    shape = rng.uniform(0, 1, (count, len(info.shape_names)))
    shape[:, info.shape_names.index("age")] = np.linspace(-0.3, 1, count)
    return {
        "rotvecs": rng.normal(0, 0.4, (count, len(info.posed_joints), 3)).astype(np.float32),
        "shape": shape.astype(np.float32),
        "expression": (rng.uniform(0, 0.4, (count, len(info.expression_names)))).astype(np.float32),
        "translation": (rng.normal(0, 1, (count, 3)) + (0, 0, 4)).astype(np.float32),
    }


def pose_by_package(info: BodyInfo, people: dict[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Vertices and joints of the `anny` package's own forward, as `info.pose_convention` says."""
    import anny

    model = anny.Anny(
        rig="makehuman",
        topology="anny",
        facial_actions="all",
        pose_parameterization="local-ref",
        skinning_method="lbs",
    ).double()
    pose = {}
    for k, joint in enumerate(info.posed_joints):
        matrix = torch.eye(4, dtype=torch.float64).repeat(len(people["shape"]), 1, 1)
        matrix[:, :3, :3] = torch.tensor(Rotation.from_rotvec(people["rotvecs"][:, k]).as_matrix())
        if k == 0:
            matrix[:, :3, 3] = torch.tensor(people["translation"])
        pose[info.joint_names[joint]] = matrix
    named = {
        key: dict(zip(names, torch.tensor(people[key], dtype=torch.float64).T, strict=True))
        for key, names in (("shape", info.shape_names), ("expression", info.expression_names))
    }
    with torch.no_grad():
        posed = model(pose, phenotype_kwargs=named["shape"], facial_actions=named["expression"])
    joints = [model.bone_labels.index(name) for name in info.joint_names]
    return posed["vertices"].numpy(), posed["bone_poses"][:, joints, :3, 3].numpy()


if __name__ == "__main__":
    info = create_body("anny").info
    people = random_people(info, 4, seed=0)
    vertices, joints = pose_by_package(info, people)
    np.savez_compressed(
        GOLDEN, **people, vertices=vertices[:, ::STEP].astype(np.float32), joints=joints.astype(np.float32)
    )
