"""Bodies, headers and paths that no honest client sends: refused in the one shape, and nothing repeated."""

import json
from typing import Any

import pytest

from tests.e2e.raw import Answer, exchange, head
from tests.e2e.service import Service

pytestmark = pytest.mark.asyncio(loop_scope="module")
CANARY = "canary7f3a"
JSON = {"Content-Type": "application/json"}
MAX_BODY = 1024 * 1024  # MAX_BODY_BYTES as it comes


def ask(**fields: Any) -> bytes:
    return json.dumps({"question": f"What is {CANARY}?"} | fields).encode()


BODIES = {
    "empty": b"",
    "white space": b" \n ",
    "text": CANARY.encode(),
    "half an object": b'{"question": "' + CANARY.encode(),
    "single quotes": b"{'question': 'What is canary7f3a?'}",
    "a trailing comma": b'{"question": "What is canary7f3a?",}',
    "NaN": b'{"question": "What is canary7f3a?", "x": NaN}',
    "Infinity": b'{"question": "What is canary7f3a?", "x": -Infinity}',
    "a lone surrogate": b'{"question": "What is canary7f3a \\ud83d?"}',
    "a lone surrogate as a name": b'{"question": "What is canary7f3a?", "\\udc00": 1}',
    "a NUL in the question": ask(question=f"What is\0{CANARY}?"),
    "a NUL byte": b'{"question": "What is\0canary7f3a?"}',
    "invalid UTF-8": b'{"question": "What is canary7f3a \xff\xfe?"}',
    "UTF-16": json.dumps({"question": CANARY}).encode("utf-16"),
    "a byte order mark": b"\xef\xbb\xbf" + ask(),
    "deep arrays": b"[" * 100_000 + b"]" * 100_000,
    "deep arrays inside": b'{"question": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    "deep objects": b'{"canary7f3a":' * 60_000 + b"1" + b"}" * 60_000,
    "a long number": b'{"question": ' + b"9" * 5000 + b"}",
    "a large exponent": b'{"question": 1e999999}',
    "an array": json.dumps([CANARY]).encode(),
    "a number": b"1",
    "a string": json.dumps(CANARY).encode(),
    "null": b"null",
    "no question": json.dumps({CANARY: CANARY}).encode(),
    "question null": ask(question=None),
    "question empty": ask(question=""),
    "question too short": ask(question="a"),
    "question of spaces": ask(question=" \t\n\u2003" * 10),
    "question too long": ask(question=CANARY * 201),
    "question a number": ask(question=12345),
    "question true": ask(question=True),
    "question an array": ask(question=[CANARY]),
    "question an object": ask(question={CANARY: CANARY}),
    "session_id no UUID": ask(session_id=CANARY),
    "session_id a number": ask(session_id=7),
    "session_id empty": ask(session_id=""),
    "session_id a path": ask(session_id=f"../../{CANARY}"),
    "session_id an array": ask(session_id=[CANARY]),
}


def refused(answer: Answer, *statuses: int) -> dict[str, Any]:
    """The error's body, checked for the contract's shape; nothing of what was sent is in it."""
    assert answer.status in (statuses or range(400, 500)), answer.body[:300]
    assert answer.headers["content-type"].startswith("application/json")
    body: dict[str, Any] = answer.json()
    assert set(body) - {"errors"} == {"detail", "type", "code", "request_id"}
    assert body["code"] == answer.status
    assert body["request_id"] == answer.headers["x-request-id"]
    assert body["type"].replace("_", "").isalpha()
    for problem in body.get("errors", []):
        assert set(problem) == {"loc", "msg"}
    sent_back = answer.body.decode()
    assert CANARY not in sent_back
    assert "Traceback" not in sent_back
    assert "/work" not in sent_back
    assert "site-packages" not in sent_back
    return body


async def still_answers(service: Service) -> None:
    async with service.client() as client:
        response = await client.post("/ask", json={"question": "What is a flash loan?"})
    assert (response.status_code, response.json()["model"]) == (200, "curated")


def post(path: str, body: bytes, *more: str, **headers: str) -> bytes:
    length = {"Content-Length": str(len(body))}
    return head("POST", path, *more, **(JSON | length | headers)) + body


@pytest.mark.parametrize("path", ["/ask", "/v2/ask-stream"])
@pytest.mark.parametrize("name", BODIES)
async def test_a_body_that_makes_no_sense_is_a_validation_error(name: str, path: str, embedded: Service) -> None:
    answer = await exchange(embedded.port, post(path, BODIES[name]))
    assert refused(answer, 422)["type"] == "validation_error"
    assert answer.json()["errors"]


@pytest.mark.parametrize(
    "kind", [None, "text/plain", "application/x-www-form-urlencoded", "multipart/form-data", "multipart/form-data; "
             "boundary=x", "application/octet-stream", "application/xml", "json", "", ";;;", "application/json5"]
)  # fmt: skip
async def test_a_body_of_another_type_is_refused(kind: str | None, embedded: Service) -> None:
    body = ask()
    headers = {"Content-Length": str(len(body))} | ({} if kind is None else {"Content-Type": kind})
    refused(await exchange(embedded.port, head("POST", "/ask", **headers) + body), 415, 422)


async def test_a_declared_length_over_the_limit_is_refused_before_a_byte_of_it(embedded: Service) -> None:
    for length in (MAX_BODY + 1, 10**12, 2**63 - 1):
        answer = await exchange(embedded.port, head("POST", "/ask", **JSON, **{"Content-Length": str(length)}))
        assert refused(answer, 413)["type"] == "payload_too_large"
        assert answer.headers["connection"] == "close"


async def test_a_chunked_body_is_refused_when_it_goes_over_the_limit(embedded: Service) -> None:
    chunk = b"10000\r\n" + b"a" * 65536 + b"\r\n"
    request = head("POST", "/ask", **JSON, **{"Transfer-Encoding": "chunked"})
    answer = await exchange(embedded.port, request, *[chunk] * (MAX_BODY // 65536), b"1\r\na\r\n")  # and no end of it
    assert refused(answer, 413)["type"] == "payload_too_large"


async def test_a_client_that_pushes_a_large_body_reads_the_refusal(embedded: Service) -> None:
    async with embedded.client() as client:
        response = await client.post("/ask", content=b"a" * (8 * MAX_BODY), headers=JSON)
    assert response.status_code == 413
    await still_answers(embedded)


@pytest.mark.parametrize(
    ("more", "headers"),
    [
        (("Content-Length: 5", "Content-Length: 6"), {}),
        (("Content-Length: -1",), {}),
        (("Content-Length: 0x10",), {}),
        (("Content-Length: 99999999999999999999999999",), {}),
        (("Content-Length: 5", "Transfer-Encoding: chunked"), {}),
        (("Transfer-Encoding: canary7f3a",), {}),
        (("Transfer-Encoding: chunked", "Transfer-Encoding: canary7f3a"), {}),
        (("no colon canary7f3a",), {}),
        (("bad name: canary7f3a",), {}),
        (("X: canary7f3a\0",), {}),
        ((" folded: canary7f3a",), {}),
    ],
)
async def test_headers_that_are_not_http_are_refused(
    more: tuple[str, ...], headers: dict[str, str], embedded: Service
) -> None:
    request = head("POST", "/ask", *more, **(JSON | headers)) + b"zzzzz\r\n\r\n"
    assert refused(await exchange(embedded.port, request), 400)["type"] == "bad_request"


@pytest.mark.parametrize("size", [70_000, 5_000_000])
async def test_headers_without_end_are_refused(size: int, embedded: Service) -> None:
    for line in ("X-Large: " + CANARY * (size // 10), "\r\n".join(f"X-{i}: a" for i in range(size // 9))):
        answer = await exchange(embedded.port, head("GET", "/health", line))
        assert refused(answer, 431)["type"] == "headers_too_large"


@pytest.mark.parametrize(
    "line",
    [
        f"GET /{CANARY}", f"GET /{CANARY} HTTP/9.9", f"BREW /{CANARY} HTTP/1.1", f"\x00\x01{CANARY}", "GET",
        f"GET http://[{CANARY}/ HTTP/1.1", f"CONNECT {CANARY}:443 HTTP/1.1",
        "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    ],
)  # fmt: skip
async def test_a_first_line_that_is_not_http_is_refused(line: str, embedded: Service) -> None:
    answer = await exchange(embedded.port, f"{line}\r\nHost: x\r\n\r\n".encode("latin-1"))
    refused(answer, 400, 404, 405)


@pytest.mark.parametrize(
    "target",
    [
        f"/{CANARY}", f"/ask/../{CANARY}", f"/ask/%2e%2e/{CANARY}", f"/%00{CANARY}", f"//{CANARY}", f"/{CANARY}%ff%fe",
        f"/{CANARY}%", f"/{CANARY}%zz", f"/ask;{CANARY}", f"/static/{CANARY}", f"/static/%00{CANARY}", "/static/",
        "/static/..%2f..%2f..%2fpyproject.toml", "/static/%2e%2e/%2e%2e/pyproject.toml", "/static/....//page.py",
        "/static/%5c..%5c..%5csettings.py", "/static//etc/passwd", "/static/" + "a" * 5000, "/" + CANARY * 3000,
        f"/runs/{CANARY}/events", f"/runs/%2e%2e%2f{CANARY}/events", f"/runs/{'0' * 5000}/events", "/ws/ask",
        f"http://elsewhere.example/{CANARY}", "/ASK", f"/docs/{CANARY}", "/.env", "/.git/config",
    ],
)  # fmt: skip
async def test_a_path_that_leads_nowhere_is_not_found(target: str, embedded: Service) -> None:
    answer = await exchange(embedded.port, head("GET", target))
    refused(answer, 404, 405)


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "TRACE", "OPTIONS", "PROPFIND", "GET"])
async def test_another_method_is_not_allowed(method: str, embedded: Service) -> None:
    assert refused(await exchange(embedded.port, head(method, "/ask")), 405)["type"] == "method_not_allowed"


@pytest.mark.parametrize(
    "headers",
    [
        {"X-Forwarded-For": f"1.2.3.4, {CANARY}"}, {"X-Request-ID": f"{CANARY}\xff"}, {"Cookie": CANARY * 500},
        {"Host": f"{CANARY}:99999999"}, {"Accept": "*" * 5000}, {"Authorization": f"Basic {CANARY}"},
        {"Accept-Encoding": CANARY}, {"Range": "bytes=0-18446744073709551616"}, {"Expect": "100-continue"},
        {"Origin": f"https://{CANARY}"}, {"If-None-Match": CANARY}, {"Connection": CANARY}, {"Via": CANARY},
    ],
)  # fmt: skip
async def test_odd_headers_change_nothing(headers: dict[str, str], embedded: Service) -> None:
    answer = await exchange(embedded.port, post("/ask", ask(question="What is a flash loan?"), **headers))
    assert (answer.status, answer.json()["model"]) == (200, "curated")


@pytest.mark.parametrize("key", ["", "a b", "é", "x" * 129, f"{CANARY}\x7f", f"<{CANARY}>", "a\tb"])
async def test_an_idempotency_key_that_is_none_is_refused(key: str, embedded: Service) -> None:
    answer = await exchange(embedded.port, post("/ask", ask(), **{"Idempotency-Key": key}))
    refused(answer, 400, 422)


async def test_after_all_that_the_service_answers_and_has_logged_no_fault(embedded: Service) -> None:
    await still_answers(embedded)
    assert [line for line in embedded.log if line.get("level") in ("error", "critical")] == []
    assert CANARY not in "".join(embedded.raw)
