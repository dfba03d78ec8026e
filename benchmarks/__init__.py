"""What labelog costs beside its peers: one table, measured in one process and one run.

    python -m benchmarks                        # the table; writes docs/benchmarks.md
    python -m benchmarks -k strokes             # some topics, as pytest's -k chooses them; writes nothing
    CHECK=1 python -m benchmarks                # exit status 1 if a row is below "at least"
    python -m pytest benchmarks/bench_engine.py # labelog alone, to compare with itself over time (pytest-benchmark)

Labels are connectomics-512, FIB-25 from `tests/data`, and a gigavoxel of synthetic platelets, which a process of its
own loads when the first topic asks for it.

Environment: `QUICK=1` measures less, `FULL=1` adds the journal of 10^6 edits, `LABELOG_DATA` is the folder that holds
`connectomics/connectomics-512.npz`, `TMPDIR` is where volumes are made: put it on the disk you want to know about.

Add a row: a function `bench_...(table, ...)` in a `bench_*.py` that measures with `timing.interleaved` and calls
`table.compare` or `table.add`.
"""
