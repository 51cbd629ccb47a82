"""Every test starts from the same random state, so that none passes or fails by chance."""

import numpy as np
import pytest


@pytest.fixture(autouse=True)
def same_start() -> None:
    """Seed numpy's and torch's global generators."""
    np.random.seed(0)  # noqa: NPY002 - the global state is the point
    import torch

    torch.manual_seed(0)


def pytest_collection_modifyitems(items: list) -> None:
    """The files that take minutes come first, so that one worker has them while the other does all the rest, fast ones first."""
    items.sort(key=lambda item: item.get_closest_marker("slow") is None)
