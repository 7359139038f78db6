"""The metrics of a compiled model, by output."""

from __future__ import annotations

from typing import Any

from kbackend import metrics as metrics_module
from kbackend.base import tree
from kbackend.metrics.metric import Metric
from kbackend.trainers.outputs import align, output_names_of, per_output

# Short names whose meaning depends on the shapes of targets and predictions.
_ACCURACY = ("accuracy", "acc")
_CROSSENTROPY = ("crossentropy", "ce")


def _is_metrics(value: Any) -> bool:
    """Whether a list is one output's metrics, and not a list by output."""
    return not isinstance(value, dict) and not (
        isinstance(value, (list, tuple)) and any(isinstance(v, (list, tuple)) for v in value)
    )


class CompileMetrics(Metric):
    """Metrics, and weighted metrics, made from what `compile` was given.

    Args:
        metrics: list of metrics, names or functions, or lists of them (or a dict) by output.
        weighted_metrics: the same for metrics that sample weights apply to.
        model: the model, for its outputs' names.
    """

    def __init__(self, metrics: Any, weighted_metrics: Any, model: Any) -> None:
        for what, given in (("metrics", metrics), ("weighted_metrics", weighted_metrics)):
            if given is not None and not isinstance(given, (list, tuple, dict)):
                raise ValueError(
                    f"[compile] '{what}' must be a list or a dict. Received: {given!r}."
                )
        super().__init__(name="compile_metrics")
        self._given = {"metrics": metrics, "weighted_metrics": weighted_metrics}
        self._model = model
        self._names: list[str] | None = None
        # One entry per metric: (name in the logs, metric, output, whether weights apply)
        self._entries: list[tuple[Any, Any, int, bool]] = []
        self._used: dict[str, int] = {}
        for name in self._unknown_names():
            raise ValueError(f"[compile] no metric is called {name!r}.")

    def _unknown_names(self) -> list[str]:
        """Names among the metrics that don't exist: compile() must tell, not the first step."""
        unknown = []
        for given in self._given.values():
            for leaf in tree.flatten(given):
                if isinstance(leaf, str) and leaf not in (*_ACCURACY, *_CROSSENTROPY):
                    try:
                        metrics_module.get(leaf)
                    except ValueError:
                        unknown.append(leaf)
        return unknown

    @property
    def built(self) -> bool:
        """Whether the metrics were made, which takes a first batch."""
        return self._names is not None

    @property
    def metrics(self) -> list[Any]:
        """The metrics made so far."""
        return [metric for _, metric, _, _ in self._entries]

    @property
    def variables(self) -> list[Any]:
        """The variables of all of them."""
        return [variable for metric in self.metrics for variable in metric.variables]

    def reset_state(self) -> None:
        """Sets all of them back."""
        for metric in self.metrics:
            metric.reset_state()

    def find(self, label: str) -> Any:
        """The metric that is called `label` in the logs, or `None`."""
        return next((metric for name, metric, _, _ in self._entries if name == label), None)

    def build(self, y_true: Any, y_pred: Any) -> None:
        """Makes the metrics for a first batch."""
        names = output_names_of(self._model, y_pred)
        preds = tree.flatten(y_pred)
        trues = align(y_true, names, "y")
        for what, weighted in (("metrics", False), ("weighted_metrics", True)):
            given = self._given[what]
            if given is not None and not isinstance(given, dict) and _is_metrics(given):
                if len(names) > 1 and len(given) == len(names):
                    by_output = [[one] for one in given]
                else:
                    by_output = [list(given) for _ in names]
            else:
                by_output = per_output(given, names, what, _is_metrics)
            for i, some in enumerate(by_output):
                for one in (
                    [] if some is None else some if isinstance(some, (list, tuple)) else [some]
                ):
                    if one is None or trues[i] is None:
                        continue
                    metric = self._make(one, trues[i], preds[i])
                    output = "" if len(names) == 1 else f"{names[i]}_"
                    label = self._label(f"{output}{metric.name}", weighted)
                    if label is None:
                        label = self._label(f"{output}weighted_{metric.name}", False)
                    self._entries.append((label, metric, i, weighted))
        self._names = names

    def _label(self, name: str, must_be_new: bool) -> Any:
        """`name`, numbered if other metrics have it; `None` if it must be new and is not."""
        count = self._used.get(name, 0)
        if count and must_be_new:
            return None
        self._used[name] = count + 1
        return f"{name}_{count}" if count else name

    def _make(self, one: Any, y_true: Any, y_pred: Any) -> Metric:
        if isinstance(one, Metric):
            return one
        if isinstance(one, str) and one.lower() in (*_ACCURACY, *_CROSSENTROPY):
            kind = "accuracy" if one.lower() in _ACCURACY else "crossentropy"
            metric = _by_shape(kind, y_true, y_pred)
            metric.name = one
            return metric
        found = metrics_module.get(one)
        if isinstance(found, Metric):
            if isinstance(one, str):
                found.name = one
            return found
        name = one if isinstance(one, str) else getattr(found, "__name__", type(found).__name__)
        return metrics_module.MeanMetricWrapper(found, name=name)

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        """Accumulates a batch."""
        if self._names is None:
            self.build(y_true, y_pred)
        if not self._entries:
            return
        names = self._names or []
        preds = tree.flatten(y_pred)
        trues = (
            [y_true]
            if len(names) == 1 and not tree.is_nested(y_true)
            else align(y_true, names, "y")
        )
        weights = (
            align(sample_weight, names, "sample_weight")
            if tree.is_nested(sample_weight)
            else [sample_weight] * len(names)
        )
        for _, metric, i, weighted in self._entries:
            if trues[i] is None:
                continue
            metric.update_state(trues[i], preds[i], weights[i] if weighted else None)

    def result(self) -> dict[str, Any]:
        """Name -> value of each metric."""
        results: dict[str, Any] = {}
        for label, metric, _, _ in self._entries:
            value = metric.result()
            if isinstance(value, dict):
                results.update(value)
            else:
                results[label] = value
        return results


def _by_shape(kind: str, y_true: Any, y_pred: Any) -> Metric:
    """The accuracy or crossentropy that fits the targets: binary, sparse or categorical."""
    true, pred = tuple(y_true.shape), tuple(y_pred.shape)
    if len(pred) == 1 or pred[-1] == 1:
        names = {"accuracy": "BinaryAccuracy", "crossentropy": "BinaryCrossentropy"}
    elif len(true) < len(pred) or true[-1] == 1:
        names = {
            "accuracy": "SparseCategoricalAccuracy",
            "crossentropy": "SparseCategoricalCrossentropy",
        }
    else:
        names = {"accuracy": "CategoricalAccuracy", "crossentropy": "CategoricalCrossentropy"}
    made: Metric = getattr(metrics_module, names[kind])(name=kind)
    return made
