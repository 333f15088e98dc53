"""A real OpenSSH server on a loopback port, with throw-away keys, for the user that runs the tests."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import time
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from infra.spec import HostSpec
from lab.services.redis import free_port
from tests.support.specs import host_spec, key_pair

_START_TIMEOUT_SECONDS: Final = 10.0


class LoopbackSshd:
    """`with LoopbackSshd(folder) as server`: `server.spec(...)` reaches this machine over SSH as the current user."""

    def __init__(self, folder: Path, programs: Path | None = None) -> None:
        """`programs`: a folder whose programs sessions find before the machine's own."""
        self.folder = folder
        self.programs = programs
        self.port = free_port()
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Start it and wait until it accepts connections."""
        self.folder.mkdir(parents=True, exist_ok=True)
        host_key = self._write("host_key", key_pair("host")[0])
        authorized = self._write("authorized_keys", f"{key_pair('client')[1]}\n")
        settings = (
            f"Port {self.port}\nListenAddress 127.0.0.1\nHostKey {host_key}\nAuthorizedKeysFile {authorized}\n"
            f"PidFile {self.folder}/sshd.pid\nStrictModes no\nUsePAM no\nPasswordAuthentication no\n"
            "PermitRootLogin prohibit-password\nSubsystem sftp internal-sftp\nMaxStartups 100\n"
        )
        if self.programs is not None:
            settings += f"SetEnv PATH={self.programs}:/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin\n"
        config = self._write("sshd_config", settings)
        Path("/run/sshd").mkdir(exist_ok=True)
        program = shutil.which("sshd", path=f"{os.environ.get('PATH', '')}:/usr/sbin") or "/usr/sbin/sshd"
        with (self.folder / "log").open("wb") as log:
            self._process = subprocess.Popen([program, "-D", "-e", "-f", str(config)], stderr=log)
        self._wait()

    def stop(self) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait(10)
            self._process = None

    def cut(self) -> None:
        """End every session at once, as a machine that goes away does; new ones are taken."""
        assert self._process is not None
        children = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children").read_text().split()
        for pid in children:
            os.kill(int(pid), signal.SIGKILL)

    def spec(self, **changes: object) -> HostSpec:
        """A spec of this machine, reached over this server."""
        given: dict[str, object] = {
            "host": "127.0.0.1",
            "port": self.port,
            "user": pwd.getpwuid(os.getuid()).pw_name,
            "host_key": key_pair("host")[1],
            "private_key": key_pair("client")[0],
            "connect_timeout_seconds": 5,
        }
        return host_spec(**{**given, **changes})

    def _write(self, name: str, text: str) -> Path:
        path = self.folder / name
        path.write_text(text)
        path.chmod(0o600)
        return path

    def _wait(self) -> None:
        deadline = time.monotonic() + _START_TIMEOUT_SECONDS
        while time.monotonic() < deadline:
            if b"Server listening" in (self.folder / "log").read_bytes():
                return
            time.sleep(0.02)
        raise RuntimeError(f"sshd did not start: {(self.folder / 'log').read_text()[-2000:]}")
