"""Bounding boxes against Keras."""

import itertools

import numpy as np
import pytest

from kbackend.utils import bounding_boxes as ours

theirs = pytest.importorskip("keras").utils.bounding_boxes

RNG = np.random.default_rng(0)
CORNERS = RNG.uniform(0, 50, (2, 5, 2))
BOXES = np.concatenate([CORNERS, CORNERS + RNG.uniform(1, 60, (2, 5, 2))], axis=-1)
BOXES = BOXES.astype("float32")
OTHERS = BOXES + RNG.uniform(-0.4, 0.4, BOXES.shape).astype("float32")
FORMATS = ours.formats.FORMATS
# Float32 throughout, a handful of operations on numbers below 200: some ulps of 8e-6.
CLOSE = {"rtol": 1e-4, "atol": 1e-4}


@pytest.mark.parametrize(("source", "target"), list(itertools.product(FORMATS, repeat=2)))
def test_formats(source, target):
    boxes = theirs.convert_format(BOXES, "xyxy", source, height=100, width=120)
    expected = theirs.convert_format(boxes, source, target, height=100, width=120)
    result = ours.convert_format(np.asarray(boxes), source, target, height=100, width=120)
    assert result.dtype == "float32"
    np.testing.assert_allclose(result, expected, **CLOSE)


def test_formats_of_dicts_and_dtypes():
    boxes = {"boxes": BOXES, "labels": np.arange(5)}
    boxes["boxes"] = BOXES.astype("float64")
    converted = ours.convert_format(boxes, "XYXY", "xywh", dtype=None)
    assert converted["boxes"].dtype == "float64"
    assert converted["labels"] is boxes["labels"]


@pytest.mark.parametrize(("kind", "scale"), [("xyxy", 1), ("rel_xyxy", 0.02)])
def test_clipping(kind, scale):
    far = np.concatenate([BOXES[0], np.full((1, 4), -9, "float32")]) * np.float32(scale)
    boxes = {"boxes": far, "labels": np.arange(6)}
    expected = theirs.clip_to_image_size(boxes, 40, 30, kind)
    result = ours.clip_to_image_size(boxes, 40, 30, kind)
    np.testing.assert_allclose(result["boxes"], expected["boxes"], **CLOSE)
    np.testing.assert_array_equal(result["labels"], expected["labels"])


def test_clipping_in_another_format():
    boxes = {"boxes": [[50, 50, 40, 10]], "labels": [1]}
    clipped = ours.clip_to_image_size(boxes, 52, 60, "xywh")
    np.testing.assert_array_equal(clipped["boxes"], [[50, 50, 10, 2]])


@pytest.mark.parametrize(
    ("a", "b"),
    [(BOXES[0], OTHERS[1]), (BOXES, OTHERS), (BOXES, OTHERS[0]), (BOXES[0], OTHERS)],
)
def test_iou(a, b):
    for kind, shape in (("xyxy", None), ("center_xywh", None), ("rel_xyxy", (100, 100, 3))):
        expected = theirs.compute_iou(a, b, kind, image_shape=shape)
        np.testing.assert_allclose(
            ours.compute_iou(a, b, kind, image_shape=shape), expected, **CLOSE
        )


def test_iou_of_padding_and_of_points():
    a = np.concatenate([BOXES[0], [[-1.0, -1, -1, -1]]])
    expected = theirs.compute_iou(a, a, "xyxy", use_masking=True, mask_val=-3)
    np.testing.assert_allclose(ours.compute_iou(a, a, "xyxy", True, -3), expected, **CLOSE)
    assert ours.compute_iou([[1, 1, 1, 1]], [[1, 1, 1, 1]], "xyxy") == 0


def test_ciou():
    for b in (OTHERS, BOXES[::-1], BOXES):
        expected = theirs.compute_ciou(BOXES, b, "xyxy")
        np.testing.assert_allclose(ours.compute_ciou(BOXES, b, "xyxy"), expected, **CLOSE)


@pytest.mark.parametrize("code", ["center_xywh", "center_yxhw"])
@pytest.mark.parametrize("variance", [None, [0.1, 0.1, 0.2, 0.2]])
def test_deltas(code, variance):
    arguments = ("xyxy", "xywh", code, variance)
    boxes = np.asarray(theirs.convert_format(OTHERS, "xyxy", "xywh"))
    deltas = ours.encode_box_to_deltas(BOXES[0], boxes, *arguments)
    expected = theirs.encode_box_to_deltas(BOXES[0], boxes, *arguments)
    # Offsets of some 50 in units of small anchors, divided by 0.1: up to a thousand.
    np.testing.assert_allclose(deltas, expected, rtol=1e-4, atol=1e-3)
    decoded = ours.decode_deltas_to_boxes(BOXES[0], deltas, *arguments)
    np.testing.assert_allclose(decoded, boxes, rtol=1e-4, atol=1e-3)
    levels = ours.decode_deltas_to_boxes({0: BOXES[0]}, {0: deltas}, *arguments)
    np.testing.assert_array_equal(levels[0], decoded)


def test_crop_and_pad():
    np.testing.assert_allclose(
        ours.crop(BOXES, 10, 20, 40, 30), theirs.crop(BOXES, 10, 20, 40, 30), **CLOSE
    )
    np.testing.assert_allclose(ours.pad(BOXES, 10, 20), theirs.pad(BOXES, 10, 20), **CLOSE)
    np.testing.assert_allclose(
        ours.pad([[0.1, 0.2, 0.3, 0.4]], 10, 20, 100, 200, "rel_xyxy"),
        [[0.2, 0.3, 0.4, 0.5]],
        rtol=1e-6,
    )
    np.testing.assert_array_equal(
        ours.crop([[10, 20, 5, 6]], 10, 5, 100, 100, "xywh"), [[5, 10, 5, 6]]
    )


def test_affine():
    parameters = np.array(
        [
            [30.0, 90.0],
            [0.1, -0.2],
            [0.2, 0.0],
            [1.2, 2.0],
            [5.0, 30.0],
            [7.0, 20.0],
        ],
        dtype="float32",
    )
    for centre in ({}, {"center_x": 0.2, "center_y": 0.9}):
        expected = theirs.affine_transform(BOXES, *parameters, 100, 200, **centre)
        result = ours.affine_transform(BOXES, *parameters, 100, 200, **centre)
        assert result.dtype == "float32"
        np.testing.assert_allclose(result, expected, rtol=1e-4, atol=1e-3)
    single = ours.affine_transform(BOXES[0], *parameters[:, 0], 100, 200)
    both = ours.affine_transform(BOXES, *parameters, 100, 200)
    np.testing.assert_allclose(single, both[0], **CLOSE)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: ours.convert_format(BOXES, "xyx", "xyxy"), "source='xyx'"),
        (lambda: ours.convert_format(BOXES[..., :3], "xyxy", "xywh"), r"size 4.*\(2, 5, 3\)"),
        (lambda: ours.convert_format(BOXES, "xyxy", "rel_xyxy", height=3), "width=None"),
        (lambda: ours.clip_to_image_size({"boxes": BOXES, "labels": 1}), "height=None"),
        (lambda: ours.compute_iou(BOXES[0, 0], BOXES, "xyxy"), r"'boxes1'.*shape=\(4,\)"),
        (lambda: ours.compute_iou(BOXES, BOXES, "rel_xyxy"), "image_shape=None"),
        (
            lambda: ours.encode_box_to_deltas(BOXES, BOXES, "xyxy", "xyxy", "xywh"),
            "encoding_format='xywh'",
        ),
        (
            lambda: ours.decode_deltas_to_boxes(BOXES, BOXES, "xyxy", "xyxy", variance=[1]),
            r"4 entries.*\[1\]",
        ),
    ],
)
def test_errors(call, message):
    with pytest.raises(ValueError, match=message):
        call()
