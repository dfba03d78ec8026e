"""Plain arrays as boxes (z, y, x): checked, turned so that x goes along memory, cut into slabs that threads take."""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from typing import Any, NamedTuple, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from labelog.errors import Invalid
from labelog.geometry import Triple, whole

SLAB = 2**22  # voxels that a thread takes at a time

Item = TypeVar("Item")
Result = TypeVar("Result")


def integers(array: ArrayLike, most: int = 3) -> NDArray[Any]:
    """An array of integers or bool in 1 to `most` dimensions, or Invalid; copied if it is not aligned, or if it is of
    bool and has bytes other than 0 and 1, which are True as they are to NumPy."""
    try:
        values = np.asarray(array)
    except ValueError as error:
        raise Invalid(f"expected an array of integers or bool: {error}") from None
    if values.dtype.kind not in "biu" or not 1 <= values.ndim <= most:
        raise Invalid(f"expected integers or bool in 1 to {most} dimensions, found {values.dtype} in {values.ndim}")
    if values.dtype == bool and values.size and values.view(np.uint8).max() > 1:  # another array's bytes, as bool
        return np.asarray(values.view(np.uint8) != 0)
    return values if values.flags.aligned else values.copy(order="K")


def checked(array: ArrayLike, most: int = 3) -> NDArray[Any]:
    """As `integers`, in the machine's byte order, bool as uint8. Copied only where bytes are swapped."""
    values = integers(array, most)
    if values.dtype == bool:
        return values.view(np.uint8)
    return values.astype(values.dtype.newbyteorder("="), copy=False)


def slabs(box: NDArray[Any], multiple: int = 1) -> list[slice]:
    """Where along z to cut a box into slabs of about SLAB voxels, their depth a multiple of some number."""
    depth = max(1, SLAB // (box.shape[1] * box.shape[2] * multiple)) * multiple
    return [slice(z, z + depth) for z in range(0, len(box), depth)]


def thread_count(threads: int | None) -> int:
    """How many threads to use: as many as were asked for, or one for each processor. Invalid for no such number."""
    try:
        found = (os.cpu_count() or 1) if threads is None else whole(threads)
    except TypeError:
        found = 0
    if found < 1:
        raise Invalid(f"the number of threads is a whole number from 1 on, not {threads!r}")
    return found


def threads_may_begin() -> bool:
    """Not any more while the interpreter ends, as when what `atexit` has been given is called."""
    return threading.main_thread().is_alive()


def each(function: Callable[[Item], Result], items: Sequence[Item], threads: int) -> list[Result]:
    """What a function gives for each item, in order; several threads take the items."""
    with team(min(threads, len(items))) as every:
        return every(function, items)


@contextmanager
def team(threads: int) -> Iterator[Callable[[Callable[[Item], Result], Sequence[Item]], list[Result]]]:
    """A function as `each` whose calls are all done by the same threads.

    One of them is the caller's own, which takes items from the last one on: were it only to wait, it would often take
    its processor from one that works.
    """
    if threads <= 1 or not threads_may_begin():
        yield lambda function, items: [function(item) for item in items]
        return
    with ThreadPoolExecutor(threads - 1, "labelog") as pool:

        def every(function: Callable[[Item], Result], items: Sequence[Item]) -> list[Result]:
            calls = [pool.submit(function, item) for item in items]
            try:
                found = [function(item) if call.cancel() else call.result()
                         for item, call in zip(reversed(items), reversed(calls), strict=True)]  # fmt: skip
            finally:
                for call in calls:  # if this thread has failed, the others need not begin
                    call.cancel()
            return found[::-1]

        yield every


def ahead(pool: Executor | None, function: Callable[[Item], Result], items: Iterable[Item],
          most: int) -> Generator[Result]:  # fmt: skip
    """What a function gives for each item, in order: a pool works on the next ones, `most` ahead of who asks.

    Without a pool, or if it is shut down meanwhile, who asks works.
    """
    if pool is None:
        yield from map(function, items)
        return
    waiting: deque[Future[Result]] = deque()
    try:
        for item in items:
            waiting.append(_submitted(pool, function, item))
            if len(waiting) > most:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        for future in waiting:
            future.cancel()
        wait(waiting)


def _submitted(pool: Executor, function: Callable[[Item], Result], item: Item) -> Future[Result]:
    try:
        return pool.submit(function, item)
    except RuntimeError:
        done: Future[Result] = Future()
        done.set_result(function(item))
        return done


class Turn(NamedTuple):
    """How an array is looked at: as a box (z, y, x) whose z is what slabs cut."""

    axes: tuple[int, ...]
    steps: tuple[int, ...]  # along z, y, x of the box: voxels of the array in C order
    in_order: bool  # whether a walk over the box is a walk over the array in C order

    @classmethod
    def along_memory(cls, array: NDArray[Any], row: int = 1) -> Turn:
        """One whose x goes along memory; or along the longest axis, where rows would have fewer than `row` voxels."""
        axes = sorted(range(array.ndim), key=lambda axis: -abs(array.strides[axis]))
        if array.shape[axes[-1]] < row:
            axes.append(axes.pop(int(np.argmax([array.shape[axis] for axis in axes]))))
        if array.ndim == 3 and array.shape[axes[0]] == 1:
            axes[:2] = axes[1], axes[0]
        steps = [int(np.prod(array.shape[axis + 1 :], dtype=object)) for axis in axes]
        long = [step for step, axis in zip(steps, axes, strict=True) if array.shape[axis] > 1]
        full = {1: [0, 0, *steps], 2: [steps[0], 0, steps[-1]], 3: steps}[array.ndim]
        return cls(tuple(axes), tuple(full), long == sorted(long, reverse=True))

    def box(self, array: NDArray[Any]) -> NDArray[Any]:
        turned = array.transpose(self.axes)
        return turned[:, None, :] if array.ndim == 2 else turned[(None,) * (3 - array.ndim)]

    def voxel(self, index: Sequence[int]) -> Triple:
        """Where a voxel of the array is in the box."""
        turned = [index[axis] for axis in self.axes]
        z, y, x = {1: [0, 0, *turned], 2: [turned[0], 0, turned[-1]], 3: turned}[len(turned)]
        return z, y, x
