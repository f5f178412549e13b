"""Vectors as they come from a model, checked and made fit to be compared."""

import base64
import binascii
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from infrastructure.errors import ProviderProtocolError

Vectors = npt.NDArray[np.float32]

MAX_DIMENSIONS = 16_384


def vector_of(value: Any) -> Vectors:
    """A vector out of JSON: a list of numbers, or base64 of little-endian float32, OpenAI's `encoding_format`.

    Raises:
        ProviderProtocolError: it is neither, or of no length.
    """
    try:
        if isinstance(value, str):
            found = np.frombuffer(base64.b64decode(value, validate=True), "<f4")
        elif isinstance(value, list) and set(map(type, value)) <= {int, float}:
            found = np.array(value, np.float64)
        else:
            raise ProviderProtocolError("The embedding model sent something that is not a vector.")
    except (binascii.Error, ValueError, OverflowError) as fault:
        raise ProviderProtocolError("The embedding model sent something that is not a vector.") from fault
    if not 0 < len(found) <= MAX_DIMENSIONS:
        raise ProviderProtocolError("The embedding model sent a vector of an impossible length.")
    with np.errstate(over="ignore"):  # it becomes infinite, which is looked for
        return found.astype(np.float32)


def stacked(vectors: Sequence[Vectors]) -> Vectors:
    """The vectors as rows of L2 norm 1, shape (n, d); one that is all zeros stays so.

    Raises:
        ProviderProtocolError: they differ in length, or a number is not finite.
    """
    if len({len(vector) for vector in vectors}) > 1:
        raise ProviderProtocolError("The embedding model sent vectors of different lengths.")
    rows = np.array(vectors, np.float32)
    if not np.isfinite(rows).all():
        raise ProviderProtocolError("The embedding model sent a number that is not finite.")
    return normalised(rows)


def normalised(rows: Vectors) -> Vectors:
    """Rows divided by their L2 norms; in float64 in between, so that no square overflows or vanishes."""
    wide = rows.astype(np.float64)
    norms = np.sqrt(np.einsum("ij,ij->i", wide, wide))
    return np.asarray(wide / np.where(norms > 0, norms, 1.0)[:, None], np.float32)
