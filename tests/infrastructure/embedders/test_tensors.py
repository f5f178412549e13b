"""Reading safetensors files."""

from pathlib import Path

import numpy as np
import pytest

from infrastructure.embedders.tensors import map_tensors
from tests.infrastructure.embedders.numpy_bert import write_safetensors


def test_all_tensors_of_a_file_are_read(tmp_path: Path) -> None:
    tensors = {"one": np.arange(6, dtype=np.float32).reshape(2, 3), "two": np.ones(4, np.float32)}
    write_safetensors(tmp_path / "some.safetensors", tensors)
    found = map_tensors(tmp_path / "some.safetensors")
    assert found.keys() == tensors.keys()
    assert all(np.array_equal(found[name], tensors[name]) for name in tensors)
    with pytest.raises(ValueError, match="read-only"):
        found["one"][0, 0] = 1
