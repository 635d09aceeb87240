"""CvBridge: ROS image messages to OpenCV arrays and back."""

from __future__ import annotations

import array

import cv2
import numpy as np
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Header

from .encodings import CvBridgeError, convert, cv_type_name, getCvType, parse_encoding


class CvBridge:
    """Converts between sensor_msgs images and numpy arrays as OpenCV uses them.

    Differences from the real one, both to the better: rows padded by a part of a pixel are read as `step` says, and
    big-endian images work on numpy 2.
    """

    def imgmsg_to_cv2(self, img_msg: Image, desired_encoding: str = "passthrough") -> np.ndarray:
        """Return the image of a message as an array.

        Args:
            img_msg: sensor_msgs/Image; `step` (padded rows) and `is_bigendian` are honoured. As in the real cv_bridge,
                a `step` too small for `width` gives a narrower image, and bytes after the last row are ignored.
            desired_encoding: Encoding to convert to; "passthrough" keeps the message's and may share its memory.

        Returns:
            (height, width) for one channel, else (height, width, channels); native byte order.

        Raises:
            CvBridgeError: unknown encoding or impossible conversion.
            TypeError: the message has fewer bytes than height * step.
        """
        encoding = parse_encoding(img_msg.encoding)
        image = _pixels(img_msg, encoding.dtype.newbyteorder(">" if img_msg.is_bigendian else "<"), encoding.channels)
        image = np.ascontiguousarray(image, dtype=encoding.dtype)
        return image if desired_encoding == "passthrough" else convert(image, img_msg.encoding, desired_encoding)

    def cv2_to_imgmsg(self, cvim: np.ndarray, encoding: str = "passthrough", header: Header | None = None) -> Image:
        """Return an array as a sensor_msgs/Image.

        Args:
            cvim: (H, W) or (H, W, C).
            encoding: What the array holds; "passthrough" names its OpenCV type (8UC3 and so on). Nothing is converted.
            header: Header of the message; None leaves it empty.

        Raises:
            TypeError: `cvim` is not an array.
            CvBridgeError: unknown encoding, or one of another type or number of channels than the array's.
        """
        if not isinstance(cvim, (np.ndarray, np.generic)):
            raise TypeError("Your input type is not a numpy array")
        cv_type = cv_type_name(cvim.dtype, 1 if cvim.ndim < 3 else cvim.shape[2])
        if encoding != "passthrough":
            wanted = parse_encoding(encoding)
            if cv_type_name(wanted.dtype, wanted.channels) != cv_type:
                raise CvBridgeError(f"encoding specified as {encoding}, but image has incompatible type {cv_type}")
        message = Image(height=cvim.shape[0], width=cvim.shape[1])
        if header is not None:
            message.header = header
        message.encoding = cv_type if encoding == "passthrough" else encoding
        message.is_bigendian = int(cvim.dtype.byteorder == ">")
        message.step = cvim.nbytes // max(cvim.shape[0], 1)
        message.data = _bytes(cvim)
        return message

    def compressed_imgmsg_to_cv2(
        self, cmprs_img_msg: CompressedImage, desired_encoding: str = "passthrough"
    ) -> np.ndarray | None:
        """Return the picture of a sensor_msgs/CompressedImage.

        Args:
            cmprs_img_msg: Its `data` is a JPEG, PNG or another file that OpenCV reads; depth and channels are kept.
            desired_encoding: Encoding to convert to, from bgr8; "passthrough" gives what OpenCV decoded: BGR, BGRA or
                one channel.

        Returns:
            The picture. None if the data is none and no conversion was asked for ("passthrough", "bgr8"): check it.

        Raises:
            CvBridgeError: impossible conversion: a picture with one channel to mono8, data that is no picture to rgb8.
            cv2.error: there is no data at all.
        """
        image = cv2.imdecode(np.frombuffer(cmprs_img_msg.data, np.uint8), cv2.IMREAD_UNCHANGED)
        if desired_encoding == "passthrough" or (image is None and desired_encoding == "bgr8"):
            return image
        if image is None:
            raise CvBridgeError(f"the data is no picture that OpenCV can decode: {len(cmprs_img_msg.data)} bytes")
        return convert(image, "bgr8", desired_encoding)

    def cv2_to_compressed_imgmsg(self, cvim: np.ndarray, dst_format: str = "jpg") -> CompressedImage:
        """Return an array (gray, BGR or BGRA) as a sensor_msgs/CompressedImage without header.

        Args:
            cvim: (H, W) or (H, W, C), channels in OpenCV's order.
            dst_format: Extension of a picture format that OpenCV writes: jpg, png, ...

        Raises:
            TypeError: `cvim` is not an array.
            cv2.error: OpenCV cannot write the array in that format.
        """
        if not isinstance(cvim, (np.ndarray, np.generic)):
            raise TypeError("Your input type is not a numpy array")
        message = CompressedImage(format=dst_format)
        message.data = _bytes(cv2.imencode(f".{dst_format}", cvim)[1])
        return message

    def encoding_to_cvtype2(self, encoding: str) -> int:
        """Return OpenCV's type number of an encoding. Raises CvBridgeError for an unknown one."""
        return getCvType(encoding)

    def encoding_to_dtype_with_channels(self, encoding: str) -> tuple[str, int]:
        """Return numpy's name of an encoding's channel type, and how many channels a pixel has."""
        parsed = parse_encoding(encoding)
        return parsed.dtype.name, parsed.channels

    def dtype_with_channels_to_cvtype2(self, dtype: np.dtype, n_channels: int) -> str:
        """Return OpenCV's name of an array type, such as 8UC3."""
        return cv_type_name(dtype, n_channels)


def _pixels(message: Image, dtype: np.dtype, channels: int) -> np.ndarray:
    """Return the message's pixels as a view that steps over the padding."""
    data = message.data
    if len(data) < message.height * message.step:
        raise TypeError(
            f"buffer is too small for requested array: {len(data)} bytes of data, "
            f"height {message.height} * step {message.step} = {message.height * message.step} expected"
        )
    pixel = dtype.itemsize * channels
    columns = min(message.width, message.step // pixel)
    shape, strides = (message.height, columns, channels), (message.step, pixel, dtype.itemsize)
    view: np.ndarray = np.ndarray(shape, dtype, buffer=data, strides=strides)
    return view[:, :, 0] if channels == 1 else view


def _bytes(values: np.ndarray) -> array.array[int]:
    """Return an array's bytes as messages want them: assigning a numpy array is 50 times slower."""
    data = array.array("B")
    data.frombytes(np.ascontiguousarray(values).reshape(-1).view(np.uint8).data)
    return data
