"""Layers of one volume, delivered as several files, reconciled into one: the deepest object at each voxel.

    layers = read_layers({"semantic": "classes.png", "cell": "cells.png", "organelle": "organelles.png"}, classes)
    combined = combine(layers.semantic, layers.objects, classes, trust="instance")
    labelog.load("cells.labelog", combined.slabs(), classes=combined.classes, table=combined.table)
    print(combined.report)

The table of what the layers have at each voxel is counted first (`joint`), and everything is decided from it
(`decide`): the class of each object, and for each combination that occurs the objects it lies in. What no file has
an object for is cut into connected components (`pieces`).
"""

from labelog.layers.combine import Combined, combine
from labelog.layers.decide import Trust
from labelog.layers.report import Disagreement, Part, Report
from labelog.layers.sources import Layers, read_layers

__all__ = ["Combined", "Disagreement", "Layers", "Part", "Report", "Trust", "combine", "read_layers"]
