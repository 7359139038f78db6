"""From what users give `fit`, `evaluate` and `predict` to host batches."""

from kbackend.trainers.data.adapter import DataAdapter
from kbackend.trainers.data.array_adapter import ArrayAdapter
from kbackend.trainers.data.epochs import Epochs
from kbackend.trainers.data.packing import pack_x_y_sample_weight, unpack_x_y_sample_weight
from kbackend.trainers.data.py_dataset_adapter import PyDatasetAdapter
from kbackend.trainers.data.select import get_adapter
from kbackend.trainers.data.split import train_validation_split
from kbackend.trainers.data.stream_adapter import IterableAdapter, IteratorAdapter
from kbackend.trainers.data.weights import class_weight_to_sample_weight

__all__ = [
    "ArrayAdapter",
    "DataAdapter",
    "Epochs",
    "IterableAdapter",
    "IteratorAdapter",
    "PyDatasetAdapter",
    "class_weight_to_sample_weight",
    "get_adapter",
    "pack_x_y_sample_weight",
    "train_validation_split",
    "unpack_x_y_sample_weight",
]
