"""Directories of images, texts and sounds, windows of time series, and splits."""

import wave

import numpy as np
import pytest

from kbackend.base import flags
from kbackend.trainers.data import Epochs, get_adapter
from kbackend.utils import (
    audio_dataset_from_directory,
    image_dataset_from_directory,
    save_img,
    split_dataset,
    text_dataset_from_directory,
    timeseries_dataset_from_array,
)
from kbackend.utils.audio_folders import read_wav
from kbackend.utils.sample_dataset import SampleDataset


@pytest.fixture
def images(tmp_path):
    for number, name in enumerate(["cat", "dog", "eel"]):
        (tmp_path / name).mkdir()
        for i in range(4):
            pixels = np.full((6, 8, 3), 10 * number + i)
            save_img(tmp_path / name / f"{i}.png", pixels, scale=False)
    (tmp_path / "cat" / "notes.txt").write_text("no image")
    (tmp_path / ".hidden").mkdir()
    return tmp_path


@pytest.fixture
def texts(tmp_path):
    for name in ("bad", "good"):
        (tmp_path / name / "deep").mkdir(parents=True)
        for i in range(5):
            (tmp_path / name / f"{i}.txt").write_text(f"{name} film {i}", encoding="utf-8")
        (tmp_path / name / "deep" / "x.txt").write_text(f"{name} ünder", encoding="utf-8")
    return tmp_path


def quiet(function, *args, **options):
    return function(*args, **{"verbose": False, **options})


def test_images_in_order(images):
    dataset = quiet(
        image_dataset_from_directory, images, image_size=(3, 4), batch_size=5, shuffle=False
    )
    assert dataset.class_names == ["cat", "dog", "eel"]
    assert [path[-9:] for path in dataset.file_paths[:2]] == ["cat/0.png", "cat/1.png"]
    batches = list(dataset)
    assert [len(x) for x, _ in batches] == [5, 5, 2]
    x = np.concatenate([x for x, _ in batches])
    y = np.concatenate([y for _, y in batches])
    assert x.shape == (12, 3, 4, 3)
    assert x.dtype == "float32"
    assert y.dtype == "int32"
    np.testing.assert_array_equal(y, np.repeat([0, 1, 2], 4))
    np.testing.assert_allclose(x[:, 0, 0, 0], 10 * y + np.tile(np.arange(4), 3), rtol=1e-6)


@pytest.mark.parametrize("workers", [1, 3])
def test_images_train_in_shuffled_epochs(images, workers):
    dataset = quiet(image_dataset_from_directory, images, image_size=(2, 2), batch_size=4, seed=1)
    dataset.workers = workers
    epochs = Epochs(get_adapter(dataset))
    seen = []
    for _ in range(2):
        rows = np.concatenate([x[:, 0, 0, 0] for _, (x, y) in epochs.epoch()])
        np.testing.assert_allclose(
            np.sort(rows), np.sort([10 * c + i for c in range(3) for i in range(4)]), rtol=1e-5
        )
        seen.append(rows)
    assert not np.array_equal(*seen)


@pytest.mark.parametrize(
    ("mode", "expected"), [("categorical", [[0, 1, 0]]), ("int", [1]), (None, None)]
)
def test_label_modes(images, mode, expected):
    dataset = quiet(
        image_dataset_from_directory,
        images,
        label_mode=mode,
        batch_size=None,
        shuffle=False,
        image_size=(2, 2),
    )
    sample = dataset[4]
    if mode is None:
        assert sample.shape == (2, 2, 3)
    else:
        np.testing.assert_array_equal([sample[1]], expected)


def test_class_order_and_own_labels(images):
    options = {"batch_size": 12, "shuffle": False, "image_size": (2, 2)}
    names = ["eel", "cat", "dog"]
    dataset = quiet(image_dataset_from_directory, images, class_names=names, **options)
    assert dataset.class_names == names
    np.testing.assert_array_equal(dataset[0][1], np.repeat([0, 1, 2], 4))
    labels = list(range(12))
    dataset = quiet(image_dataset_from_directory, images, labels=labels, **options)
    np.testing.assert_array_equal(dataset[0][1], labels)


def test_colour_and_proportions(images):
    save_img(images / "cat" / "0.png", np.full((4, 8, 3), 100), scale=False)
    options = {"labels": None, "shuffle": False, "batch_size": 1, "color_mode": "grayscale"}
    padded = quiet(
        image_dataset_from_directory, images, image_size=(8, 8), pad_to_aspect_ratio=True, **options
    )[0][0]
    assert padded.shape == (8, 8, 1)
    assert padded[0].max() == 0
    assert padded[4].min() == 100
    cropped = quiet(
        image_dataset_from_directory,
        images,
        image_size=(8, 8),
        crop_to_aspect_ratio=True,
        data_format="channels_first",
        **options,
    )[0][0]
    assert cropped.shape == (1, 8, 8)
    np.testing.assert_allclose(cropped, 100, rtol=1e-6)


def test_splits_are_disjoint_and_whole(images):
    options = {"validation_split": 0.25, "seed": 3, "image_size": (2, 2)}
    training, validation = (
        quiet(image_dataset_from_directory, images, subset=name, **options)
        for name in ("training", "validation")
    )
    assert (len(training.file_paths), len(validation.file_paths)) == (9, 3)
    assert len({*training.file_paths, *validation.file_paths}) == 12
    both = quiet(image_dataset_from_directory, images, subset="both", **options)
    assert both[0].file_paths == training.file_paths
    assert both[1].file_paths == validation.file_paths


def test_what_was_found_is_written(images, capsys):
    flags.enable_interactive_logging()
    image_dataset_from_directory(images, validation_split=0.5, subset="both", seed=0)
    assert capsys.readouterr().out.splitlines() == [
        "Found 12 files belonging to 3 classes.",
        "Using 6 files for training.",
        "Using 6 files for validation.",
    ]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"directory": "/nonexistent"}, "no directory '/nonexistent'"),
        ({"label_mode": "x"}, "label_mode='x'"),
        ({"labels": "guess"}, "labels='guess'"),
        ({"labels": [1, 2]}, "2 labels for 12 files"),
        ({"label_mode": "binary"}, "exactly 2 classes.*3"),
        ({"class_names": ["a"]}, r"subdirectories: \['cat', 'dog', 'eel'\]"),
        ({"labels": None, "class_names": ["a"]}, "needs labels"),
        ({"labels": [0] * 12, "class_names": ["a"]}, "only with labels='inferred'"),
        ({"validation_split": 0.5}, "go together"),
        ({"subset": "training"}, "go together"),
        ({"validation_split": 1.5, "subset": "both"}, "validation_split=1.5"),
        ({"validation_split": 0.5, "subset": "test"}, "subset='test'"),
        ({"validation_split": 0.5, "subset": "training"}, "give a 'seed'"),
        ({"validation_split": 0.01, "subset": "both"}, "too few"),
        ({"color_mode": "x"}, "color_mode='x'"),
        ({"interpolation": "x"}, "interpolation='x'"),
        ({"image_size": 3}, "image_size=3"),
        ({"crop_to_aspect_ratio": True, "pad_to_aspect_ratio": True}, "not both"),
        ({"batch_size": 0}, "batch_size=0"),
    ],
)
def test_directory_errors(images, options, message):
    with pytest.raises(ValueError, match=message):
        quiet(image_dataset_from_directory, **{"directory": images, **options})


def test_empty_directory(tmp_path):
    with pytest.raises(ValueError, match=r"holds no file that ends in .bmp"):
        quiet(image_dataset_from_directory, tmp_path)


def test_texts(texts):
    dataset = quiet(
        text_dataset_from_directory, texts, shuffle=False, max_length=8, label_mode="binary"
    )
    x, y = dataset[0]
    assert x.dtype == object
    assert x[:2].tolist() == ["bad film", "bad film"]
    assert x[5] == "bad ünde"
    assert y.shape == (12, 1)
    assert y[6:].min() == 1
    (batch,) = get_adapter(dataset).batches()
    assert batch[0].tolist() == x.tolist()


@pytest.mark.parametrize("width", [1, 2, 3, 4])
def test_sounds(tmp_path, width):
    top = 2 ** (8 * width - 1)
    values = np.array([[0, top // 2], [-top, top // 4], [1, -1]])
    stored = values + top if width == 1 else values % 2 ** (8 * width)
    raw = b"".join(int(v).to_bytes(width, "little") for v in stored.ravel())
    with wave.open(str(tmp_path / "a.wav"), "wb") as file:
        file.setparams((2, width, 100, 0, "NONE", ""))
        file.writeframes(raw)
    samples, rate = read_wav(str(tmp_path / "a.wav"))
    assert rate == 100
    np.testing.assert_allclose(samples, values / top, rtol=1e-6)
    options = {"labels": None, "batch_size": 1}
    longer = quiet(audio_dataset_from_directory, tmp_path, output_sequence_length=5, **options)[0]
    assert longer.shape == (1, 5, 2)
    assert longer[0, 3:].max() == 0
    assert quiet(audio_dataset_from_directory, tmp_path, output_sequence_length=2, **options)[
        0
    ].shape == (1, 2, 2)
    faster = quiet(audio_dataset_from_directory, tmp_path, sampling_rate=200, **options)[0]
    np.testing.assert_allclose(faster[0, ::2], samples, rtol=1e-6)
    np.testing.assert_allclose(faster[0, 1], (samples[0] + samples[1]) / 2, rtol=1e-6)


def test_sound_errors(tmp_path):
    (tmp_path / "a.wav").write_bytes(b"no sound")
    with pytest.raises(ValueError, match="a.wav is no WAV file"):
        quiet(audio_dataset_from_directory, tmp_path, labels=None)[0]
    with pytest.raises(ValueError, match="ragged"):
        quiet(audio_dataset_from_directory, tmp_path, ragged=True)
    with pytest.raises(ValueError, match="sampling_rate=0"):
        quiet(audio_dataset_from_directory, tmp_path, sampling_rate=0)


@pytest.mark.parametrize("length", [1, 3])
@pytest.mark.parametrize("stride", [1, 4])
@pytest.mark.parametrize("rate", [1, 2])
@pytest.mark.parametrize(("start", "end"), [(None, None), (3, None), (2, 15)])
def test_windows(length, stride, rate, start, end):
    data = np.arange(20)
    dataset = timeseries_dataset_from_array(
        data, data * 10, length, stride, rate, batch_size=4, start_index=start, end_index=end
    )
    first, stop = start or 0, end or 20
    begins = [b for b in range(first, stop, stride) if b + (length - 1) * rate < stop]
    x = np.concatenate([x for x, _ in dataset])
    y = np.concatenate([y for _, y in dataset])
    assert x.tolist() == [[b + i * rate for i in range(length)] for b in begins]
    assert y.tolist() == [10 * b for b in begins]


def test_windows_without_targets_and_with_fewer_targets():
    data = np.arange(10.0).reshape(5, 2)
    (x,) = timeseries_dataset_from_array(data, None, 2)
    assert x.shape == (4, 2, 2)
    x, y = timeseries_dataset_from_array(data, np.arange(3), 2)[0]
    assert y.tolist() == [0, 1, 2]
    dataset = timeseries_dataset_from_array(np.arange(50), None, 2, shuffle=True, seed=1)
    firsts = [batch[0][:, 0].tolist() for batch in (list(dataset), list(dataset))]
    assert sorted(firsts[0]) == sorted(firsts[1]) == list(range(49))
    assert firsts[0] != firsts[1]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"sequence_length": 0}, "sequence_length=0"),
        ({"sequence_length": 11}, "sequence_length=11"),
        ({"sequence_length": 2.5}, "sequence_length=2.5"),
        ({"sequence_length": 2, "sequence_stride": 0}, "sequence_stride=0"),
        ({"sequence_length": 2, "sampling_rate": 99}, "sampling_rate=99"),
        ({"sequence_length": 2, "start_index": 10}, "start_index=10"),
        ({"sequence_length": 2, "end_index": 11}, "end_index=11"),
        ({"sequence_length": 2, "start_index": 5, "end_index": 5}, "must be higher"),
        ({"sequence_length": 6, "sampling_rate": 2}, "too few"),
    ],
)
def test_window_errors(options, message):
    with pytest.raises(ValueError, match=message):
        timeseries_dataset_from_array(np.arange(10), None, **options)


def test_split_kinds():
    x = np.arange(10)
    for data in (x, (x, x * 2), {"a": x}, list(range(10)), SampleDataset(lambda i: i, range(10))):
        left, right = split_dataset(data, 0.7)
        assert (len(left), len(right)) == (7, 3)
    left, right = split_dataset((x, x * 2), right_size=4)
    assert [tuple(map(int, s)) for s in right] == [(6, 12), (7, 14), (8, 16), (9, 18)]
    (a, b), *_ = left.batch(3)
    assert (a.tolist(), b.tolist()) == ([0, 1, 2], [0, 2, 4])
    assert sum(len(a) for (a, b) in get_adapter(left.batch(4)).batches()) == 6
    left, right = split_dataset(x, 2, 3)
    assert ([int(v) for v in left], [int(v) for v in right]) == ([0, 1], [7, 8, 9])


def test_split_shuffles_by_seed():
    parts = [split_dataset(np.arange(20), 0.5, shuffle=True, seed=s) for s in (1, 1, 2)]
    values = [[int(v) for part in pair for v in part] for pair in parts]
    assert values[0] == values[1] != values[2]
    assert sorted(values[0]) == list(range(20))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((np.arange(4),), "give 'left_size'"),
        ((np.arange(4), 1.5), "left_size=1.5"),
        ((np.arange(4), 4), "left_size=4"),
        ((np.arange(4), "a"), "left_size='a'"),
        ((np.arange(4), 3, 2), "3 and 2 samples"),
        ((np.arange(4), 0.05), "0 and 4 samples"),
        (((np.arange(4), np.arange(3)), 0.5), r"\[3, 4\]"),
        ((5, 0.5), "of type int"),
        ((iter([]), 0.5), "is empty"),
    ],
)
def test_split_errors(arguments, message):
    with pytest.raises(ValueError, match=message):
        split_dataset(*arguments)


def test_sample_dataset_chain():
    dataset = SampleDataset(lambda i: (np.full(2, i), i), range(6), batch_size=2)
    doubled = dataset.map(lambda x, y: (x * 2, y)).map(lambda x, y: (x + 1, y))
    assert [y.tolist() for _, y in dataset.skip(1).take(1)] == [[2, 3]]
    assert doubled[1][0].tolist() == [[5, 5], [7, 7]]
    assert dataset[-1][1].tolist() == [4, 5]
    with pytest.raises(IndexError, match="3 batches"):
        _ = dataset[3]
