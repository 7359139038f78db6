"""Settings of the process: `kbackend.config`, with the names that Keras has there."""

from kbackend.base.config import (
    config_path,
    epsilon,
    float32_matmul_precision,
    floatx,
    image_data_format,
    memory_limit,
    set_epsilon,
    set_float32_matmul_precision,
    set_floatx,
    set_image_data_format,
    settings,
)
from kbackend.base.flags import (
    disable_flash_attention,
    disable_interactive_logging,
    disable_traceback_filtering,
    enable_flash_attention,
    enable_interactive_logging,
    enable_traceback_filtering,
    enable_unsafe_deserialization,
    is_flash_attention_enabled,
    is_interactive_logging_enabled,
    is_nnx_enabled,
    is_traceback_filtering_enabled,
    max_epochs,
    max_steps_per_epoch,
    set_max_epochs,
    set_max_steps_per_epoch,
)
from kbackend.base.lazy import attach
from kbackend.base.threads import num_threads, set_num_threads
from kbackend.engine.devices import set_memory_limit
from kbackend.engine.loader import (
    backend,
    configured_backend,
    installed_backends,
    register_engine,
    set_backend,
    unregister_engine,
    use_backend,
)

__all__ = [
    "backend",
    "config_path",
    "configured_backend",
    "disable_flash_attention",
    "disable_interactive_logging",
    "disable_traceback_filtering",
    "dtype_policy",
    "enable_flash_attention",
    "enable_interactive_logging",
    "enable_traceback_filtering",
    "enable_unsafe_deserialization",
    "epsilon",
    "float32_matmul_precision",
    "floatx",
    "image_data_format",
    "installed_backends",
    "is_flash_attention_enabled",
    "is_interactive_logging_enabled",
    "is_nnx_enabled",
    "is_traceback_filtering_enabled",
    "max_epochs",
    "max_steps_per_epoch",
    "memory_limit",
    "num_threads",
    "register_engine",
    "set_backend",
    "set_dtype_policy",
    "set_epsilon",
    "set_float32_matmul_precision",
    "set_floatx",
    "set_image_data_format",
    "set_max_epochs",
    "set_max_steps_per_epoch",
    "set_memory_limit",
    "set_num_threads",
    "settings",
    "unregister_engine",
    "use_backend",
]

# Dtype policies live floors above the settings, and most programs never ask for them here.
__getattr__, __dir__ = attach(
    __name__,
    {
        "dtype_policy": "kbackend.state.dtype_policy:dtype_policy",
        "set_dtype_policy": "kbackend.state.dtype_policy:set_dtype_policy",
    },
)
