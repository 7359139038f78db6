"""Calls that run ahead of their consumer, in threads or processes, in the order asked for."""

from __future__ import annotations

import collections
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from concurrent.futures import Executor, Future

_worker_fn: Callable[[Any], Any] | None = None


def _install(fn: Callable[[Any], Any]) -> None:
    global _worker_fn  # one per worker process: the function travels once, not with each call
    _worker_fn = fn


def _call_installed(argument: Any) -> Any:
    return _worker_fn(argument)  # type: ignore[misc]


def _executor(fn: Callable[[Any], Any], workers: int, processes: bool) -> Executor:
    # Slow to import, and needed by those only who have asked for workers.
    from concurrent import futures  # noqa: PLC0415

    if processes:
        import multiprocessing  # noqa: PLC0415

        return futures.ProcessPoolExecutor(
            workers,
            mp_context=multiprocessing.get_context(),
            initializer=_install,
            initargs=(fn,),
        )
    return futures.ThreadPoolExecutor(workers, thread_name_prefix="kbackend-data")


def ordered_map(
    fn: Callable[[Any], Any],
    arguments: Iterable[Any],
    workers: int = 1,
    processes: bool = False,
    ahead: int = 10,
) -> Iterator[Any]:
    """Yields `fn(argument)` for each of `arguments`, in their order, computed ahead of need.

    Args:
        fn: the function. With processes it must be picklable where processes are spawned.
        arguments: a possibly endless iterable.
        workers: threads or processes. With 0 or 1 thread the calls run in the caller's thread.
        processes: use processes instead of threads.
        ahead: calls that may be running or waiting to be consumed.

    Yields:
        The results. The first exception of a call is raised here, in its turn.

    Example:
        >>> list(ordered_map(abs, [-1, -2], workers=2))
        [1, 2]
    """
    if workers < 1 or (workers == 1 and not processes):
        yield from map(fn, arguments)
        return
    source = iter(arguments)
    pending: collections.deque[Future[Any]] = collections.deque()
    executor = _executor(fn, workers, processes)
    call = _call_installed if processes else fn
    try:
        for argument in source:
            pending.append(executor.submit(call, argument))
            if len(pending) >= max(ahead, 1):
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
    finally:
        # Whoever stops early waits for the calls under way, but not for those not begun.
        executor.shutdown(wait=True, cancel_futures=True)
