"""Builds the Cython kernels; everything else is in pyproject.toml.

`python setup.py build_ext --inplace` makes the release build. With LABELOG_DEBUG=1 in the environment bounds and
overflow checks are on, and nothing is written for one kind of processor: `make test-debug` runs tests against that.
LABELOG_SANITIZE has the compiler's sanitizers, as -fsanitize takes them, for `make sanitize` and `make fuzz`: the
release's C, watched.
"""

import os
from pathlib import Path

import blosc2
import numpy
from Cython.Build import cythonize
from setuptools import Extension, setup

DEBUG = bool(os.environ.get("LABELOG_DEBUG"))
SANITIZE = [f"-fsanitize={names}"] if (names := os.environ.get("LABELOG_SANITIZE")) else []

DIRECTIVES = {
    #                   release    debug
    "boundscheck":      (False,    True),
    "wraparound":       (False,    False),
    "initializedcheck": (False,    True),
    "overflowcheck":    (False,    True),
    "cdivision":        (True,     True),
    "language_level":   (3,        3),
    "embedsignature":   (True,     True),
}  # fmt: skip

PORTABLE = [("LABELOG_PORTABLE", "1")] if DEBUG else []

CORES = os.cpu_count() or 1
BLOSC2 = Path(blosc2.__file__).parent

COMPILE = ["-O1", "-g"] if DEBUG or SANITIZE else ["-O3", "-g0"]  # for any machine of the architecture: no -march
WATCHED = [*SANITIZE, "-fno-sanitize-recover=all", "-fno-omit-frame-pointer"] if SANITIZE else []


KERNELS = ["runs", "spans", "overlaid", "extents", "recount", "forest", "components", "voxels", "sides", "overlap",
           "pairs", "seeds", "fill", "flood", "join", "downsample", "compressed_segmentation", "solid", "dilation",
           "distance", "leb128", "rans", "codec", "delta_codec"]  # fmt: skip


def kernel(name: str, static: list[str] | None = None) -> Extension:
    return Extension(
        f"labelog.kernels.{name}",
        [f"src/labelog/kernels/{name}.pyx"],
        include_dirs=[numpy.get_include(), str(BLOSC2 / "include")],
        define_macros=[("NPY_NO_DEPRECATED_API", "NPY_2_0_API_VERSION"), *PORTABLE],
        extra_objects=[str(BLOSC2 / "lib" / library) for library in static or []],
        extra_compile_args=COMPILE + WATCHED,
        extra_link_args=SANITIZE + (["-lpthread", "-ldl", "-lm"] if static else []),
    )


setup(
    ext_modules=cythonize(
        [kernel(name, static=["libblosc2.a"] if name == "delta_codec" else None) for name in KERNELS],
        compiler_directives={name: debug if DEBUG else release for name, (release, debug) in DIRECTIVES.items()},
        include_path=["src"],
        build_dir=f"build/cython-{'debug' if DEBUG else 'release'}",
        nthreads=CORES,
    ),
    options={"build_ext": {"parallel": CORES}},
)
