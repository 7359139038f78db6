"""The public names of `kbackend` and where each of them lives: data only.

A name is imported when it is first asked for, so that `import kbackend` costs next to nothing.
"""

# Namespaces: `kbackend.layers` without an `import kbackend.layers` before it.
NAMESPACES: dict[str, str] = {
    name: f"kbackend.{name}"
    for name in (
        "activations",
        "applications",
        "autodiff",
        "backend",
        "callbacks",
        "compiler",
        "config",
        "constraints",
        "datasets",
        "distillation",
        "distribution",
        "dtype_policies",
        "export",
        "initializers",
        "layers",
        "legacy",
        "losses",
        "metrics",
        "mixed_precision",
        "models",
        "ops",
        "optimizers",
        "preprocessing",
        "quantizers",
        "random",
        "regularizers",
        "saving",
        "testing",
        "tree",
        "utils",
        "visualization",
        "wrappers",
    )
}
NAMESPACES["errors"] = "kbackend.base.errors"

# The top level of Keras.
KERAS: dict[str, str] = {
    "DTypePolicy": "kbackend.state.dtype_policy:DTypePolicy",
    "FloatDTypePolicy": "kbackend.state.dtype_policy:FloatDTypePolicy",
    "Function": "kbackend.ops.function:Function",
    "Initializer": "kbackend.initializers:Initializer",
    "Input": "kbackend.layers:Input",
    "InputSpec": "kbackend.layers:InputSpec",
    "KerasTensor": "kbackend.ops.keras_tensor:KerasTensor",
    "Layer": "kbackend.layers:Layer",
    "Loss": "kbackend.losses:Loss",
    "Metric": "kbackend.metrics:Metric",
    "Model": "kbackend.models:Model",
    "Operation": "kbackend.ops.operation:Operation",
    "Optimizer": "kbackend.optimizers:Optimizer",
    "Quantizer": "kbackend.quantizers:Quantizer",
    "Regularizer": "kbackend.regularizers:Regularizer",
    "RematScope": "kbackend.autodiff:RematScope",
    "Sequential": "kbackend.models:Sequential",
    "StatelessScope": "kbackend.state.scopes:StatelessScope",
    "SymbolicScope": "kbackend.ops.keras_tensor:SymbolicScope",
    "Variable": "kbackend.state.variable:Variable",
    "device": "kbackend.state.scopes:device",
    "name_scope": "kbackend.state.scopes:name_scope",
    "jit": "kbackend.compiler.compiled:jit",
    "remat": "kbackend.autodiff:remat",
}

# What Keras does not have, or keeps elsewhere.
OWN: dict[str, str] = {
    "GradientTape": "kbackend.autodiff:GradientTape",
    "Tensor": "kbackend.core.tensor:Tensor",
    "custom_gradient": "kbackend.autodiff:custom_gradient",
    "free_memory": "kbackend.engine.devices:free_memory",
    "grad": "kbackend.autodiff:grad",
    "hessian": "kbackend.autodiff:hessian",
    "installed_backends": "kbackend.engine.loader:installed_backends",
    "jacobian": "kbackend.autodiff:jacobian",
    "jvp": "kbackend.autodiff:jvp",
    "memory_info": "kbackend.engine.devices:memory_info",
    "set_backend": "kbackend.engine.loader:set_backend",
    "stop_gradient": "kbackend.autodiff:stop_gradient",
    "use_backend": "kbackend.engine.loader:use_backend",
    "value_and_grad": "kbackend.autodiff:value_and_grad",
    "vjp": "kbackend.autodiff:vjp",
}

PUBLIC: dict[str, str] = {**NAMESPACES, **KERAS, **OWN}
