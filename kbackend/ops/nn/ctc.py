"""Connectionist temporal classification: loss and decoding."""

from __future__ import annotations

from typing import Any

import numpy as np

from kbackend.core import lang
from kbackend.core.composite import composite
from kbackend.core.convert import to_tensor
from kbackend.core.tensor import Tensor
from kbackend.ops.core.scans import scan
from kbackend.ops.define import op
from kbackend.ops.nn.arguments import floating
from kbackend.ops.nn.normalized_exp import log_softmax_c

# log(0), finite so that differences of it stay numbers.
_NEVER = -1e30


def _sum_of_logs(terms: list[Any]) -> Any:
    """log(sum(exp(term))), element by element."""
    top = terms[0]
    for term in terms[1:]:
        top = lang.maximum(top, term)
    return _around(top, *terms)


@composite("log_sum_around")
def _around(top: Any, *terms: Any) -> Any:
    """log(sum(exp(term))), `top` being the greatest term."""
    total = lang.exp(lang.sub(terms[0], top))
    for term in terms[1:]:
        total = lang.add(total, lang.exp(lang.sub(term, top)))
    return lang.add(lang.log(total), top)


@_around.def_vjp
def _around_vjp(needs: Any, g: Any, result: Any, top: Any, *terms: Any) -> Any:
    # The result does not depend on what is taken out of the sum.
    parts = [
        lang.mul(g, lang.exp(lang.sub(term, result))) if need else None
        for term, need in zip(terms, needs[1:], strict=True)
    ]
    return [None, *parts]


def _shifted(x: Any, by: int) -> Any:
    """x moved to the right by `by` states; what comes in is impossible."""
    batch, states = x.shape
    if by >= states:
        return lang.full((batch, states), _NEVER, x.dtype)
    kept = lang.slice_(x, (0, 0), (batch, states - by))
    return lang.pad(kept, _NEVER, ((0, 0, 0), (by, 0, 0)))


@op(tensors=("output", "target_length", "output_length"))
def ctc_loss(
    target: Any, output: Any, target_length: Any, output_length: Any, mask_index: int = 0
) -> Any:
    """-log of the probability that the outputs spell the targets, with blanks between.

    Args:
        target: integer tensor `(batch, labels)`.
        output: floating tensor `(batch, time, classes)` of logits.
        target_length: integer tensor `(batch,)`.
        output_length: integer tensor `(batch,)`.
        mask_index: the class of blanks.

    Returns:
        A floating tensor `(batch,)`.

    Raises:
        ValueError: the shapes do not fit.

    Example:
        >>> ctc_loss([[1]], np.zeros((1, 2, 2)), [1], [2]).tolist()
        [0.288]

    Reference:
        A. Graves et al., "Connectionist temporal classification", 2006.
    """
    labels, x = lang.cast(to_tensor(target), "int32"), floating(output)
    if len(labels.shape) != 2 or len(x.shape) != 3:
        raise ValueError(
            "[ctc_loss] 'target' must be (batch, labels) and 'output' (batch, time, classes). "
            f"Received: target.shape={tuple(labels.shape)}, output.shape={tuple(x.shape)}."
        )
    lengths = lang.cast(to_tensor(target_length), "int32")
    ends = lang.cast(to_tensor(output_length), "int32")
    batch, steps, _ = x.shape
    count = labels.shape[1]
    states = 2 * count + 1
    # blank, label, blank, label, ..., blank
    blank = lang.lift_as(int(mask_index), labels, "int32")
    extended = lang.pad(labels, blank, ((0, 0, 0), (1, 1, 1)))
    logp = log_softmax_c(x, axes=(2,))
    places = (
        lang.iota((batch, 1, 1), 0, "int32"),
        lang.iota((1, steps, 1), 1, "int32"),
        lang.reshape(extended, (batch, 1, states)),
    )
    emitted = lang.gather(logp, places, (0, 1, 2))
    # A label may follow another label directly, unless they are the same.
    before = lang.slice_(lang.pad(extended, blank, ((0, 0, 0), (2, 0, 0))), (0, 0), (batch, states))
    at = lang.iota((1, states), 1, "int32")
    may_skip = lang.bitwise_and(lang.ne(extended, before), lang.lt(1, at))
    start = lang.select(lang.lt(at, 2), 0.0, lang.full((1, states), _NEVER, x.dtype))
    alpha = lang.add(lang.reshape(lang.slice_(emitted, (0, 0, 0), (batch, 1, states)),
                                  (batch, states)), start)  # fmt: skip

    def step(alpha: Any, at: Any) -> Any:
        t, now = at
        skipped = lang.select(may_skip, _shifted(alpha, 2), _NEVER)
        following = lang.add(_sum_of_logs([alpha, _shifted(alpha, 1), skipped]), now)
        running = lang.lt(t, lang.reshape(ends, (batch, 1)))
        return lang.select(running, following, alpha), None

    if steps > 1:
        times = lang.add(lang.iota((steps - 1,), 0, "int32"), 1)
        later = lang.transpose(lang.slice_(emitted, (0, 1, 0), (batch, steps, states)), (1, 0, 2))
        alpha = scan(step, alpha, (times, later))[0]
    rows = lang.iota((batch,), 0, "int32")
    last = lang.mul(lengths, 2)
    in_blank = lang.gather(alpha, (rows, last), (0, 1))
    in_label = lang.gather(alpha, (rows, lang.maximum(lang.sub(last, 1), 0)), (0, 1))
    in_label = lang.select(lang.lt(0, lengths), in_label, _NEVER)
    return lang.neg(_sum_of_logs([in_blank, in_label]))


@op(tensors=("sequence_lengths",))
def ctc_decode(
    inputs: Any,
    sequence_lengths: Any,
    strategy: str = "greedy",
    beam_width: int = 100,
    top_paths: int = 1,
    merge_repeated: bool = True,
    mask_index: int = 0,
) -> tuple[Any, Any]:
    """The most probable labels of the outputs of a model trained with CTC. Runs on the host.

    Args:
        inputs: floating tensor `(batch, time, classes)` of logits.
        sequence_lengths: integer tensor `(batch,)`.
        strategy: `"greedy"` or `"beam_search"`.
        beam_width: number of prefixes that a beam search keeps.
        top_paths: number of results per example of a beam search.
        merge_repeated: whether equal neighbours are one label, for `"greedy"`.
        mask_index: the class of blanks.

    Returns:
        The labels `(paths, batch, time)`, padded with -1, and their scores `(batch, paths)`: for
        greedy the negative sum of the logits chosen, for beams the log probability.

    Raises:
        ValueError: an argument does not fit, or the inputs have no values.

    Example:
        >>> labels, scores = ctc_decode(np.array([[[0.0, 1.0], [1.0, 0.0]]]), [2])
        >>> labels.tolist()
        [[[1, -1]]]
    """
    if strategy not in ("greedy", "beam_search"):
        raise ValueError(
            "[ctc_decode] 'strategy' must be 'greedy' or 'beam_search'. "
            f"Received: strategy={strategy!r}."
        )
    x, lengths = floating(inputs), to_tensor(sequence_lengths)
    if len(x.shape) != 3:
        raise ValueError(
            "[ctc_decode] 'inputs' must be (batch, time, classes). "
            f"Received: inputs.shape={tuple(x.shape)}."
        )
    paths = 1 if strategy == "greedy" else int(top_paths)
    batch, steps, classes = x.shape
    if x.__class__ is not Tensor or lengths.__class__ is not Tensor:
        # Without values the shapes are all there is.
        return (
            lang.full((paths, batch, steps), -1, "int32"),
            lang.full((batch, paths), 0, x.dtype),
        )
    values, ends = np.asarray(x), np.asarray(lengths)
    labels = np.full((paths, batch, steps), -1, "int32")
    scores = np.zeros((batch, paths), values.dtype)
    blank = mask_index % classes
    for i in range(batch):
        rows = values[i, : int(ends[i])]
        if strategy == "greedy":
            found: list[Any] = [
                (_collapsed(rows.argmax(-1), blank, merge_repeated), -rows.max(-1).sum())
            ]
        else:
            found = _beams(rows.astype("float64"), blank, int(beam_width))[:paths]
        for path, (sequence, score) in enumerate(found):
            labels[path, i, : len(sequence)] = sequence
            scores[i, path] = score
    return to_tensor(labels), to_tensor(scores)


def _collapsed(best: Any, blank: int, merge_repeated: bool) -> list[int]:
    kept = []
    previous = None
    for label in best.tolist():
        if label != blank and not (merge_repeated and label == previous):
            kept.append(label)
        previous = label
    return kept


def _beams(logits: Any, blank: int, width: int) -> list[tuple[tuple[int, ...], float]]:
    """Prefixes and their log probabilities, the best first (prefix beam search)."""
    logp = logits - logits.max(-1, keepdims=True)
    logp = logp - np.log(np.exp(logp).sum(-1, keepdims=True))
    never = -np.inf
    # prefix -> log probabilities of ending in a blank and in its last label
    beams: dict[tuple[int, ...], tuple[float, float]] = {(): (0.0, never)}
    for row in logp.tolist():
        grown: dict[tuple[int, ...], list[float]] = {}
        for prefix, (in_blank, in_label) in beams.items():
            whole = np.logaddexp(in_blank, in_label)
            entry = grown.setdefault(prefix, [never, never])
            entry[0] = np.logaddexp(entry[0], whole + row[blank])
            if prefix:
                entry[1] = np.logaddexp(entry[1], in_label + row[prefix[-1]])
            for label, p in enumerate(row):
                if label == blank:
                    continue
                longer = grown.setdefault((*prefix, label), [never, never])
                origin = in_blank if prefix and prefix[-1] == label else whole
                longer[1] = np.logaddexp(longer[1], origin + p)
        ranked = sorted(grown.items(), key=lambda item: -np.logaddexp(item[1][0], item[1][1]))
        beams = {prefix: (a, b) for prefix, (a, b) in ranked[:width]}
    return [(prefix, float(np.logaddexp(a, b))) for prefix, (a, b) in beams.items()]
