"""Tools around models: data sets, files, images, progress bars.

Names are imported when first asked for. To add one, add its line to `_TARGETS`; modules are named
otherwise than the names they define, so that importing one never hides the other.
"""

from kbackend.base.lazy import attach

_TARGETS = {
    "Config": "kbackend.utils.config_object:Config",
    "Progbar": "kbackend.utils.progress:Progbar",
    "PyDataset": "kbackend.utils.py_dataset:PyDataset",
    "Sequence": "kbackend.utils.py_dataset:PyDataset",
    "disable_interactive_logging": "kbackend.base.flags:disable_interactive_logging",
    "enable_interactive_logging": "kbackend.base.flags:enable_interactive_logging",
    "get_file": "kbackend.utils.cached_files:get_file",
    "is_interactive_logging_enabled": "kbackend.base.flags:is_interactive_logging_enabled",
    "normalize": "kbackend.utils.encoding:normalize",
    "pack_x_y_sample_weight": "kbackend.trainers.data.packing:pack_x_y_sample_weight",
    "pad_sequences": "kbackend.utils.sequences:pad_sequences",
    "standardize_dtype": "kbackend.base.dtypes:standardize_dtype",
    "to_categorical": "kbackend.utils.encoding:to_categorical",
    "unpack_x_y_sample_weight": "kbackend.trainers.data.packing:unpack_x_y_sample_weight",
}

__all__ = sorted(_TARGETS)

__getattr__, __dir__ = attach(__name__, _TARGETS)
