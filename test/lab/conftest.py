# SPDX-License-Identifier: BSD-2-Clause
import os

import pytest

from lab import Lab, fluxpin_path


def pytest_collection_modifyitems(items):
    if os.geteuid() != 0:
        for item in items:
            item.add_marker(pytest.mark.skip(reason="network namespaces need root"))


@pytest.fixture(scope="session", autouse=True)
def fluxpin_is_built():
    assert fluxpin_path().exists(), f"{fluxpin_path()} is not built; FLUXPIN names another one"


@pytest.fixture(scope="module")
def lab():
    """The usual lab, shared by the tests of a module."""
    with Lab() as built:
        yield built


@pytest.fixture
def own_lab():
    """A lab for one test alone: what it leaves in the air disturbs no other one."""
    with Lab() as built:
        yield built
