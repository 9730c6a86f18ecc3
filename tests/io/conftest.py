import numpy as np
import pytest


@pytest.fixture
def stack() -> np.ndarray:
    """Six frames of 20 × 30 grey values up to 100, which fit into every type."""
    return np.random.default_rng(5).integers(0, 100, (6, 20, 30)).astype(np.uint16)
