"""The HTTP layer of labelog: a route parses, makes one call on the engine, and encodes.

labelog serve cells.labelog          or: uvicorn.run(labelog_server.create_app(Settings((path,))))
"""

from labelog_server.app import create_app
from labelog_server.settings import Settings

__all__ = ["Settings", "create_app"]
