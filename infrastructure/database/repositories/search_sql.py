"""What PostgreSQL is asked in a search. In names `$` stands for the suffix of a model's tables."""

from functools import cache

EF_SEARCH = 200
"""How many vectors the walk over the graph keeps. docs/decisions/0021 has what is found so, and what it costs."""
NEAREST = 64  # candidates by vectors, and as many by words

# `jit`: to compile such a statement takes longer than to run it. `enable_seqscan`: a guess about how many chunks hold
# the words must never lead to reading all of them.
LOOK = """
    SELECT 0 AS kind, name, chunks, questions, indexed.generation, stored.generation AS stored
    FROM unnest(CAST(:partitions AS text[])) AS name
    LEFT JOIN search_partition_$ AS indexed ON indexed.partition = name
    LEFT JOIN partition_state AS stored ON stored.partition = name
    UNION ALL
    SELECT 1, term, CAST(sum(held) AS bigint), 0, 0, 0 FROM search_term_$
    WHERE partition = ANY(CAST(:partitions AS text[])) AND term = ANY(CAST(:terms AS text[])) GROUP BY term
    UNION ALL
    SELECT 2, concat(set_config('jit', 'off', true), set_config('enable_seqscan', 'off', true),
        set_config('hnsw.ef_search', '%EF%', true), set_config('hnsw.iterative_scan', 'relaxed_order', true)),
        0, 0, 0, 0
""".replace("%EF%", str(EF_SEARCH))
COUNT = """
    SELECT count(*) FROM (SELECT 1 FROM search_chunk_$ WHERE document_id = ANY(CAST(:only AS text[]))
    AND partition = ANY(CAST(:partitions AS text[])) LIMIT :most) AS few
"""
TERMS = """
    SELECT term, CAST(sum(held) AS bigint) FROM search_term_$
    WHERE partition = ANY(CAST(:partitions AS text[])) AND term = ANY(CAST(:terms AS text[])) GROUP BY term
"""
COMMON = """
    SELECT term, held FROM search_term_$ WHERE partition = :partition AND held > 0 ORDER BY held DESC LIMIT :limit
"""
QUESTIONS = """
    (SELECT chunk_row, -(embedding <#> CAST(:vector AS halfvec)), false FROM search_question_$
     WHERE partition = ANY(CAST(:partitions AS text[])) AND {only}
     ORDER BY embedding <#> CAST(:vector AS halfvec) LIMIT :limit)
    UNION ALL
    (SELECT chunk_row, 1.0, true FROM search_question_$
     WHERE partition = ANY(CAST(:partitions AS text[])) AND plain = :plain AND {only} LIMIT 1)
"""
ONLY = "document_id = ANY(CAST(:only AS text[]))"
_SCORES = "-(terms <#> CAST(:words AS sparsevec)) AS lexical, -(embedding <#> CAST(:vector AS halfvec)) AS cosine"
_NEAR = """near_{name} AS MATERIALIZED (
    SELECT chunk_row FROM search_chunk_$ WHERE {where} ORDER BY embedding <#> CAST(:vector AS halfvec) LIMIT :nearest
)"""
# That there is a bound on what is matched must not be known where the matching is planned.
_MATCHED = """matched_{name} AS MATERIALIZED (
    SELECT chunk_row, terms <#> CAST(:words AS sparsevec) AS distance FROM search_chunk_$
    WHERE lexemes @@ CAST(:holding AS tsquery) AND {where}
), worded_{name} AS MATERIALIZED (
    SELECT chunk_row FROM (SELECT * FROM matched_{name} LIMIT :matched) AS few ORDER BY distance LIMIT :nearest
)"""
_SHARED = "partition = ''"
_OWNED = "partition = ANY(CAST(:owned AS text[])) AND partition <> ''"
_EXACT = "SELECT chunk_row, %SCORES% FROM search_chunk_$ WHERE partition = ANY(CAST(:exact AS text[]))"
_INDEXED = """
    SELECT chunk_row, %SCORES% FROM search_chunk_$ JOIN ({found}) AS found USING (chunk_row)
    WHERE partition <> ALL(CAST(:exact AS text[]))
"""
_ASKED = """asked AS (
    SELECT * FROM unnest(CAST(:rows AS bigint[]), CAST(:nearness AS float8[])) AS q (chunk_row, nearness)
)"""
_ROW_OF = "SELECT chunk_row FROM "
_BEST = """
    SELECT chunk_row, lexical, cosine, fused, halfvec_send(embedding) FROM (
        SELECT *, :share * greatest(cosine, 0) + :per_score * lexical AS fused FROM (
            SELECT chunk_row, lexical, greatest(cosine, asked.nearness) AS cosine FROM pool
            LEFT JOIN asked USING (chunk_row)
        ) AS scored ORDER BY fused DESC, chunk_row LIMIT :size
    ) AS best JOIN search_chunk_$ USING (chunk_row) ORDER BY fused DESC, chunk_row
"""


@cache
def best_statement(exact: bool, shared: bool, owned: bool, chosen: bool, by_vector: bool, by_words: bool) -> str:
    """The statement that finds the best chunks: one part for each way that some partitions are looked into."""
    only = f" AND {ONLY}" if chosen else ""
    parts, found = [_ASKED], [_ROW_OF + "asked"]
    for name, where in (("shared", _SHARED), ("owned", _OWNED)):
        if (shared, owned)[name == "owned"]:
            if by_vector:
                parts.append(_NEAR.format(name=name, where=where + only))
                found.append(f"{_ROW_OF}near_{name}")
            if by_words:
                parts.append(_MATCHED.format(name=name, where=where + only))
                found.append(f"{_ROW_OF}worded_{name}")
    pools = [_EXACT + only] if exact else []
    if shared or owned:
        pools.append(_INDEXED.format(found=" UNION ".join(found)))
    parts.append(f"pool AS ({' UNION ALL '.join(pools)})")
    return f"WITH {', '.join(parts)} {_BEST}".replace("%SCORES%", _SCORES)
