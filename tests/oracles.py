"""A slow NumPy twin of each kernel. Spans are dense arrays here, with -1 where there is none."""

from __future__ import annotations

import itertools
import operator
from collections import Counter
from fractions import Fraction

import numpy as np

NONE = -1


def dense(spans, voxels):
    """Spans as an array of Python integers (labels reach 2^64 - 1, so no dtype with a sign would do)."""
    out = np.full(voxels, NONE, object)
    for start, stop, value in zip(spans.start.tolist(), spans.stop.tolist(), spans.value.tolist(), strict=True):
        assert (out[start:stop] == NONE).all(), "spans overlap"
        out[start:stop] = value
    return out


def labels(array):
    return array.ravel().astype(object)


def overlay(below, above):
    return np.where(above == NONE, below, above)


def subtract(below, above):
    return np.where(above == NONE, below, NONE)


def intersect(spans, within):
    return np.where(within == NONE, NONE, spans)


def apply(array, spans):
    return overlay(labels(array), spans).astype(np.uint64).reshape(array.shape)


def diff(array, spans):
    """Old and new labels where something is written."""
    return intersect(labels(array), spans), spans


def run_count(array):
    """How many runs there are: one for each row, and one for each change within it."""
    z, y, _ = array.shape
    return z * y + int((array[:, :, 1:] != array[:, :, :-1]).sum())


def extents(array):
    """Label -> voxels, first voxel and the one beyond the last: z0, y0, x0, z1, y1, x1."""
    found = {}
    for label in np.unique(array):
        at = np.argwhere(array == label)
        found[int(label)] = (len(at), *at.min(axis=0).tolist(), *(at.max(axis=0) + 1).tolist())
    return found


def contingency(a, b):
    """Rows of label of a, label of b, voxels: in order."""
    counts = Counter(zip(a.ravel().tolist(), b.ravel().tolist(), strict=True))
    return [[*pair, count] for pair, count in sorted(counts.items())]


def bodies(merges):
    """Label -> body: merges in order, each gives the members of the second's body the id of the first's."""
    found = {label: label for pair in merges for label in pair}
    for first, second in merges:
        gone = found[second]
        found |= {label: found[first] for label, body in found.items() if body == gone}
    return found


def replay(ground, edits):
    """What is there is what the live edits made: (mask, values) in order over the ground."""
    out = ground.copy()
    for mask, values in edits:
        out[mask] = values[mask]
    return out


def components(array, reach):
    """Components of equal labels by filling one after another, in the order of their first voxels."""
    steps = [s for s in itertools.product((-1, 0, 1), repeat=array.ndim) if 0 < np.count_nonzero(s) <= reach]
    left = {voxel: label for voxel, label in np.ndenumerate(array) if label != 0}
    out = np.zeros(array.shape, np.int64)
    count = 0
    while left:
        first = next(iter(left))
        label = left.pop(first)
        waiting = [first]
        count += 1
        while waiting:
            voxel = waiting.pop()
            out[voxel] = count
            for step in steps:
                near = tuple(map(operator.add, voxel, step))
                if near in left and left[near] == label:
                    del left[near]
                    waiting.append(near)
    return out


def flood(inside, seed, reach):
    """The voxels of a mask that hang together with one of them, voxel by voxel."""
    steps = [s for s in itertools.product((-1, 0, 1), repeat=inside.ndim) if 0 < np.count_nonzero(s) <= reach]
    left = set(zip(*(axis.tolist() for axis in np.nonzero(inside)), strict=True))
    out = np.zeros(inside.shape, bool)
    waiting = [seed] if seed in left else []
    while waiting:
        voxel = waiting.pop()
        out[voxel] = True
        near = left.intersection(tuple(map(operator.add, voxel, step)) for step in steps)
        left -= near
        waiting += near
    return out


def nearest_seed(mask, seeds):
    """Distances of each seed on its own, then the least; of equal ones the lower number."""
    best = np.full(mask.shape, np.inf)
    out = np.zeros(mask.shape, np.int32)
    for number in sorted(set(seeds[(mask != 0) & (seeds > 0)].tolist())):
        far, front, distance = np.full(mask.shape, np.inf), (seeds == number) & (mask != 0), 0
        while front.any():
            far[front] = distance
            padded = np.pad(front, 1)
            grown = sum(np.roll(padded, step, axis) for axis in range(3) for step in (-1, 1)) > 0
            front = grown[1:-1, 1:-1, 1:-1] & (mask != 0) & np.isinf(far)
            distance += 1
        nearer = far < best
        out[nearer], best[nearer] = number, far[nearer]
    return out


def within(parents, label):
    """An object and all that lies in it."""
    return {label}.union(*(within(parents, child) for child, parent in parents.items() if parent == label))


def extent(there, parents, label):
    """The voxels of an object and of all that lies in it."""
    return np.isin(there, np.array(sorted(within(parents, label)), np.uint64))


def divided(there, parents, label, parts):
    """An object divided by the number of the part of each voxel, 0 for what stays.

    Own voxels with the number of their new part, children -> the part that they are wholly in, children in several,
    and whether anything stays.
    """
    moved, straddling = {}, set()
    for child in [child for child, parent in parents.items() if parent == label]:
        found = set(parts[extent(there, parents, child)].tolist())
        if len(found) > 1:
            straddling.add(child)
        elif found and found != {0}:
            moved[child] = min(found)
    written = np.where(there == np.uint64(label), parts, 0)
    return written, moved, straddling, bool((parts[extent(there, parents, label)] == 0).any())


def largest_stays(numbers):
    """Components as parts: the largest stays (of equal ones the first), the others are numbered from 1 on."""
    sizes = np.bincount(numbers.ravel())[1:].tolist()
    if not sizes:
        return np.zeros(numbers.shape, np.int64)
    keeps = sizes.index(max(sizes)) + 1
    order = [number for number in range(1, len(sizes) + 1) if number != keeps]
    return sum(((numbers == number) * part for part, number in enumerate(order, 1)), np.zeros(numbers.shape, np.int64))


def downsample(array, factors):
    """Of each window the most frequent label; of several the smallest that is not 0, negative ones last."""
    out = np.empty([-(-n // f) for n, f in zip(array.shape, factors, strict=True)], array.dtype)
    for at in np.ndindex(out.shape):
        window = array[tuple(slice(i * f, i * f + f) for i, f in zip(at, factors, strict=True))].ravel().tolist()
        out[at] = min(set(window), key=lambda label: (-window.count(label), label == 0, label < 0, label))
    return out


def ball(distance, spacing, most=12):
    """The offsets (dz, dy, dx) within a distance of a voxel, in lengths of `spacing`; up to so many along each axis."""
    steps = [range(-most, most + 1) if distance > most * length else
             range(-int(distance / length) - 1, int(distance / length) + 2) for length in spacing]  # fmt: skip
    offsets = np.array(list(itertools.product(*steps)))
    return offsets[((offsets * spacing) ** 2).sum(axis=1) <= distance**2 * (1 + 1e-9)].tolist()


def moved(mask, step):
    """A mask moved by a step; what comes in from outside is False."""
    out = np.zeros_like(mask)
    there = tuple(slice(max(0, d), max(0, n + min(0, d))) for d, n in zip(step, mask.shape, strict=True))
    here = tuple(slice(max(0, -d), max(0, n + min(0, -d))) for d, n in zip(step, mask.shape, strict=True))
    out[there] = mask[here]
    return out


def dilated(mask, offsets):
    """Where a voxel of a mask is at one of these offsets."""
    return np.logical_or.reduce([moved(mask, step) for step in offsets])


def squared_distances(mask, spacing):
    """Of each voxel of a mask (y, x) the squared distance to each other one, and the least."""
    there = np.argwhere(mask) * spacing
    points = np.stack(np.indices(mask.shape), axis=-1).reshape(-1, 2) * spacing
    if not len(there):
        return np.full(mask.shape, np.inf)
    return ((points[:, None] - there[None]) ** 2).sum(axis=2).min(axis=1).reshape(mask.shape)


def by_slice(function, mask, axis):
    """What a function makes of a mask, or of each slice along an axis by itself."""
    if axis is None:
        return function(mask)
    return np.moveaxis(np.stack([function(plane) for plane in np.moveaxis(mask, axis, 0)]), 0, axis)


def holes(mask, reach, below=np.inf):
    """Components of what is not the mask, by the other connectivity, that the surroundings are not one of."""
    around = np.pad(~mask, 1, constant_values=True)
    numbers = components(around.astype(int), mask.ndim if reach == 1 else 1)
    found = (numbers > 1) & (np.bincount(numbers.ravel())[numbers] < below)
    return found[(slice(1, -1),) * mask.ndim]


def islands(mask, reach, below):
    """Components of fewer voxels than `below`, but for the largest."""
    numbers = components(mask.astype(int), reach)
    return (largest_stays(numbers) > 0) & (np.bincount(numbers.ravel())[numbers] < below)


def between(mask, slices, axis, spacing):
    """The slices between those given, by signed distances."""
    planes, out = np.moveaxis(mask, axis, 0), np.zeros(np.moveaxis(mask, axis, 0).shape, bool)
    for a, b in itertools.pairwise(slices):
        low, high = (np.sqrt(squared_distances(~planes[k], spacing)) - np.sqrt(squared_distances(planes[k], spacing))
                     for k in (a, b))  # fmt: skip
        for k in range(a + 1, b):
            out[k] = low * (b - k) + high * (k - a) >= -1e-6
    return np.moveaxis(out, 0, axis)


def scaled(array, steps):
    """Downsampled again and again."""
    for factors in steps:
        array = downsample(array, factors)
    return array


def polygon(rings, plane):
    """Which voxels of a plane have their centre in a polygon, by the even-odd rule: centre by centre, in fractions."""
    out = np.zeros(plane, bool)
    for y, x in np.ndindex(plane):
        cy, cx = y + Fraction(1, 2), x + Fraction(1, 2)
        for ring in rings:
            points = [(rounded(a), rounded(b)) for a, b in ring]
            for (y0, x0), (y1, x1) in zip(points, points[1:] + points[:1], strict=True):
                if (y0 <= cy) != (y1 <= cy):
                    out[y, x] ^= x0 + (cy - y0) * (x1 - x0) / (y1 - y0) <= cx
    return out


def brush(path, radius, plane):
    """Which voxels of a plane have their centre within a distance of a path: centre by centre, in fractions."""
    out = np.zeros(plane, bool)
    points = [(rounded(a), rounded(b)) for a, b in path]
    for y, x in np.ndindex(plane):
        cy, cx = y + Fraction(1, 2), x + Fraction(1, 2)
        for (y0, x0), (y1, x1) in zip(points, points[1:] or points, strict=False):
            dy, dx = y1 - y0, x1 - x0
            length = dy * dy + dx * dx
            at = min(max(((cy - y0) * dy + (cx - x0) * dx) / length, 0), 1) if length else 0
            far = (cy - y0 - at * dy) ** 2 + (cx - x0 - at * dx) ** 2
            out[y, x] |= far <= rounded(radius) ** 2
    return out


def rounded(position):
    return Fraction(round(position * 256), 256)


def compressed_segmentation(data, shape):
    """A chunk of uint64, voxel by voxel as the specification says where each is looked up."""
    words = np.frombuffer(data, "<u4").tolist()
    channel = words[words[0] :]
    counts = [-(-n // 8) for n in shape]
    out = np.zeros(shape, np.uint64)
    for z, y, x in itertools.product(*map(range, shape)):
        block = ((z // 8) * counts[1] + y // 8) * counts[2] + x // 8
        head, indices = channel[2 * block : 2 * block + 2]
        table, bits = head & 0xFFFFFF, head >> 24
        place = bits * (x % 8 + 8 * (y % 8 + 8 * (z % 8)))
        index = channel[indices + place // 32] >> place % 32 & (1 << bits) - 1 if bits else 0
        out[z, y, x] = channel[table + 2 * index] | channel[table + 2 * index + 1] << 32
    return out
