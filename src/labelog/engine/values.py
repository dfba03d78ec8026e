"""Labels as callers give them, checked."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from labelog.errors import Invalid, NotFound
from labelog.geometry import Box, whole

MAX_LABEL = 2**64 - 1


def is_text(value: Any) -> bool:
    """Whether it is a text that has bytes: half of a surrogate pair has none."""
    try:
        return isinstance(value, str) and value.encode() is not None
    except UnicodeEncodeError:
        return False


def checked_text(what: str, value: Any, *, empty: bool = True) -> None:
    """Raise Invalid, which calls it `what`, for what is neither a text nor None.

    With `empty=False` also for a text that is empty or has a NUL in it.
    """
    if not (value is None or (is_text(value) and (empty or (value and "\0" not in value)))):
        raise Invalid(f"{what} is a text{'' if empty else ' that is not empty and has no NUL'}, not {value!r}")


def is_name(value: Any) -> bool:
    """Whether a text can be a part of an address: a printable line, not empty, without a slash, not `.` or `..`."""
    return isinstance(value, str) and value.isprintable() and "/" not in value and value not in ("", ".", "..")


def checked_label(value: Any) -> int:
    """A label: a whole number from 0 to 2^64 - 1, or Invalid."""
    try:
        label = whole(value)
    except TypeError:
        raise Invalid(f"a label is a whole number from 0 to {MAX_LABEL}, not {value!r}") from None
    if not 0 <= label <= MAX_LABEL:
        raise Invalid(f"a label is from 0 to {MAX_LABEL}, not {label}")
    return label


def checked_object(value: Any) -> int:
    """The label of an object: as `checked_label`, but not 0."""
    label = checked_label(value)
    if not label:
        raise Invalid("label 0 is background, and no object")
    return label


def is_colour(value: Any) -> bool:
    """Whether it is a text "#rrggbb" or "#rrggbbaa"."""
    return isinstance(value, str) and re.fullmatch(r"#([0-9a-fA-F]{2}){3,4}", value) is not None


def checked_colours(colours: Any) -> dict[int, str]:
    """Label -> "#rrggbb" or "#rrggbbaa", or Invalid."""
    if not isinstance(colours, Mapping):
        raise Invalid(f"colours are a dict of labels and texts such as '#ff8000', not {colours!r}")
    for label, colour in colours.items():
        if not is_colour(colour):
            raise Invalid(f"the colour of label {label!r} is a text #rrggbb or #rrggbbaa, not {colour!r}")
    return {checked_label(label): colour for label, colour in colours.items()}


def checked_count(name: str, value: Any, of: str = "voxels", least: int = 0) -> int:
    """A number of voxels, or of something else, `least` or more, or Invalid, which calls it `name`."""
    try:
        number = whole(value)
    except TypeError:
        number = -1
    if number < least:
        raise Invalid(f"{name} is a number of {of}, {least} or more, not {value!r}")
    return number


def checked_revision(value: Any) -> int:
    """A whole number, or Invalid."""
    try:
        return whole(value)
    except TypeError:
        raise Invalid(f"a revision is a whole number, not {value!r}") from None


def existing(revision: Any, head: int) -> int:
    """A revision from 0 to `head`: Invalid for what is none, NotFound for one that is not there."""
    try:
        found = whole(revision)
    except TypeError:
        raise Invalid(f"expected a revision or a datetime, not {revision!r}") from None
    if not 0 <= found <= head:
        raise NotFound(f"there is no revision {found}; they go from 0 to {head}", revision=found)
    return found


def fitted(labels: ArrayLike, shape: tuple[int, ...], box: Box) -> NDArray[Any]:
    """Labels that broadcast to `shape`, as an index of a box has it, as the voxels of the box; or Invalid."""
    array = checked_labels(labels)
    try:
        return np.broadcast_to(array, shape).reshape(box.shape)
    except ValueError:
        raise Invalid(f"labels of shape {array.shape} do not fit the box {box} of shape {shape}") from None


def checked_pairs(pairs: Iterable[Any]) -> list[tuple[int, int]]:
    """Pairs of different labels of objects, or Invalid."""
    found: list[tuple[int, int]] = []
    for pair in several(pairs):
        try:
            first, second = pair
        except (TypeError, ValueError):
            raise Invalid(f"labels that are one object come in pairs, not as {pair!r}") from None
        found.append((checked_object(first), checked_object(second)))
        if found[-1][0] == found[-1][1]:
            raise Invalid(f"label {found[-1][0]} can't be merged with itself")
    return found


def several(given: Any) -> list[Any]:
    """What is given as one thing or as several of them; a text is one, and so is an array without axes."""
    one = isinstance(given, (str, bytes)) or not isinstance(given, Iterable)
    one = one or (isinstance(given, np.ndarray) and not given.ndim)
    return [given] if one else list(given)


def label_set(labels: Iterable[int] | int) -> set[int]:
    """One label, or several."""
    return {checked_label(label) for label in several(labels)}


def checked_mapping(labels: Any) -> dict[int, int]:
    """Old label -> new label, or Invalid."""
    try:
        pairs = dict(labels)
    except (TypeError, ValueError):
        raise Invalid(f"expected old labels and their new ones, such as {{5: 7}}, found {labels!r}") from None
    return {checked_label(old): checked_label(new) for old, new in pairs.items()}


def checked_wait(value: Any) -> float | None:
    """Seconds to wait, 0 or more; None is without end. Or Invalid."""
    if value is None:
        return None
    try:
        seconds = math.nan if isinstance(value, (bool, str)) else float(value)
    except (TypeError, ValueError, OverflowError):
        seconds = math.nan
    if not seconds >= 0:
        raise Invalid(f"timeout is a number of seconds, 0 or more, or None, not {value!r}")
    return seconds


def checked_labels(values: ArrayLike) -> NDArray[Any]:
    """An array of labels: any integer dtype, none negative (which is found when it is walked), or Invalid."""
    array = np.asarray(values)
    if array.dtype.kind not in "iu":
        raise Invalid(f"labels must be of an integer dtype, from 0 to {MAX_LABEL}; found {array.dtype}")
    return array if array.dtype.isnative and array.flags.aligned else array.astype(array.dtype.newbyteorder("="))
