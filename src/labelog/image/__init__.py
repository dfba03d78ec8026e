"""The EM image that lies under the labels: read where it lies, or written once into a volume's folder.

    image = open_image("em.zarr")                   # OME-Zarr, Zarr, Blosc2; a path or a URL
    image[10, 100:300, 200:400]                     # NumPy, of the image's own dtype
    image.scale(2)[...]                             # the same picture, coarser
    import_image(slabs, "cells.labelog/image", voxel_size=(40, 10, 10), unit="nm")

An `Image` is one scale of a picture and knows the others; a `Level` is the array that has its voxels.
"""

from labelog.image.image import Image, open_image
from labelog.image.make import import_image

__all__ = ["Image", "import_image", "open_image"]
