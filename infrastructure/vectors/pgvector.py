"""How vectors and terms go to PostgreSQL and come back, in pgvector's own forms.

Embeddings are `halfvec`: half the room of float32, and an index takes up to 4,000 dimensions. A cosine differs by
less than 0.001. What a chunk's words say is a `sparsevec` with a place for each term, so that a sum over the terms of a
question is one inner product on the server.
"""

from collections.abc import Iterable, Mapping, Sequence
from zlib import crc32

import numpy as np
import numpy.typing as npt

Vectors = npt.NDArray[np.float32]

PLACES = 1_000_000_000  # the most that a sparsevec may have
_HALF = np.dtype(">f2")
_HEADER_BYTES = 4  # of a halfvec: dimensions and an unused number, two bytes each


def place(term: str) -> int:
    """The place of a term in a `sparsevec`, from 0. Two of a million terms share one with a thousand others' chance."""
    return crc32(term.encode()) % PLACES


def halfvec_text(vector: Vectors) -> str:
    """A vector of shape (d,) as a parameter that is cast to `halfvec`."""
    return f"[{','.join(map(str, vector.astype(np.float16).tolist()))}]"


def sparsevec_text(weights: Mapping[str, float]) -> str:
    """Weights of terms as a parameter that is cast to `sparsevec`."""
    places = _by_place(weights.items())
    return f"{{{','.join(f'{at + 1}:{weight:.6g}' for at, weight in places)}}}/{PLACES}"


def tsquery_text(alternatives: Iterable[Sequence[str]], marks: Sequence[str] = ()) -> str:
    """What holds all terms of one of `alternatives`, and one of `marks`, as a parameter that is cast to `tsquery`."""
    wanted = " | ".join(f"({' & '.join(map(_quoted, terms))})" for terms in alternatives)
    return f"({' | '.join(map(_quoted, marks))}) & ({wanted})" if marks else wanted


def halfvec_rows(vectors: Vectors) -> list[bytes]:
    """Each row of `vectors`, shape (n, d), as the server takes it in binary."""
    header = vectors.shape[1].to_bytes(2) + bytes(2)
    return [header + row.tobytes() for row in vectors.astype(_HALF)]


def halfvec_vectors(data: Sequence[bytes]) -> Vectors:
    """What `halfvec_send` gave, as rows of shape (n, d).

    Raises:
        ValueError: there are none.
    """
    return np.stack([np.frombuffer(one, _HALF, offset=_HEADER_BYTES) for one in data]).astype(np.float32)


def sparsevec_bytes(weights: Iterable[tuple[str, float]]) -> bytes:
    """Weights of terms, none of them zero, as the server takes them in binary."""
    places = _by_place(weights)
    numbers = np.array([PLACES, len(places), 0, *(at for at, _ in places)], ">i4")
    return numbers.tobytes() + np.array([weight for _, weight in places], ">f4").tobytes()


def tsvector_bytes(terms: Iterable[str]) -> bytes:
    """Terms without their positions as the server takes them in binary: each once, in any order."""
    found = [term.encode() for term in terms]
    return len(found).to_bytes(4) + b"".join([term + b"\0\0\0" for term in found])


def _by_place(weights: Iterable[tuple[str, float]]) -> list[tuple[int, float]]:
    """In ascending order; terms that share a place are added up."""
    places: dict[int, float] = {}
    for term, weight in weights:
        at = place(term)
        places[at] = places.get(at, 0.0) + weight
    return sorted(places.items())


def _quoted(term: str) -> str:
    escaped = term.replace("\\", "\\\\").replace("'", "''")
    return f"'{escaped}'"
