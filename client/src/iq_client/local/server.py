"""The embedded server as a process of this one: started, watched, ended."""

from __future__ import annotations

import atexit
import contextlib
import errno
import os
import signal
import socket
import subprocess
import sys
import sysconfig
import tempfile
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from iq_client.errors import LocalServerError
from iq_client.local.installation import find_installation, find_model_repository

_SUPERVISOR: Final = Path(__file__).with_name("supervisor.py")
_LOG_TAIL_LINES: Final = 40
_POLL_SECONDS: Final = 0.05
_STOP_SECONDS: Final = 20.0
# Lines of Triton's log when it listens.
_LISTENS: Final = {
    "grpc": "Started GRPCInferenceService at",
    "http": "Started HTTPService at",
    "metrics": "Started Metrics Service at",
}
# Between looking for a free port and the server's taking it another process may be faster.
_PORT_ATTEMPTS: Final = 3
# Every request takes and gives back megabytes: kept by the C library they need not be cleared and
# mapped by the kernel each time. 32 MiB is the most that glibc takes as a threshold.
MALLOC_THRESHOLDS: Final = {
    "MALLOC_MMAP_THRESHOLD_": str(32 * 2**20),
    "MALLOC_TRIM_THRESHOLD_": str(256 * 2**20),
}
_PORT_TAKEN: Final = ("already in use", "Address already in use", "failed to start GRPC service")


@dataclass(frozen=True, slots=True)
class ServerTLS:
    """Files with which the embedded server proves who it is.

    Attributes:
        certificate: PEM certificate chain of the server.
        key: PEM private key.
        client_authority: PEM certificates of the authority that signs clients; where given,
            clients without such a certificate are refused (mTLS).
    """

    certificate: Path
    key: Path
    client_authority: Path | None = None

    def arguments(self) -> list[str]:
        """The server's command line options."""
        given = [f"--grpc-server-cert={self.certificate}", f"--grpc-server-key={self.key}"]
        if self.client_authority is None:
            return ["--grpc-use-ssl=true", *given]
        return ["--grpc-use-ssl-mutual=true", *given, f"--grpc-root-cert={self.client_authority}"]


class LocalServer:
    """The embedded Triton server, listening on this machine only.

    Nothing of it stays behind: it ends with the `with` block, with the interpreter, on Ctrl-C, and
    within a second when the process that started it is killed. A stopped server can be started
    again and keeps its address; one that crashes is started again by itself, and says so in its
    log.

        with LocalServer() as server, Client(server.url) as client:
            print(client.rank_images("photos/"))
    """

    def __init__(
        self,
        model_repository: str | Path | None = None,
        *,
        config_name: str = "embedded",
        host: str = "127.0.0.1",
        grpc_port: int | None = None,
        http_port: int | None = None,
        metrics_port: int | None = None,
        tls: ServerTLS | None = None,
        log_file: Path | None = None,
        startup_timeout: float = 60.0,
        extra_arguments: tuple[str, ...] = (),
    ) -> None:
        """Finds the server's parts; `start` or a `with` block starts it.

        Args:
            model_repository: Folder of the models; None for `IQ_MODEL_REPOSITORY`, then
                `./model_repository`, then those of the package `iq-nima`.
            config_name: Which `configs/NAME.pbtxt` of each model is used, where it has one.
            host: Address to listen on.
            grpc_port: Port for clients; None takes a free one.
            http_port: Port for HTTP; None leaves HTTP off, 0 takes a free one.
            metrics_port: Port for Prometheus metrics; None leaves them off, 0 takes a free one.
            tls: Files for TLS on the gRPC port; None for plain text.
            log_file: Where the server's log goes; None for a temporary file that is removed at
                the end.
            startup_timeout: Seconds until the models have to be ready.
            extra_arguments: Further options of `tritonserver`, such as
                `--grpc-restricted-protocol=…`.

        Raises:
            LocalServerError: The wheel, the shared Python library or the repository is missing.
        """
        self._installation = find_installation()
        self.model_repository = find_model_repository(model_repository)
        self._config_name = config_name
        self._host = host
        self._ports: dict[str, int | None] = {
            "grpc": grpc_port or 0,
            "http": http_port,
            "metrics": metrics_port,
        }
        self._tls = tls
        self._given_log = log_file
        self._startup_timeout = startup_timeout
        self._extra_arguments = extra_arguments
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._pid: int | None = None
        self._log_start = 0

    @property
    def url(self) -> str:
        """The gRPC address for `Client`, `HOST:PORT`.

        Raises:
            LocalServerError: The server was never started and has no port yet.
        """
        return f"{self._host}:{self._port('grpc')}"

    @property
    def http_url(self) -> str:
        """The HTTP address, `HOST:PORT`; raises `LocalServerError` where HTTP is off."""
        return f"{self._host}:{self._port('http')}"

    @property
    def metrics_url(self) -> str:
        """The address of the Prometheus metrics; raises `LocalServerError` where they are off."""
        return f"http://{self._host}:{self._port('metrics')}/metrics"

    @property
    def pid(self) -> int:
        """Process id of tritonserver; raises `LocalServerError` where it does not run.

        A server that crashed runs on as another process.
        """
        if self._pid is None or self._process is None:
            raise LocalServerError("the server does not run: call start()")
        supervisor = self._process.pid
        with contextlib.suppress(OSError, ValueError):
            return int(Path(f"/proc/{supervisor}/task/{supervisor}/children").read_text())
        return self._pid

    @property
    def log_path(self) -> Path:
        """The server's log; raises `LocalServerError` before the first start."""
        if self._given_log is not None:
            return self._given_log
        if self._folder is None:
            raise LocalServerError("the server has no log yet: call start()")
        return Path(self._folder.name) / "tritonserver.log"

    @property
    def running(self) -> bool:
        """True while the server's process is there."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> Self:
        """Starts the server and waits until its models are ready.

        Returns:
            This server.

        Raises:
            LocalServerError: It ended or was not ready in time; the message ends with the last
                lines of its log.
        """
        if self.running:
            raise LocalServerError(f"the server runs already, at {self.url}")
        self.stop()
        for port in filter(None, self._ports.values()):
            if _in_use(self._host, port):
                raise LocalServerError(f"port {port} of {self._host} is in use: choose another")
        for attempt in range(_PORT_ATTEMPTS):
            ports = {name: _free_port(self._host) if port == 0 else port
                     for name, port in self._ports.items()}  # fmt: skip
            try:
                self._launch(ports)
                self._await_ready(ports)
            except BaseException as error:
                log = self._log_tail()
                self.stop()
                taken = isinstance(error, LocalServerError) and any(t in log for t in _PORT_TAKEN)
                if taken and 0 in self._ports.values() and attempt + 1 < _PORT_ATTEMPTS:
                    continue
                raise
            break
        self._ports = dict(ports)
        return self

    def stop(self, *, drain: bool = False) -> None:
        """Ends the server and waits until it is gone; does nothing where it does not run.

        Args:
            drain: Let requests in flight finish first, which takes two seconds or more.
        """
        process, self._process, self._pid = self._process, None, None
        if process is not None:
            atexit.unregister(self.stop)
            if process.poll() is None:
                process.send_signal(signal.SIGTERM if drain else signal.SIGINT)
                try:
                    process.wait(_STOP_SECONDS)
                except subprocess.TimeoutExpired:
                    process.kill()  # its child dies with it
                    process.wait()
        if self._folder is not None:
            self._folder.cleanup()
            self._folder = None

    def wait(self) -> int:
        """Waits until the server ends by itself and returns its exit status.

        Raises:
            LocalServerError: It does not run.
        """
        if self._process is None:
            raise LocalServerError("the server does not run: call start()")
        return self._process.wait()

    def __enter__(self) -> Self:
        return self if self.running else self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    def _port(self, name: str) -> int:
        port = self._ports[name]
        if port is None:
            raise LocalServerError(f"{name} is off: give {name}_port to turn it on")
        if port == 0:
            raise LocalServerError("the server has no address yet: call start()")
        return port

    def _launch(self, ports: Mapping[str, int | None]) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="iq-client-server-")
        folder = Path(self._folder.name)
        backend = folder / "backends" / "python"
        backend.mkdir(parents=True)
        # Links, not copies: the stub finds its libraries relative to where it really lies.
        for part in (*self._installation.backend.iterdir(), self._installation.stub):
            (backend / part.name).symlink_to(part)
        prefix = f"iq_client_{uuid.uuid4().hex[:12]}_"
        command = [
            str(self._installation.binary),
            f"--model-repository={self.model_repository}",
            f"--backend-directory={backend.parent}",
            f"--cache-directory={self._installation.caches}",
            f"--backend-config=python,shm-region-prefix-name={prefix}",
            f"--model-config-name={self._config_name}",
            "--model-control-mode=none",
            "--disable-auto-complete-config",
            "--allow-gpu-metrics=false",
            *_endpoint_arguments("grpc", self._host, ports["grpc"]),
            *_endpoint_arguments("http", self._host, ports["http"]),
            *_endpoint_arguments("metrics", self._host, ports["metrics"]),
            # Clients may look for dead connections more often than every five minutes.
            "--grpc-http2-min-recv-ping-interval-without-data=5000",
            *(self._tls.arguments() if self._tls else []),
            *self._extra_arguments,
        ]
        # Bare (-I -S): the supervisor must not depend on what the environment does to Python.
        supervised = [sys.executable, "-I", "-S", str(_SUPERVISOR), str(os.getpid()), prefix]
        with self.log_path.open("ab") as log:
            self._log_start = log.tell()
            self._process = subprocess.Popen(
                [*supervised, *command],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                env=self._environment(),
                # Ctrl-C in a terminal goes to the whole foreground group; it is for the caller to
                # say when the server ends.
                start_new_session=True,
            )
        atexit.register(self.stop)
        assert self._process.stdout is not None
        with self._process.stdout as output:
            line = output.readline()
        if line:
            self._pid = int(line)

    def _environment(self) -> dict[str, str]:
        environment = MALLOC_THRESHOLDS | os.environ
        python = Path(sys.executable).parent
        libraries = [str(self._installation.libpython.parent)]
        site_packages = [sysconfig.get_path("purelib"), sysconfig.get_path("platlib")]
        _prepend(environment, "LD_LIBRARY_PATH", libraries)
        _prepend(environment, "PYTHONPATH", list(dict.fromkeys(site_packages)))
        # The interpreter inside the backend's stub finds its standard library through `python3`.
        _prepend(environment, "PATH", [str(python)])
        return environment

    def _await_ready(self, ports: Mapping[str, int | None]) -> None:
        opened = {name: port for name, port in ports.items() if port is not None}
        # Triton opens its ports after every model is loaded, and says so in its log. The log first:
        # a port that another process was faster to take would accept connections as well. Then the
        # ports: Triton says that it serves metrics a moment before it does.
        deadline = time.monotonic() + self._startup_timeout
        assert self._process is not None
        while time.monotonic() < deadline:
            log = self._log()
            if all(_LISTENS[name] in log for name in opened) and all(
                _accepts(self._host, port) for port in opened.values()
            ):
                return
            if self._process.poll() is not None:
                raise LocalServerError(
                    f"the embedded server ended with status {self._process.returncode} before "
                    f"it was ready. The end of its log:\n{self._log_tail()}"
                )
            time.sleep(_POLL_SECONDS)
        raise LocalServerError(
            f"the embedded server was not ready after {self._startup_timeout:g} s. The end of "
            f"its log:\n{self._log_tail()}"
        )

    def _log(self) -> str:
        """The log of this run of the server so far."""
        with self.log_path.open("rb") as log:
            log.seek(self._log_start)
            return log.read().decode(errors="replace")

    def _log_tail(self) -> str:
        try:
            lines = self._log().splitlines()
        except (OSError, LocalServerError):
            return "(there is no log)"
        return "\n".join(lines[-_LOG_TAIL_LINES:])


def _endpoint_arguments(name: str, host: str, port: int | None) -> list[str]:
    if port is None:
        return [f"--allow-{name}=false"]
    return [f"--allow-{name}=true", f"--{name}-address={host}", f"--{name}-port={port}"]


def _free_port(host: str) -> int:
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.bind((host, 0))
        port: int = probe.getsockname()[1]
        return port


def _in_use(host: str, port: int) -> bool:
    """True where another process listens on a port; what else is wrong with it the server says."""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # a closed one may linger
        try:
            probe.bind((host, port))
        except OSError as error:
            return error.errno == errno.EADDRINUSE
    return False


def _accepts(host: str, port: int) -> bool:
    """True where something accepts connections there."""
    try:
        socket.create_connection((host, port), timeout=1.0).close()
    except OSError:
        return False
    return True


def _prepend(environment: dict[str, str], name: str, values: list[str]) -> None:
    environment[name] = os.pathsep.join([*values, *filter(None, [environment.get(name)])])
