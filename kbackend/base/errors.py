"""The error kinds of kbackend.

Each one is also the built-in kind that Keras users already catch (`ValueError`, `TypeError`,
`RuntimeError`, `ImportError`). Messages name the object, the problem, what was received and the
mend.
"""


class KBackendError(Exception):
    """Base class of every error that kbackend defines."""


class ConfigError(KBackendError, ValueError):
    """A setting (file, environment variable or argument) can't be read or has a wrong value."""


class ShapeError(KBackendError, ValueError):
    """Shapes that don't fit together, or an axis that doesn't exist."""


class DTypeError(KBackendError, TypeError):
    """A dtype that is unknown or that an operation doesn't take."""


class GraphError(KBackendError, RuntimeError):
    """A graph breaks a rule of the intermediate representation."""


class TraceError(KBackendError, TypeError):
    """A function can't be traced: it needs the value of a tensor, or lets one escape."""


class MissingPackageError(KBackendError, ImportError):
    """An optional package is needed and not installed.

    Args:
        feature: what needs it, for the start of the message (`"plot_model"`).
        package: the package that is missing.
        install: what to give to pip, for example `"kbackend[viz]"`.
    """

    def __init__(self, feature: str, package: str, install: str) -> None:
        super().__init__(
            f"[{feature}] needs the package '{package}', which is not installed. "
            f"Install it with: pip install '{install}'",
            name=package,
        )
        self.feature = feature
        self.package = package
        self.install = install

    def __reduce__(self) -> tuple[type["MissingPackageError"], tuple[str, str, str]]:
        return type(self), (self.feature, self.package, self.install)


class EngineError(KBackendError, RuntimeError):
    """An engine can't do what was asked of it."""


class EngineNotFoundError(EngineError, ValueError):
    """No engine of that name is known."""


class EngineUnavailableError(EngineError):
    """The engine is known and can't run here: a package, a driver or a device is missing."""


class EngineMismatchError(EngineError, ValueError):
    """Arrays of different engines met in one operation."""


class KernelNotFoundError(EngineError):
    """The engine has no kernel for this primitive and these dtypes."""


class PrimitiveError(KBackendError, RuntimeError):
    """A primitive is defined wrongly, or applied to something that it can't take."""
