"""The embedded server as a process of this one: started, watched, ended."""

from __future__ import annotations

import atexit
import contextlib
import errno
import functools
import ipaddress
import os
import re
import secrets
import signal
import socket
import subprocess
import sys
import sysconfig
import tempfile
import time
import uuid
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from iq_client.errors import LocalServerError
from iq_client.local.installation import find_installation, find_model_repository
from iq_client.local.watch import Watch, answers

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
_START_ATTEMPTS: Final = 3
# Every request takes and gives back megabytes: kept by the C library they need not be cleared and
# mapped by the kernel each time. 32 MiB is the most that glibc takes as a threshold.
MALLOC_THRESHOLDS: Final = {
    "MALLOC_MMAP_THRESHOLD_": str(32 * 2**20),
    "MALLOC_TRIM_THRESHOLD_": str(256 * 2**20),
}
# Of a model's process that the machine did not let run for a second: the next try may be luckier.
_STARVED: Final = "is not healthy"
_PORT_TAKEN: Final = ("already in use", "Address already in use", "failed to start GRPC service")
# What Triton's gRPC offers beside scoring. None of it is for strangers: a region of shared memory
# may be any program's, and the bundled Triton has published holes there.
CLOSED_PROTOCOLS: Final = ("shared-memory", "model-repository", "statistics", "trace", "logging")
_TOKEN_PROTOCOLS: Final = ("inference", "metadata", "model-config")  # health is for probes
TOKEN_HEADER: Final = "triton-grpc-protocol-token"
_TOKEN: Final = re.compile(r"[\w.~+/-]+", re.ASCII)  # "=" and ":" mean something to Triton
# Any user of the machine can read a command line, and so the key in it. This one is longer than the
# 16 KiB of headers that gRPC takes, so that nobody can send it.
_KEY_BYTES: Final = 24 * 2**10
# What the names of an ensemble's steps add to its own.
_STEPS: Final = ("_preprocess", "_tower")
# Triton starts the processes of models through a shell, and does not quote.
_UNQUOTED: Final = re.compile(r"[\w./+@%=:,-]+", re.ASCII)


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
    again and keeps its address; one that crashes, is killed, hangs or loses the process of a model
    is started again by itself, and says so in its log.

    Clients can score and ask for models and health; what else Triton offers (`CLOSED_PROTOCOLS`)
    is closed.

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
        token: str | None = None,
        insecure: bool = False,
        allow: Collection[str] = (),
        log_file: Path | None = None,
        startup_timeout: float = 60.0,
        hang_timeout: float | None = 60.0,
        extra_arguments: tuple[str, ...] = (),
    ) -> None:
        """Finds the server's parts; `start` or a `with` block starts it.

        Args:
            model_repository: Folder of the models; None for `IQ_MODEL_REPOSITORY`, then
                `./model_repository`, then those of the package `iq-nima`.
            config_name: Which `configs/NAME.pbtxt` of each model is used, where it has one.
            host: Address to listen on, IPv4, IPv6 or a name; one that other machines reach needs
                `token` or `insecure`.
            grpc_port: Port for clients; None takes a free one.
            http_port: Port for HTTP; None leaves HTTP off, 0 takes a free one.
            metrics_port: Port for Prometheus metrics; None leaves them off, 0 takes a free one.
            tls: Files for TLS on the gRPC port; None for plain text.
            token: Asked of every client that scores; see `headers`. Other users of this machine
                can see it in the list of processes.
            insecure: Whether everybody who reaches `host` may score.
            allow: Protocols of `CLOSED_PROTOCOLS` that are open all the same, to measure with.
            log_file: Where the server's log goes; None for a temporary file that is removed at
                the end.
            startup_timeout: Seconds until the models have to be ready.
            hang_timeout: Seconds without an answer to a tiny picture, asked for now and then, after
                which a server hangs and is started again; None for never. With `tls` it is only
                done where this machine trusts the certificate.
            extra_arguments: Further options of `tritonserver`.

        Raises:
            LocalServerError: The wheel, the shared Python library or the repository is missing, or
                the server would be open to other machines and nobody said so.
            ValueError: The token has characters that it may not have, or a protocol is unknown.
        """
        self._host = host.removeprefix("[").removesuffix("]")
        if token is not None and not _TOKEN.fullmatch(token):
            raise ValueError("a token is made of letters, digits and . _ ~ + / -")
        if unknown := set(allow) - set(CLOSED_PROTOCOLS):
            raise ValueError(f"{min(unknown)!r} is none of {', '.join(CLOSED_PROTOCOLS)}")
        _check_exposure(self._host, token=token, insecure=insecure, http=http_port is not None)
        self._token = token
        self._allow = frozenset(allow)
        self._installation = find_installation()
        self.model_repository = find_model_repository(model_repository)
        self._config_name = config_name
        self._ports: dict[str, int | None] = {
            "grpc": grpc_port or 0,
            "http": http_port,
            "metrics": metrics_port,
        }
        self._tls = tls
        self._given_log = log_file
        self._startup_timeout = startup_timeout
        self._hang_timeout = hang_timeout
        self._watch: Watch | None = None
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
        return f"{self._bracketed}:{self._port('grpc')}"

    @property
    def headers(self) -> dict[str, str]:
        """The headers for `Client`: they hold the token, where there is one."""
        return {} if self._token is None else {TOKEN_HEADER: self._token}

    @property
    def http_url(self) -> str:
        """The HTTP address, `HOST:PORT`; raises `LocalServerError` where HTTP is off."""
        return f"{self._bracketed}:{self._port('http')}"

    @property
    def metrics_url(self) -> str:
        """The address of the Prometheus metrics; raises `LocalServerError` where they are off."""
        return f"http://{self._bracketed}:{self._port('metrics')}/metrics"

    @property
    def pid(self) -> int:
        """Process id of tritonserver; raises `LocalServerError` where it does not run.

        A server that was started again runs on as another process.
        """
        if self._pid is None or self._process is None:
            raise LocalServerError("the server does not run: call start()")
        return self._child() or self._pid

    def _child(self) -> int | None:
        """Process id of tritonserver; None between two of its runs."""
        if self._process is None:
            return None
        supervisor = self._process.pid
        with contextlib.suppress(OSError, ValueError):
            return int(Path(f"/proc/{supervisor}/task/{supervisor}/children").read_text())
        return None

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
        for name, port in self._ports.items():
            if port:
                self._check_port(name, port)
        for attempt in range(_START_ATTEMPTS):
            ports = {name: self._check_port(name, 0) if port == 0 else port
                     for name, port in self._ports.items()}  # fmt: skip
            try:
                self._launch(ports)
                self._await_ready(ports)
            except BaseException as error:
                log = self._log_tail()
                self.stop()
                taken = 0 in self._ports.values() and any(told in log for told in _PORT_TAKEN)
                again = isinstance(error, LocalServerError) and (taken or _STARVED in log)
                if not again or attempt + 1 == _START_ATTEMPTS:
                    raise
                continue
            break
        self._ports = dict(ports)
        assert self._process is not None
        self._process.send_signal(signal.SIGUSR1)  # of use: to be started again from now on
        if self._hang_timeout is not None:
            ask = functools.partial(answers, self.url, self.headers)
            self._watch = Watch(self._child, ask, self._hang_timeout)
        return self

    def stop(self, *, drain: bool = False) -> None:
        """Ends the server and waits until it is gone; does nothing where it does not run.

        Args:
            drain: Let requests in flight finish first, which takes two seconds or more.
        """
        process, self._process, self._pid = self._process, None, None
        watch, self._watch = self._watch, None
        if watch is not None:
            watch.close()
        if process is not None:
            atexit.unregister(self.stop)
            if process.poll() is None:
                process.send_signal(signal.SIGTERM if drain else signal.SIGINT)
                try:
                    process.wait(_STOP_SECONDS)
                except subprocess.TimeoutExpired:
                    process.kill()  # its child dies with it
                    process.wait()
        if watch is not None:
            watch.join()
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

    @property
    def _bracketed(self) -> str:
        return f"[{self._host}]" if ":" in self._host else self._host

    def _check_port(self, name: str, port: int) -> int:
        """A port that can be listened on: the one given, or for 0 a free one."""
        try:
            return free_port(self._host, port)
        except OSError as error:
            reason = {
                errno.EADDRINUSE: "is in use by another program: give another one, or 0",
                errno.EACCES: "may not be used: take one from 1024 on",
            }.get(error.errno or 0, f"cannot be listened on: {error.strerror or error}")
            raise LocalServerError(f"the {name} port {port} of {self._host} {reason}") from error

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
        repository = self.model_repository
        if not _UNQUOTED.fullmatch(str(folder)):
            raise LocalServerError(
                f"Triton cannot start models below {folder}: name a folder without blanks and "
                f"quotes in the variable TMPDIR"
            )
        if not _UNQUOTED.fullmatch(str(repository)):
            repository = folder / "models"
            repository.symlink_to(self.model_repository)
        prefix = f"iq_client_{uuid.uuid4().hex[:12]}_"
        command = [
            str(self._installation.binary),
            f"--model-repository={repository}",
            f"--backend-directory={backend.parent}",
            f"--cache-directory={self._installation.caches}",
            f"--backend-config=python,shm-region-prefix-name={prefix}",
            f"--model-config-name={self._config_name}",
            *self._loading(),
            "--disable-auto-complete-config",
            "--allow-gpu-metrics=false",
            *_endpoint_arguments("grpc", self._bracketed, ports["grpc"]),
            *_endpoint_arguments("http", self._http_address, ports["http"]),
            *_endpoint_arguments("metrics", self._http_address, ports["metrics"]),
            *self._restrictions(),
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

    @property
    def _http_address(self) -> str:
        return f"ipv6:{self._host}" if ":" in self._host else self._host

    def _restrictions(self) -> list[str]:
        """Options that close what is for nobody, and ask for the token elsewhere."""
        key = secrets.token_urlsafe(_KEY_BYTES)
        closed = [each for each in CLOSED_PROTOCOLS if each not in self._allow]
        guarded = [(closed, f"closed={key}")] if closed else []
        if self._token is not None:
            guarded.append((list(_TOKEN_PROTOCOLS), f"token={self._token}"))
        options = ["--grpc-restricted-protocol"]
        if self._ports["http"] is not None:
            options.append("--http-restricted-api")
        return [
            f"{option}={','.join(protocols)}:{secret}"
            for option in options
            for protocols, secret in guarded
        ]

    def _loading(self) -> list[str]:
        """Options that name the models to load: an ensemble brings those of its steps itself."""
        if any(each.startswith("--model-control-mode") for each in self._extra_arguments):
            return []
        names = sorted(path.parent.name for path in self.model_repository.glob("*/config.pbtxt"))
        steps = {name + step for name in names for step in _STEPS}
        asked = [f"--load-model={name}" for name in names if name not in steps]
        return ["--model-control-mode=explicit", *asked]

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
            f"the embedded server was not ready after {self._startup_timeout:g} s. A busy machine "
            "needs longer: serve --startup-timeout, LocalServer(startup_timeout=…). The end of its "
            f"log:\n{self._log_tail()}"
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


def free_port(host: str, port: int = 0) -> int:
    """A port of `host` that can be listened on; raises `OSError` where there is none."""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind((host, port))
        if port:
            probe.listen(1)  # of two that may share an address only one can listen
        found: int = probe.getsockname()[1]
        return found


def is_loopback(host: str) -> bool:
    """True for an address that this machine alone reaches."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _check_exposure(host: str, *, token: str | None, insecure: bool, http: bool) -> None:
    if insecure or is_loopback(host):
        return
    if token is None:
        raise LocalServerError(
            f"{host} is reached by other machines, and whoever reaches the port could score photos "
            f"there. Ask them for a token (token=… or --token), or say that this is wanted "
            f"(insecure=True or --insecure)"
        )
    if http:
        raise LocalServerError(
            f"{host} is reached by other machines, and the HTTP of the embedded Triton can be "
            f"crashed by whoever reaches it, with a token or without. Leave HTTP off, or say that "
            f"this is wanted (insecure=True or --insecure)"
        )


def _accepts(host: str, port: int) -> bool:
    """True where something accepts connections there."""
    try:
        socket.create_connection((host, port), timeout=1.0).close()
    except OSError:
        return False
    return True


def _prepend(environment: dict[str, str], name: str, values: list[str]) -> None:
    environment[name] = os.pathsep.join([*values, *filter(None, [environment.get(name)])])
