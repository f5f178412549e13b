"""Vectors and terms on their way to PostgreSQL and back: what the server takes is what was meant."""

from collections.abc import AsyncIterator

import numpy as np
import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from infrastructure.database.copying import copy_rows
from infrastructure.database.engine import Database, open_engine
from infrastructure.vectors.pgvector import (
    PLACES,
    halfvec_rows,
    halfvec_text,
    halfvec_vectors,
    place,
    sparsevec_bytes,
    sparsevec_text,
    tsquery_text,
    tsvector_bytes,
)
from tests.databases import PostgresServer

VECTORS = np.random.default_rng(0).normal(0, 0.3, (5, 3)).astype(np.float32)
AWKWARD = ["it's", "back\\slash", "Ελλάδα", "a:b", "& |", "=owner"]


@pytest.fixture(scope="module")
def url(postgres: PostgresServer) -> str:
    return postgres.empty()


@pytest.fixture
async def session(url: str) -> AsyncIterator[AsyncSession]:
    database = Database(open_engine(url))
    async with database.write() as session:
        await session.execute(text("CREATE EXTENSION IF NOT EXISTS vector"))
        await session.execute(
            text(
                "CREATE TABLE form (number bigint, known boolean, name text, lexemes tsvector, terms sparsevec, "
                "embedding halfvec(3)) "
            )
        )
        yield session
        await session.execute(text("DROP TABLE form"))
    await database.close()


async def add(session: AsyncSession, terms: dict[str, float]) -> None:
    columns = ["number", "known", "name", "lexemes", "terms", "embedding"]
    words, weights = tsvector_bytes(terms), sparsevec_bytes(terms.items())
    rows = [(-n, n % 2 == 0, f"näme {n}", words, weights, one) for n, one in enumerate(halfvec_rows(VECTORS))]
    await copy_rows(session, "form", columns, rows)


async def test_rows_arrive_as_they_were(session: AsyncSession) -> None:
    await add(session, dict.fromkeys(AWKWARD, 0.5))
    query = text("SELECT number, known, name, tsvector_to_array(lexemes), halfvec_send(embedding) FROM form")
    rows = (await session.execute(query)).all()
    assert [tuple(row[:3]) for row in rows] == [(-n, n % 2 == 0, f"näme {n}") for n in range(5)]
    assert set(rows[0][3]) == set(AWKWARD)
    assert np.allclose(halfvec_vectors([row[4] for row in rows]), VECTORS, atol=0.001)


async def test_many_rows_go_in_several_blocks(session: AsyncSession) -> None:
    rows = [(n, "x" * 1000) for n in range(1000)]
    await copy_rows(session, "form", ["number", "name"], rows)
    found = (await session.execute(text("SELECT count(*), sum(number), sum(length(name)) FROM form"))).one()
    assert tuple(found) == (1000, 499_500, 1_000_000)


async def test_an_inner_product_of_terms_is_the_sum_over_the_common_ones(session: AsyncSession) -> None:
    await add(session, {"flash": 1.5, "loan": 2.25, "other": 4.0})
    asked = sparsevec_text({"flash": 2.0, "loan": 0.125, "unknown": 7.0})
    query = text("SELECT -(terms <#> CAST(:asked AS sparsevec)) FROM form LIMIT 1")
    assert (await session.execute(query, {"asked": asked})).scalar_one() == pytest.approx(1.5 * 2 + 2.25 * 0.125)
    assert (await session.execute(query, {"asked": sparsevec_text({})})).scalar_one() == 0


async def test_an_inner_product_of_vectors_is_that_of_the_originals(session: AsyncSession) -> None:
    await add(session, {"flash": 1.0})
    query = text("SELECT -(embedding <#> CAST(:asked AS halfvec)) FROM form ORDER BY number DESC")
    found = (await session.execute(query, {"asked": halfvec_text(VECTORS[0])})).scalars().all()
    assert np.allclose(found, VECTORS @ VECTORS[0], atol=0.001)


@pytest.mark.parametrize("term", AWKWARD)
async def test_any_term_can_be_asked_for(session: AsyncSession, term: str) -> None:
    await add(session, dict.fromkeys([term, "owner", "loan"], 1.0))
    query = text("SELECT count(*) FROM form WHERE lexemes @@ CAST(:asked AS tsquery)")
    for asked, found in (
        (tsquery_text([(term,)]), 5),
        (tsquery_text([("nothing",), (term, "loan")], ["owner", "nobody"]), 5),
        (tsquery_text([(term, "nothing")]), 0),
        (tsquery_text([(term,)], ["nobody"]), 0),
    ):
        assert (await session.execute(query, {"asked": asked})).scalar_one() == found


def test_terms_that_share_a_place_are_added_up() -> None:
    known: dict[int, str] = {}
    for number in range(200_000):
        if (other := known.setdefault(place(f"term{number}"), f"term{number}")) != f"term{number}":
            break
    pair = {other: 1.0, f"term{number}": 2.0}
    assert sparsevec_text(pair) == f"{{{place(other) + 1}:3}}/{PLACES}"
