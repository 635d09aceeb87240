"""Stand-in for ROS's tf_transformations on machines whose ROS comes from PyPI: rotations and transforms as numbers.

Quaternions are (x, y, z, w), angles radians, matrices 4x4 homogeneous. Left out, as nothing here uses them: scaling,
shear, reflection, projection and clip matrices, compose and decompose, superimposition, Arcball.
"""

from .euler import euler_from_matrix, euler_from_quaternion, euler_matrix, quaternion_from_euler
from .matrices import (
    concatenate_matrices,
    identity_matrix,
    inverse_matrix,
    is_same_transform,
    rotation_from_matrix,
    rotation_matrix,
    translation_from_matrix,
    translation_matrix,
    unit_vector,
    vector_norm,
)
from .quaternions import (
    quaternion_about_axis,
    quaternion_conjugate,
    quaternion_from_matrix,
    quaternion_inverse,
    quaternion_matrix,
    quaternion_multiply,
    quaternion_slerp,
    random_quaternion,
    random_rotation_matrix,
)

__all__ = [
    "concatenate_matrices",
    "euler_from_matrix",
    "euler_from_quaternion",
    "euler_matrix",
    "identity_matrix",
    "inverse_matrix",
    "is_same_transform",
    "quaternion_about_axis",
    "quaternion_conjugate",
    "quaternion_from_euler",
    "quaternion_from_matrix",
    "quaternion_inverse",
    "quaternion_matrix",
    "quaternion_multiply",
    "quaternion_slerp",
    "random_quaternion",
    "random_rotation_matrix",
    "rotation_from_matrix",
    "rotation_matrix",
    "translation_from_matrix",
    "translation_matrix",
    "unit_vector",
    "vector_norm",
]
