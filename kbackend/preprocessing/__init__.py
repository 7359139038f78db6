"""The place where Keras keeps its older tools for images and sequences."""

from kbackend.base.lazy import attach

__getattr__, __dir__ = attach(
    __name__,
    {
        "image": "kbackend.preprocessing.image",
        "image_dataset_from_directory": "kbackend.utils.image_folders:image_dataset_from_directory",
        "sequence": "kbackend.preprocessing.sequence",
        "text_dataset_from_directory": "kbackend.utils.text_folders:text_dataset_from_directory",
        "timeseries_dataset_from_array": "kbackend.utils.timeseries:timeseries_dataset_from_array",
    },
)
