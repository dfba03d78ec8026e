"""The routes, a file for each noun."""

from labelog_server.routes import (
    edits,
    events,
    history,
    image,
    jobs,
    labels,
    pages,
    precomputed,
    presence,
    regions,
    s3,
    service,
    session,
    views,
    volumes,
    voxels,
    zarr,
)

TOPICS = (
    volumes, voxels, image, edits, history, labels, regions, views, jobs, events, presence, zarr, s3, precomputed,
    session, service, pages
)  # fmt: skip
"""In the order in which they are described."""
