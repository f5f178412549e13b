"""OTLP over HTTP by OpenTelemetry's own exporter, with what it leaves open bounded.

Its retries, time limit, compression and certificates are used as they are. An answer's body is never waited for, nor
held: a far end may send what it likes. Redirects are no success: what was sent did not arrive.
"""

import logging
from typing import Any

import requests
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from requests.auth import HTTPBasicAuth

from infrastructure.tracing.destination import Destination

_SMALL = 64
"""Bytes of an answer that are read, so that its connection can be used again."""
_OWN_HEADERS = {"content-type", "content-encoding", "user-agent"}
# It repeats addresses and what the far end says. What went wrong is told by `Export`, in a word.
_EXPORTER_LOG = "opentelemetry.exporter.otlp.proto.http.trace_exporter"


class Sender(OTLPSpanExporter):
    """Sends bodies that are encoded already."""

    def __init__(self, to: Destination) -> None:
        logging.getLogger(_EXPORTER_LOG).disabled = True
        self._session = _Session(to)
        super().__init__(
            endpoint=to.url,
            headers=dict(to.headers),
            timeout=to.timeout,
            compression=Compression(to.compression),
            session=self._session,
            certificate_file=to.certificate,
            client_key_file=to.client_key,
            client_certificate_file=to.client_certificate,
        )
        if to.alone:  # the exporter has looked into the variables of the other destination
            self._session.verify, self._session.cert = True, None

    def send(self, data: bytes) -> str | None:
        """None when it was taken; else why not: a status, or an error's name. Blocks, with retries and all, for at most
        the destination's time limit where the far end does not drip."""
        result = self._client.export(data)  # `export` would encode again, from another form
        if result.success:
            return None
        if result.status_code is not None:
            return str(result.status_code)
        return type(result.error).__name__ if result.error is not None else "given up"


class _Session(requests.Session):
    """Sends to one place, with the credentials of that place and no others."""

    def __init__(self, to: Destination) -> None:
        super().__init__()
        self._headers = _OWN_HEADERS | {name.lower() for name in to.headers} if to.alone else None
        # What stands here is used instead of what a .netrc has for the host.
        self.auth = HTTPBasicAuth(to.basic[0].encode(), to.basic[1].encode()) if to.basic else _as_it_is

    def request(self, method: Any, url: Any, **options: Any) -> requests.Response:  # type: ignore[override]  # as called
        if self._headers is not None:
            given = options.get("headers") or {}
            options["headers"] = {name: value for name, value in given.items() if name.lower() in self._headers}
        response = super().request(method, url, stream=True, **options)
        length = response.headers.get("content-length", "")
        if length.isdecimal() and int(length) <= _SMALL:
            response.content  # noqa: B018  reads it
        response.close()
        if response.is_redirect or 300 <= response.status_code < 400:
            raise requests.TooManyRedirects("none is followed")
        return response


def _as_it_is(request: requests.PreparedRequest) -> requests.PreparedRequest:
    return request
