"""The state machines that drive a volume beside a model of it drive one of two handles over HTTP here."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import settings

import labelog
import test_model
import test_model_table
from conftest import SOAK
from server.conftest import serving
from test_model import set_up

NUMBERS = itertools.count()


class Far:
    """A machine whose second handle is opened from a server, which has the volume of the first in its folder."""

    server = None

    def __init__(self):
        super().__init__()
        self.path = self.server.folder / f"v{next(NUMBERS)}.labelog"

    def opened(self, address):
        if "://" in str(address) or not hasattr(self, "handles"):  # the first is there already
            return labelog.open(f"{self.server.address}/volumes/{self.path.stem}")
        return set_up(labelog.open(address), self.large)

    def remove(self):
        with self.server.client() as client:
            client.delete(f"/volumes/{self.path.stem}", params={"confirm": self.path.stem})


class FarMachine(Far, test_model.Machine):
    pass


class FarTableMachine(Far, test_model_table.Machine):
    looks = 1


@pytest.fixture(scope="module", autouse=True)
def server(tmp_path_factory):
    with serving(tmp_path_factory.mktemp("served")) as server:
        Far.server = server
        yield server


TestModelFromAfar = FarMachine.TestCase
TestModelFromAfar.settings = settings(max_examples=100 if SOAK else 8, stateful_step_count=200 if SOAK else 40)

TestModelOfTheTableFromAfar = FarTableMachine.TestCase
TestModelOfTheTableFromAfar.settings = settings(max_examples=60 if SOAK else 5, stateful_step_count=60 if SOAK else 15)
