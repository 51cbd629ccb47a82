"""Every test starts from the same random state, so that results do not depend on chance or on the order of tests."""

import numpy as np
import pytest


@pytest.fixture(autouse=True)
def same_start() -> None:
    """Seed numpy's and torch's global generators."""
    np.random.seed(0)  # noqa: NPY002 - the global state has to be set
    import torch

    torch.manual_seed(0)


def pytest_collection_modifyitems(items: list) -> None:
    """Put slow tests first, so that one worker runs them while the other runs all the rest."""
    items.sort(key=lambda item: item.get_closest_marker("slow") is None)
