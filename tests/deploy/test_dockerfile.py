"""The reader of Dockerfiles that the replay goes by."""

import pytest

from tests.deploy.dockerfile import Ignored, parse, put_in

TEXT = """# syntax=docker/dockerfile:1
ARG BASE=debian:12@sha256:abc
FROM ${BASE} AS build
# a remark
RUN one \\
 && two \\
# a remark in between
 && three

FROM $BASE
COPY --from=build --chown=1:1 /opt/a b /srv/
ENV PATH=/opt/bin:$PATH LANG="C.UTF-8" \\
    EMPTY=
CMD ["askgraph", "serve"]
"""


def test_stages_have_their_base_and_their_name() -> None:
    first, second = parse(TEXT)
    assert (first.base, first.name) == ("debian:12@sha256:abc", "build")
    assert (second.base, second.name) == ("debian:12@sha256:abc", "1")


def test_a_line_goes_on_past_remarks() -> None:
    assert parse(TEXT)[0].last("RUN").rest == "one && two && three"


def test_options_assignments_and_lists_are_taken_apart() -> None:
    stage = parse(TEXT)[1]
    assert stage.last("COPY").options == {"from": "build", "chown": "1:1"}
    assert stage.last("COPY").rest == "/opt/a b /srv/"
    assert stage.last("ENV").assignments == {"PATH": "/opt/bin:$PATH", "LANG": "C.UTF-8", "EMPTY": ""}
    assert stage.last("CMD").array == ["askgraph", "serve"]


def test_a_variable_is_put_in_and_an_unknown_one_is_nothing() -> None:
    assert put_in("/opt/bin:$PATH${X}", {"PATH": "/bin"}) == "/opt/bin:/bin"


@pytest.mark.parametrize("text", ["RUN early\nFROM x", "FROM --platform=x\n"])
def test_what_it_does_not_know_it_does_not_guess(text: str) -> None:
    with pytest.raises(ValueError, match=r"^RUN$|^--platform=x$"):
        parse(text)


@pytest.mark.parametrize(
    ("path", "out"),
    [("a", True), ("backend/cli.py", False), ("backend/x/__pycache__/y", True), ("backend/.env.local", True),
     ("deep/er/backend", True), ("README.md", False)],
)  # fmt: skip
def test_the_last_pattern_that_fits_decides(path: str, out: bool) -> None:
    ignored = Ignored("# all\n*\n!backend\n!README.md\n**/__pycache__\n**/.env*\n")
    assert (path in ignored) is out
