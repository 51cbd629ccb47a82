"""Every test starts from the same random state, so that none passes or fails by chance."""

import numpy as np
import pytest


@pytest.fixture(autouse=True)
def same_start() -> None:
    """Seed numpy's and torch's global generators."""
    np.random.seed(0)  # noqa: NPY002 - the global state is the point
    import torch

    torch.manual_seed(0)
