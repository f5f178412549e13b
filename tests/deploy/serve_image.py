"""Serves a built root as a container would be served, tries it, and says what it saw, as JSON on stdout.

replay_image.py calls it in a network, mount and process namespace of its own. Read-only root; a tmpfs on /tmp and on
each VOLUME (with what the image has there); the image's user, no capability, none to be had; no network but loopback.
"""

import contextlib
import fcntl
import json
import os
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

UP = 0x8914, 0x41  # SIOCSIFFLAGS; IFF_UP | IFF_RUNNING: linux/sockios.h, linux/if.h
READY_SECONDS, STOP_SECONDS = 90, 35
ASK = """
import json, urllib.request as u
def call(path, body=None, kind="application/json"):
    asked = u.Request("http://127.0.0.1:8000" + path, body, {"Content-Type": kind} if body else {})
    with u.urlopen(asked, timeout=60) as answer:
        return answer.status, json.load(answer)
"""
QUESTION = ASK + 'print(json.dumps(call("/ask", json.dumps({"question": "What is a flash loan?"}).encode())))'
UPLOAD = (
    ASK
    + r"""
import time
form = b'--x\r\nContent-Disposition: form-data; name="file"; filename="n.md"\r\n\r\nThe blue key opens it.\r\n--x--\r\n'
file = call("/api/v1/files/upload", form, "multipart/form-data; boundary=x")[1]["file"]["file_id"]
for _ in range(300):
    status = call("/api/v1/files/status/" + file)[1]
    if status["status"] in ("ready", "failed"):
        break
    time.sleep(0.1)
print(json.dumps(status))
"""
)


def loopback() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        fcntl.ioctl(any_socket, UP[0], struct.pack("16sh14x", b"lo", UP[1]))


def mount(*arguments: str | Path) -> None:
    subprocess.run(["mount", *map(str, arguments)], check=True)


def furnish(root: Path, volumes: list[str]) -> None:
    """The mounts of a container. A new volume gets what the image has in its place, with its owners."""
    mount("--bind", root, root)
    mount("-t", "proc", "proc", root / "proc")
    mount("-t", "tmpfs", "tmpfs", root / "dev")
    for name in ("null", "zero", "full", "random", "urandom"):
        (root / "dev" / name).touch()
        mount("--bind", f"/dev/{name}", root / "dev" / name)
    (root / "dev/shm").mkdir()
    mount("-t", "tmpfs", "-o", "mode=1777", "tmpfs", root / "dev/shm")
    mount("-t", "tmpfs", "-o", "mode=1777", "tmpfs", root / "tmp")
    for volume in volumes:
        place = root / volume.lstrip("/")
        with tempfile.TemporaryDirectory() as kept:
            subprocess.run(["cp", "--archive", f"{place}/.", kept], check=True)
            mount("-t", "tmpfs", "tmpfs", place)
            subprocess.run(["cp", "--archive", f"{kept}/.", str(place)], check=True)
    mount("-o", "remount,bind,ro", root)


def processes() -> list[dict[str, str]]:
    """What /proc says of each process, as proc(5) names it."""
    found = []
    for status in Path("/proc").glob("[0-9]*/status"):
        with contextlib.suppress(ProcessLookupError, FileNotFoundError):  # one that has just ended
            text = status.read_text("utf-8")
            found.append(dict(line.split(":", 1) for line in text.splitlines() if ":" in line))
    return found


class Container:
    def __init__(self, image: dict[str, Any]) -> None:
        user, _, group = image["user"].partition(":")
        unprivileged = ("--no-new-privs", "--bounding-set=-all", "--inh-caps=-all", "--clear-groups")
        self._enter = [
            "chroot", image["root"], "/usr/bin/setpriv", f"--reuid={user}", f"--regid={group or user}", *unprivileged,
            "/usr/bin/env", f"--chdir={image['at']}",
        ]  # fmt: skip
        self._image = image
        # As process 1 of its own, with a /proc that says so.
        proc = f'mount -t proc proc {image["root"]}/proc && exec "$@"'
        first = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "sh", "-c", proc, "sh"]
        first += [*self._enter, *image["command"]]
        self.process = subprocess.Popen(first, env=image["environment"], stdout=sys.stderr, start_new_session=True)

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        whole = [*self._enter, *command]
        return subprocess.run(
            whole, env=self._image["environment"], capture_output=True, text=True, timeout=100, check=False
        )

    def answer(self, script: str) -> Any:
        done = self.run("python", "-c", script)
        return json.loads(done.stdout) if done.returncode == 0 else {"failed": done.stderr[-2000:]}

    def ready(self) -> float | None:
        """Seconds until the image's own health check was content; None: it never was."""
        begun = time.monotonic()
        while time.monotonic() < begun + READY_SECONDS and self.process.poll() is None:
            if self.run(*self._image["healthcheck"]).returncode == 0:
                return time.monotonic() - begun
            time.sleep(0.2)
        return None

    def owners(self) -> list[list[Any]]:
        """Name, user and effective capabilities of every process that it is made of."""
        return sorted(
            [one["Name"].strip(), int(one["Uid"].split()[1]), int(one["CapEff"], 16)]
            for one in processes()
            if os.getsid(int(one["Pid"])) == self.process.pid != int(one["Pid"])
        )

    def stop(self) -> int | None:
        """The exit status, after the image's stop signal where it still runs; None: it had to be killed."""
        if self.process.poll() is not None:
            return self.process.returncode
        (first,) = (int(one["Pid"]) for one in processes() if int(one["PPid"]) == self.process.pid)
        os.kill(first, signal.Signals[self._image["stop_signal"]])
        try:
            return self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            return None


def main(described: str) -> None:
    image = json.loads(Path(described).read_text("utf-8"))
    root = Path(image["root"])
    loopback()
    mount("-t", "proc", "proc", "/proc")
    furnish(root, image["volumes"])
    container = Container(image)
    seen: dict[str, Any] = {"python": container.run("python", "--version").stdout.strip(), "ready": container.ready()}
    if seen["ready"] is not None:
        seen["answer"] = container.answer(QUESTION)
        seen["upload"] = container.answer(UPLOAD)
        seen["owners"] = container.owners()
        places = ("/srv/askgraph/x", "/opt/askgraph/x", "/etc/x", "/x")
        seen["writable"] = [place for place in places if container.run("touch", place).returncode == 0]
        seen["written"] = sorted(
            f"{volume}/{file.relative_to(root / volume.lstrip('/'))}"
            for volume in image["volumes"]
            for file in (root / volume.lstrip("/")).rglob("*")
            if file.is_file()
        )
    seen["exit"] = container.stop()
    json.dump(seen, sys.stdout)


if __name__ == "__main__":
    main(sys.argv[1])
