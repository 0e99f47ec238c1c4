# SPDX-License-Identifier: BSD-2-Clause
"""test_outputs.py looks at what all other tests sent, so it comes last."""


def pytest_collection_modifyitems(items):
    items.sort(key=lambda item: item.path.name == "test_outputs.py")
