"""The image without a container engine: the Dockerfile's own steps, replayed in a clean root of Debian's, and served.

    python3 tests/deploy/replay_image.py OUT      OUT: a folder for report.json and venv, the image's /opt/askgraph

Needs root, debootstrap (tests/deploy/install_tools.sh) and the standard library. Each stage is a copy of one fresh
root; COPY, RUN, ENV, WORKDIR, SHELL and USER are done as the Dockerfile says. The last stage is then served as a
container would be (serve_image.py).

What differs from the image: the root is the machine's own release of Debian or Ubuntu with its Python, in the place of
the one that FROM names; what that one sets in its environment is not there.

Mounts are made in a namespace of this script's own and vanish with it; of the disk it uses one temporary folder, and
.venv-deploy/debs for packages that it has fetched.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))
from tests.deploy.dockerfile import Ignored, Instruction, Stage, context, parse, put_in  # noqa: E402  # just made findable

DEBOOTSTRAP = ROOT / ".venv-deploy" / "debootstrap"
CACHE = ROOT / ".venv-deploy" / "debs"
PACKAGES = "python3,python3-venv,ca-certificates"
PLAIN_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
# How pip and apt reach their indexes is the machine's affair: handed on to each step, and kept nowhere.
HANDED_ON = re.compile(r"PIP_|SSL_CERT_|REQUESTS_CA_BUNDLE$|CURL_CA_BUNDLE$|(https?|no|all)_proxy$", re.IGNORECASE)
PIP_FILES = (Path("/etc/pip.conf"), Path.home() / ".config/pip/pip.conf", Path.home() / ".pip/pip.conf")
LOCAL_PATH = re.compile(r"(?:^|[\s=]|file://)(/[\w./-]+)", re.MULTILINE)
NAMESPACES = ("unshare", "--mount", "--propagation", "private", "--pid", "--fork", "--kill-child")
INSIDE = "ASKGRAPH_REPLAY_INSIDE"


def say(text: str) -> None:
    sys.stderr.write(f"replay: {text}\n")
    sys.stderr.flush()


def run(*command: str | Path, environment: dict[str, str] | None = None) -> None:
    """Raises SystemExit with what the command said when it fails."""
    done = subprocess.run(
        [str(part) for part in command], env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False
    )
    if done.returncode:
        raise SystemExit(f"replay: {command[0]} failed\n{done.stdout.decode(errors='replace')[-4000:]}")


# --- The clean root --------------------------------------------------------------------------------------------------


def release() -> str:
    """The code name of this machine's Debian or Ubuntu."""
    text = Path("/etc/os-release").read_text("utf-8")
    return re.findall(r"^VERSION_CODENAME=\"?(\w+)", text, re.MULTILINE)[0]


def mirror(suite: str) -> str:
    """Where this machine gets its packages from, as apt itself says."""
    command = ["apt-get", "indextargets", "--format", "$(RELEASE) $(REPO_URI)", "Created-By: Packages"]
    lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    found = [line.split()[1] for line in lines if line.split()[0] == suite]
    if not found:
        raise SystemExit("replay: apt knows no mirror of this release")
    return found[0]


def bootstrap(target: Path) -> None:
    """A fresh root with Python, and `python` where the official image has it."""
    suite = release()
    CACHE.mkdir(parents=True, exist_ok=True)
    run(
        DEBOOTSTRAP / "program", "--variant=minbase", f"--include={PACKAGES}", f"--cache-dir={CACHE}", suite, target,
        mirror(suite), environment={**os.environ, "DEBOOTSTRAP_DIR": str(DEBOOTSTRAP)},
    )  # fmt: skip
    (target / "usr/local/bin/python").symlink_to("/usr/bin/python3")
    shutil.copy("/etc/resolv.conf", target / "etc/resolv.conf")


@contextmanager
def mounted(root: Path, environment: dict[str, str]) -> Iterator[None]:
    """/proc, /dev, and read-only what pip's settings name: its files, certificates, folders of wheels."""
    run("mount", "-t", "proc", "proc", root / "proc")
    run("mount", "--rbind", "/dev", root / "dev")
    named = [file for file in PIP_FILES if file.is_file()]
    texts = [*environment.values(), *(file.read_text("utf-8") for file in named)]
    found = [Path(path) for text in texts for path in LOCAL_PATH.findall(text) if Path(path).exists()]
    named += [path.parent if path.name == "simple" else path for path in found]  # an index's files lie beside its pages
    made = [_lent(root, path) for path in dict.fromkeys(named)]
    try:
        yield
    finally:
        for place, was_there in reversed(made):
            run("umount", place)
            if not was_there:
                place.rmdir() if place.is_dir() else place.unlink()
        run("umount", "--recursive", root / "dev")
        run("umount", root / "proc")


def _lent(root: Path, path: Path) -> tuple[Path, bool]:
    place = root / str(path).lstrip("/")
    was_there = place.exists()
    if not was_there:
        place.parent.mkdir(parents=True, exist_ok=True)
        place.mkdir() if path.is_dir() else place.touch()
    run("mount", "--bind", "-o", "ro", path, place)
    return place, was_there


# --- The Dockerfile's steps ------------------------------------------------------------------------------------------


class Build:
    """One stage on the way: its root, and what ENV, SHELL, WORKDIR and USER have said so far."""

    def __init__(self, stage: Stage, base: Path, folder: Path, others: dict[str, Path]) -> None:
        self.stage = stage
        self.root = folder / stage.name
        self.environment = {"PATH": PLAIN_PATH}
        self.at, self.user = "/", "0:0"
        self._shell = ["/bin/sh", "-c"]
        self._others = others
        self._steps = {
            "ENV": self._set,
            "SHELL": self._take_shell,
            "WORKDIR": self._go,
            "USER": self._become,
            "COPY": self._copy,
            "RUN": self._run,
        }
        run("cp", "--archive", "--reflink=auto", base, self.root)

    def replay(self) -> None:
        for one in self.stage.instructions:
            if step := self._steps.get(one.word):
                say(f"{self.stage.name}: {one.word} {one.rest[:90]}")
                step(one)

    def inside(self, path: str) -> Path:
        return self.root / (path if path.startswith("/") else f"{self.at}/{path}").lstrip("/")

    def _set(self, one: Instruction) -> None:
        self.environment |= {name: put_in(value, self.environment) for name, value in one.assignments.items()}

    def _take_shell(self, one: Instruction) -> None:
        self._shell = one.array

    def _go(self, one: Instruction) -> None:
        self.at = one.rest
        self.inside(self.at).mkdir(parents=True, exist_ok=True)

    def _become(self, one: Instruction) -> None:
        self.user = one.rest

    def _copy(self, one: Instruction) -> None:
        *sources, target = one.rest.split()
        for source in sources:
            if origin := one.options.get("from"):
                run("cp", "--archive", self._others[origin] / source.lstrip("/"), self.inside(target))
            else:
                self._take(source, target)

    def _take(self, source: str, target: str) -> None:
        """COPY from the context: without what .dockerignore leaves out, and owned by root."""
        files = context(ROOT, Ignored((ROOT / ".dockerignore").read_text("utf-8")), source)
        if not files:
            raise SystemExit(f"replay: COPY {source}: nothing of it is in the context")
        for file in files:
            rest = file.relative_to(ROOT / source) if (ROOT / source).is_dir() else Path(file.name)
            place = self.inside(target) / rest
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(file, place)

    def _run(self, one: Instruction) -> None:
        handed_on = {name: value for name, value in os.environ.items() if HANDED_ON.match(name)}
        enter = ("chroot", f"--userspec={self.user}", self.root, "/usr/bin/env", f"--chdir={self.at}")
        with mounted(self.root, handed_on):
            run(*enter, *self._shell, one.rest, environment={**handed_on, **self.environment})


def build(folder: Path) -> Build:
    """The last stage, built."""
    stages = parse((ROOT / "Dockerfile").read_text("utf-8"))
    say(f"a clean {release()}, in the place of {stages[-1].base}")
    bootstrap(folder / "base")
    done: dict[str, Path] = {}
    for stage in stages:
        last = Build(stage, folder / "base", folder, done)
        last.replay()
        done[stage.name] = last.root
    return last


def image(built: Build) -> dict[str, object]:
    """What a container engine would know of the image."""
    stage = built.stage
    return {
        "root": str(built.root),
        "environment": built.environment,
        "at": built.at,
        "user": built.user,
        "command": stage.last("ENTRYPOINT").array + stage.last("CMD").array,
        "volumes": [one.rest for one in stage.all("VOLUME")],
        "healthcheck": Instruction("CMD", stage.last("HEALTHCHECK").rest.partition("CMD ")[2]).array,
        "stop_signal": stage.last("STOPSIGNAL").rest,
    }


def main(out: Path) -> None:
    if os.environ.get(INSIDE) != "yes":
        os.environ[INSIDE] = "yes"
        with tempfile.TemporaryDirectory(prefix="askgraph-replay-") as folder:
            done = subprocess.run([*NAMESPACES, sys.executable, __file__, str(out), folder], check=False)
        raise SystemExit(done.returncode)
    folder = Path(sys.argv[2])
    built = build(folder)
    out.mkdir(parents=True, exist_ok=True)
    described = folder / "image.json"
    described.write_text(json.dumps(image(built)), "utf-8")
    say("served as a container would be")
    script = Path(__file__).with_name("serve_image.py")
    report = subprocess.run(
        [*NAMESPACES, "--net", sys.executable, str(script), str(described)], stdout=subprocess.PIPE, check=False
    )
    (out / "report.json").write_bytes(report.stdout)
    shutil.move(built.root / "opt/askgraph", out / "venv")
    raise SystemExit(report.returncode)


if __name__ == "__main__":
    main(Path(sys.argv[1]).absolute())
