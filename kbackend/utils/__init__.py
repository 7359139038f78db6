"""Tools around models: data sets, files, images, progress bars.

Names are imported when first asked for. To add one, add its line to `_TARGETS`; modules are named
otherwise than the names they define, so that importing one never hides the other.
"""

from kbackend.base.lazy import attach

_TARGETS = {
    "Config": "kbackend.utils.config_object:Config",
    "CustomObjectScope": "kbackend.base.registry:custom_object_scope",
    "Progbar": "kbackend.utils.progress:Progbar",
    "PyDataset": "kbackend.utils.py_dataset:PyDataset",
    "Sequence": "kbackend.utils.py_dataset:PyDataset",
    "array_to_img": "kbackend.utils.images:array_to_img",
    "audio_dataset_from_directory": "kbackend.utils.audio_folders:audio_dataset_from_directory",
    "bounding_boxes": "kbackend.utils.bounding_boxes",
    "clear_session": "kbackend.utils.session:clear_session",
    "custom_object_scope": "kbackend.base.registry:custom_object_scope",
    "deserialize_keras_object": "kbackend.base.serialization:deserialize",
    "disable_interactive_logging": "kbackend.base.flags:disable_interactive_logging",
    "enable_interactive_logging": "kbackend.base.flags:enable_interactive_logging",
    "get_custom_objects": "kbackend.base.registry:get_custom_objects",
    "get_file": "kbackend.utils.cached_files:get_file",
    "get_random_seed": "kbackend.state.seed:get_random_seed",
    "get_registered_name": "kbackend.base.registry:get_registered_name",
    "get_registered_object": "kbackend.base.registry:get_registered_object",
    "get_source_inputs": "kbackend.utils.graph_inputs:get_source_inputs",
    "image_dataset_from_directory": "kbackend.utils.image_folders:image_dataset_from_directory",
    "img_to_array": "kbackend.utils.images:img_to_array",
    "is_interactive_logging_enabled": "kbackend.base.flags:is_interactive_logging_enabled",
    "is_keras_tensor": "kbackend.ops.keras_tensor:is_keras_tensor",
    "legacy": "kbackend.utils.legacy",
    "load_img": "kbackend.utils.images:load_img",
    "model_to_dot": "kbackend.models.plotting:model_to_dot",
    "normalize": "kbackend.utils.encoding:normalize",
    "pack_x_y_sample_weight": "kbackend.trainers.data.packing:pack_x_y_sample_weight",
    "pad_sequences": "kbackend.utils.sequences:pad_sequences",
    "plot_model": "kbackend.models.plotting:plot_model",
    "register_keras_serializable": "kbackend.base.registry:register_keras_serializable",
    "save_img": "kbackend.utils.images:save_img",
    "serialize_keras_object": "kbackend.base.serialization:serialize",
    "set_random_seed": "kbackend.state.seed:set_random_seed",
    "split_dataset": "kbackend.utils.dataset_split:split_dataset",
    "standardize_dtype": "kbackend.base.dtypes:standardize_dtype",
    "text_dataset_from_directory": "kbackend.utils.text_folders:text_dataset_from_directory",
    "timeseries_dataset_from_array": "kbackend.utils.timeseries:timeseries_dataset_from_array",
    "to_categorical": "kbackend.utils.encoding:to_categorical",
    "unpack_x_y_sample_weight": "kbackend.trainers.data.packing:unpack_x_y_sample_weight",
}

__getattr__, __dir__ = attach(__name__, _TARGETS)
