"""The command line against the real server with the stand-in model."""

import contextlib
import csv
import functools
import io
import json
import os
import pty
import re
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import grpc
import numpy as np
import pyarrow.parquet as pq
import pytest
import trustme
from click.testing import CliRunner
from PIL import Image

from iq_client.cli import cli
from iq_client.formats import read_scores
from iq_client.local import LocalServer

COMMAND = [sys.executable, "-c", "from iq_client.cli import main; main()"]
HOSTILE = [
    "-rf.jpg",
    "a b.jpg",
    "line\nbreak.jpg",
    "\x1b[31mred\x1b[0m\x07.jpg",
    "[bold]no markup[red].jpg",
    "=cmd('x'),\"quoted\".jpg",
    "[1-3].jpg",
    "\u202egpj.jpg",
    os.fsdecode(b"latin-\xe9\xff.jpg"),
]


@pytest.fixture
def photos(tmp_path):
    """Twelve files that the stand-in scores, in a folder with others that it does not see."""
    folder = tmp_path / "photos"
    (folder / "deeper").mkdir(parents=True)
    for index in range(12):
        name = f"deeper/{index:02}.jpg" if index % 3 == 0 else f"{index:02}.jpg"
        (folder / name).write_bytes(b"photo %d" % index)
    (folder / "notes.txt").write_text("no photo")
    return folder


@pytest.fixture
def run(stub_server, monkeypatch):
    """Runs a command in this process, against the stand-in."""
    monkeypatch.setenv("IQ_URL", stub_server.url)

    def invoke(*arguments, code=0, stdin=None):
        result = CliRunner().invoke(cli, [str(each) for each in arguments], input=stdin)
        if result.exception and not isinstance(result.exception, SystemExit):
            raise result.exception
        assert result.exit_code == code, result.output
        return result

    return invoke


def expected(photos, stub_mean):
    return {str(path): stub_mean(path.read_bytes()) for path in photos.rglob("*.jpg")}


def test_rank_as_json(run, photos, stub_mean):
    rows = json.loads(run("rank", photos, "--format", "json").stdout)
    assert [row["rank"] for row in rows] == list(range(1, 13))
    means = expected(photos, stub_mean)
    best_first = sorted(means, key=means.get, reverse=True)
    assert [row["source"] for row in rows] == best_first
    assert rows[0]["mean"] == pytest.approx(means[best_first[0]], abs=1e-4)


def test_rank_as_a_table(run, photos, stub_mean):
    (photos / "broken.jpg").write_bytes(b"corrupt")
    lines = run("rank", photos, "--top", 3, code=1).stdout.splitlines()
    assert re.split(r"\s{2,}", lines[0].strip()) == ["#", "mean", "± std", "votes 1-10", "photo"]
    means = expected(photos, stub_mean)
    del means[str(photos / "broken.jpg")]
    for rank, (line, source) in enumerate(
        zip(lines[2:5], sorted(means, key=means.get, reverse=True)[:3], strict=True), start=1
    ):
        number, mean, _, bars, path = line.split()
        assert (number, path) == (str(rank), source)
        assert float(mean) == pytest.approx(means[source], abs=0.006)
        assert len(bars) == 10
        assert set(bars) <= set("▁▂▃▄▅▆▇█")
    assert lines[-1].split()[0] == "UNREADABLE"
    assert lines[-1].endswith("broken.jpg")
    assert all(line == line.rstrip() for line in lines)


def test_score_keeps_the_order_given(run, photos):
    given = [photos / "02.jpg", photos / "01.jpg", "gone.jpg", photos / "04.jpg"]
    rows = json.loads(run("score", *given, "--format", "json", code=1).stdout)
    assert [row["source"] for row in rows] == [str(path) for path in given]
    assert [row["error"] and row["error"]["code"] for row in rows] == [
        None,
        None,
        "NOT_FOUND",
        None,
    ]


@pytest.mark.parametrize("file_format", ["json", "jsonl", "csv", "parquet"])
def test_formats_by_the_ending_of_the_output(run, photos, tmp_path, file_format):
    out = tmp_path / f"out.{file_format}"
    assert run("rank", photos, "-o", out).stdout == ""
    if file_format == "csv":
        rows = list(csv.DictReader(out.open(newline="")))
    elif file_format == "parquet":
        rows = pq.read_table(out).to_pylist()
    elif file_format == "json":
        rows = json.loads(out.read_text())
    else:
        rows = [json.loads(line) for line in out.open()]
    assert [int(row["rank"]) for row in rows] == list(range(1, 13))


def test_parquet_to_a_pipe(run, photos):
    data = run("score", photos, "--format", "parquet").stdout_bytes
    assert pq.read_table(io.BytesIO(data)).num_rows == 12


def test_globs(run, photos):
    rows = json.loads(run("score", photos / "0[1-5].jpg", "--format", "json").stdout)
    assert [Path(row["source"]).name for row in rows] == ["01.jpg", "02.jpg", "04.jpg", "05.jpg"]


def test_paths_on_stdin(run, photos):
    lines = f"{photos / '01.jpg'}\n\n{photos / 'deeper'}\n{photos / '02.jpg'}"
    rows = json.loads(run("score", "-", "--format", "json", stdin=lines).stdout)
    names = [Path(row["source"]).name for row in rows]
    assert names == ["01.jpg", "00.jpg", "03.jpg", "06.jpg", "09.jpg", "02.jpg"]


@pytest.mark.parametrize("dash", [["-"], []])
def test_paths_that_end_with_nul(run, tmp_path, dash):
    names = [tmp_path / name for name in HOSTILE]
    for name in names:
        name.write_bytes(b"photo")
    stdin = b"".join(os.fsencode(name) + b"\0" for name in names)
    rows = json.loads(run("score", *dash, "-0", "--format", "json", stdin=stdin).stdout)
    assert [row["source"] for row in rows] == [str(name) for name in names]


def test_hostile_names_do_not_reach_the_terminal(run, tmp_path):
    folder = tmp_path / "hostile"
    folder.mkdir()
    for name in HOSTILE:
        (folder / name).write_bytes(b"photo")
    table = run("rank", folder).stdout
    assert len(table.splitlines()) == 2 + len(HOSTILE)
    assert "\x1b" not in table
    assert "\u202e" not in table
    assert "[bold]no markup[red].jpg" in table
    run("rank", folder, "-o", tmp_path / "out.csv", "--html", tmp_path / "out.html")
    sources = {row["source"] for row in csv.DictReader((tmp_path / "out.csv").open(newline=""))}
    assert str(folder / "line\nbreak.jpg") in sources
    run("rank", folder, "--top", len(HOSTILE), "--copy-best", tmp_path / "best")
    assert len(list((tmp_path / "best").iterdir())) == len(HOSTILE)


def test_top_and_min_score_keep_what_failed_in_sight(run, photos, stub_mean):
    means = sorted(expected(photos, stub_mean).values(), reverse=True)
    cut = (means[4] + means[5]) / 2
    rows = json.loads(
        run("rank", photos, "gone.jpg", "--min-score", cut, "--format", "json", code=1).stdout
    )
    assert [row["rank"] for row in rows] == [1, 2, 3, 4, 5, None]
    rows = json.loads(
        run("rank", photos, "--min-score", cut, "--top", 2, "--format", "json").stdout
    )
    assert [row["rank"] for row in rows] == [1, 2]
    rows = json.loads(run("score", photos, "--min-score", cut, "--format", "json").stdout)
    assert len(rows) == 5


def test_rank_by_the_lower_bound(run, photos):
    rows = json.loads(run("rank", photos, "--by", "lower_bound", "--format", "json").stdout)
    bounds = [row["mean"] - row["std"] for row in rows]
    assert bounds == sorted(bounds, reverse=True)


def test_copy_best(run, photos, tmp_path):
    best = tmp_path / "best"
    rows = json.loads(
        run("rank", photos, "--top", 10, "--copy-best", best, "--format", "json").stdout
    )
    for row in rows:
        copy = best / f"{row['rank']:02}_{Path(row['source']).name}"
        assert not copy.is_symlink()
        assert copy.read_bytes() == Path(row["source"]).read_bytes()
    assert len(list(best.iterdir())) == 10


def test_link_best(run, photos, tmp_path):
    best = tmp_path / "best"
    run("rank", photos, "--top", 2, "--copy-best", best, "--link")
    assert all(link.is_symlink() and link.resolve().is_file() for link in best.iterdir())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--copy-best", "{tmp}/best"], "--top or --min-score"),
        (["--top", "1", "--copy-best", "{photos}"], "is not empty"),
        (["--top", "1", "--link"], "--copy-best"),
        (["-o", "{tmp}/out.txt"], ".parquet"),
        (["-o", "{tmp}/missing/out.json"], "cannot write"),
        (["--html", "{tmp}/missing/out.html"], "cannot write"),
        (["--format", "table", "-o", "{tmp}/out.json"], "table"),
        (["--format", "xml"], "xml"),
        (["--header", "nonsense"], "NAME:VALUE"),
        (["--certificate", "{photos}/01.jpg"], "--key"),
        (["--resume", "{tmp}/out.csv"], "only .jsonl and .parquet"),
        (["--resume", "{photos}/notes.txt"], "notes.txt"),
        (["--local", "--token", "secret"], "token"),
    ],
)
def test_wrong_usage_says_what_is_wrong(run, photos, tmp_path, arguments, message):
    given = [argument.format(tmp=tmp_path, photos=photos) for argument in arguments]
    # Known before anything is scored: that would be the end with 3.
    error = run("rank", photos, *given, "--url", "127.0.0.1:1", code=2).stderr
    assert message in error.replace("\n", " ")


def test_no_path_is_wrong_usage(run):
    assert "PATH" in run("rank", code=2).stderr


def test_no_photos_is_no_failure(run, tmp_path):
    (tmp_path / "empty").mkdir()
    result = run("score", tmp_path / "empty", "--format", "json")
    assert json.loads(result.stdout) == []
    assert "no photos found" in result.stderr


@pytest.mark.parametrize("command", ["score", "rank", "groups"])
def test_no_server(run, photos, tmp_path, command):
    kept = tmp_path / "kept.json"
    kept.write_text("earlier results")
    result = run(command, photos, "--url", "127.0.0.1:1", "-o", kept, code=3)
    assert "127.0.0.1:1" in result.stderr
    assert "iq-client serve" in result.stderr
    assert kept.read_text() == "earlier results"


@pytest.mark.parametrize("ending", ["jsonl", "parquet"])
def test_resume_scores_only_what_is_new(run, photos, tmp_path, ending):
    kept = tmp_path / f"kept.{ending}"
    some = [photos / "01.jpg", photos / "04.jpg"]
    run("score", *some, "gone.jpg", "--resume", kept, code=1)
    assert [score.source for score in read_scores(kept)] == [str(path) for path in some]
    whole = run("score", photos, "--format", "json").stdout
    # What is kept is taken as it is, even where the file would now be scored otherwise.
    (photos / "01.jpg").write_bytes(b"changed")
    again = run("score", photos, "--resume", kept, "--format", "json").stdout
    assert json.loads(again) == json.loads(whole)
    assert len(list(read_scores(kept))) == 12
    unchanged = kept.stat().st_size
    run("rank", photos, "--resume", kept)
    assert len(list(read_scores(kept))) == 12
    assert kept.stat().st_size == unchanged


def test_resume_after_a_line_was_cut_off(run, photos, tmp_path):
    kept = tmp_path / "kept.jsonl"
    run("score", photos, "--resume", kept)
    whole = kept.read_bytes()
    kept.write_bytes(whole[:-20])
    run("score", photos, "--resume", kept)
    assert kept.read_bytes() == whole


def test_resume_in_the_middle_keeps_the_order(run, photos, tmp_path):
    kept = tmp_path / "kept.jsonl"
    run("score", photos / "04.jpg", photos / "deeper", "--resume", kept)
    rows = json.loads(
        run("score", photos, "--resume", kept, "--batch-size", 2, "--format", "json").stdout
    )
    plain = json.loads(run("score", photos, "--format", "json").stdout)
    assert rows == plain


def test_the_gallery_of_a_ranking(run, photos, tmp_path):
    run("rank", photos, "--html", tmp_path / "out.html")
    assert "Photos by quality" in (tmp_path / "out.html").read_text()


def test_the_gallery_shows_what_came_from_a_url(run, tmp_path):
    served = tmp_path / "served"
    served.mkdir()
    Image.new("RGB", (30, 20)).save(served / "a.png")
    handler = functools.partial(SimpleHTTPRequestHandler, directory=served)
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever).start()
        url = f"http://127.0.0.1:{server.server_port}/a.png"
        run("rank", url, "--allow-urls", "--html", tmp_path / "out.html")
        server.shutdown()
    page = (tmp_path / "out.html").read_text()
    assert url in page
    assert "data:image/webp;base64," in page


def test_groups(run, tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    random = np.random.default_rng(0)
    for name in "ab":
        blocks = Image.fromarray(random.integers(0, 256, (5, 8, 3), np.uint8))
        image = blocks.resize((320, 200), Image.Resampling.BICUBIC)
        image.save(folder / f"{name}1.jpg", quality=95)
        image.save(folder / f"{name}2.jpg", quality=60)
    out = tmp_path / "best"
    rows = json.loads(run("groups", folder, "--copy-best", out, "--format", "json").stdout)
    together = {}
    for row in rows:
        together.setdefault(row["group"], []).append(Path(row["source"]).name)
    assert sorted(sorted(names) for names in together.values()) == [
        ["a1.jpg", "a2.jpg"],
        ["b1.jpg", "b2.jpg"],
    ]
    assert [row["rank"] for row in rows] == [1, 2, 1, 2]
    assert rows[0]["mean"] == max(row["mean"] for row in rows)
    assert len(list(out.iterdir())) == 2
    lines = run("groups", folder, "--html", tmp_path / "out.html").stdout.splitlines()
    assert lines[0].split()[0] == "group"
    assert len(lines) == 6


def test_compare(run, photos):
    a, b = photos / "01.jpg", photos / "02.jpg"
    result = json.loads(run("compare", a, b, "--format", "json").stdout)
    other = json.loads(run("compare", b, a, "--format", "json").stdout)
    assert result["probability_a_better"] + other["probability_a_better"] == pytest.approx(1)
    assert result["a"] == other["b"]
    assert re.search(r"(A|B) is better with a probability of \d+\.\d%", run("compare", a, b).stdout)
    assert "NOT_FOUND" in run("compare", a, "gone.jpg", code=1).stdout
    assert "two photos" in run("compare", a, photos, code=2).stderr


def test_info(run, stub_server):
    facts = json.loads(run("info", "--format", "json").stdout)
    assert (facts["url"], facts["model_name"]) == (stub_server.url, "nima")
    assert "2.51" in run("info").stdout


def test_doctor(run, stub_repository):
    report = run("doctor", "--model-repository", stub_repository).stdout
    assert "✗" not in report
    assert len(re.findall(r"✓ scores from", report)) == 2


def test_doctor_says_how_to_mend(run, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    report = run("doctor", "--url", "127.0.0.1:1", code=3).stdout
    assert re.search("✗ server at 127.0.0.1:1: .*iq-client serve", report)
    assert re.search("- model repository: .*IQ_MODEL_REPOSITORY", report)


def environment(**values):
    kept = {name: value for name, value in os.environ.items() if not name.startswith("IQ_")}
    return {**kept, **values}


def test_without_a_url_the_embedded_server_starts(photos, stub_repository):
    run = subprocess.run(
        [*COMMAND, "rank", str(photos), "--top", "1"],
        env=environment(IQ_MODEL_REPOSITORY=str(stub_repository)),
        capture_output=True,
        text=True,
        check=True,
    )
    assert "no --url and no IQ_URL: starting the embedded server" in run.stderr
    assert len(run.stdout.splitlines()) == 3


def test_no_repository_is_no_server(photos, tmp_path):
    run = subprocess.run(
        [*COMMAND, "rank", str(photos)],
        env=environment(),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 3
    assert "IQ_MODEL_REPOSITORY" in run.stderr
    assert "Traceback" not in run.stderr


@pytest.fixture(scope="module")
def slow_server(stub_repository):
    """A server of its own: what is left to do after Ctrl-C would hold up other tests."""
    with LocalServer(stub_repository) as server:
        yield server


@pytest.mark.parametrize("file_format", ["table", "json"])
def test_ctrl_c_writes_what_was_done(slow_server, tmp_path, file_format):
    quick = [tmp_path / f"quick {index:02}.jpg" for index in range(50)]
    slow = tmp_path / "slow.jpg"
    for path in quick:
        path.write_bytes(path.name.encode())
    slow.write_bytes(b"sleep:15:")
    kept = tmp_path / "kept.jsonl"
    process = subprocess.Popen(
        [
            *(*COMMAND, "score", *map(str, quick), str(slow), "--batch-size", "1"),
            *("--format", file_format, "--url", slow_server.url, "--resume", str(kept)),
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    while not (kept.exists() and kept.stat().st_size):  # until something was done
        assert process.poll() is None
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "interrupted" in err
    assert "Traceback" not in err
    done = [score.source for score in read_scores(kept)]
    assert done == list(map(str, quick))[: len(done)]
    assert done
    if file_format == "json":
        assert [row["source"] for row in json.loads(out)] == done
    else:
        assert [line[line.index(str(tmp_path)) :] for line in out.splitlines()[2:]] == done


def test_a_reader_that_goes_away_is_no_error(stub_server, photos):
    process = subprocess.Popen(
        [*COMMAND, "score", str(photos), "--format", "jsonl", "--url", stub_server.url],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    process.stdout.close()
    assert b"Traceback" not in process.stderr.read()
    process.wait()


def in_terminal(arguments, **values):
    """What a command writes to a terminal on stdout and stderr."""
    terminal, side = pty.openpty()
    process = subprocess.Popen(
        [*COMMAND, *arguments],
        stdin=subprocess.DEVNULL,
        stdout=side,
        stderr=side,
        env=environment(TERM="xterm-256color", COLUMNS="120", **values),
    )
    os.close(side)
    written = b""
    try:
        while block := os.read(terminal, 65536):
            written += block
    except OSError:  # the terminal's way to say that the other side is closed
        pass
    os.close(terminal)
    assert process.wait() == 0
    return written.decode()


def test_a_terminal_gets_colour_and_progress(stub_server, photos):
    arguments = ["rank", str(photos), "--url", stub_server.url, "--batch-size", "1"]
    text = in_terminal(arguments)
    assert "12/12" in text
    assert re.search(r"\d\.\d/s", text)
    assert re.search("\x1b\\[[0-9;]*3[0-9]m", text)
    plain = in_terminal(arguments, NO_COLOR="1")
    assert not re.search("\x1b\\[[0-9;]*3[0-9]m", plain)


def test_a_pipe_gets_neither(stub_server, photos):
    run = subprocess.run(
        [*COMMAND, "rank", str(photos), "--url", stub_server.url],
        capture_output=True,
        text=True,
        check=True,
    )
    assert run.stderr == ""
    assert "\x1b" not in run.stdout


@contextlib.contextmanager
def serving(repository, *arguments):
    """The lines that `serve` writes until it is ready, later ones too, and its process."""
    process = subprocess.Popen(
        [*COMMAND, "serve", "--port", "0", "--metrics-port", "0", *map(str, arguments)],
        env=environment(IQ_MODEL_REPOSITORY=str(repository)),
        stderr=subprocess.PIPE,
        text=True,
    )
    lines = []
    for line in process.stderr:
        lines.append(line)
        if line.startswith("metrics:"):  # the last one
            break
    rest = threading.Thread(target=lambda: lines.extend(process.stderr))
    rest.start()
    try:
        yield lines, process
    finally:
        process.terminate()
        process.wait()
        rest.join()


def address(lines):
    return re.search("ready: iq-client rank --url (.*) photos/", "".join(lines))[1]


def test_serve_until_a_signal(stub_repository, photos):
    with serving(stub_repository, "--http-port", "0", "-v") as (lines, process):
        result = CliRunner().invoke(cli, ["score", str(photos), "--url", address(lines)])
        assert result.exit_code == 0
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=60) == 0
    text = "".join(lines)
    assert "Started GRPCInferenceService" in text
    assert re.search(r"HTTP: http://127.0.0.1:\d+", text)
    assert "stopping" in text
    assert CliRunner().invoke(cli, ["info", "--url", address(lines)]).exit_code == 3


def test_serve_with_certificates(stub_repository, photos, tmp_path):
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    for name in ("photos.example", "client"):
        issued = authority.issue_cert(name)
        issued.cert_chain_pems[0].write_to_path(str(tmp_path / f"{name}.pem"))
        issued.private_key_pem.write_to_path(str(tmp_path / f"{name}.key"))
    ca = str(tmp_path / "ca.pem")
    server = ["--certificate", tmp_path / "photos.example.pem"]
    server += ["--key", tmp_path / "photos.example.key", "--client-ca", ca]
    with serving(stub_repository, *server) as (lines, _):
        trusting = ["score", str(photos), "--url", address(lines), "--ca", ca]
        trusting += ["--server-name", "photos.example"]
        client = ["--certificate", str(tmp_path / "client.pem")]
        client += ["--key", str(tmp_path / "client.key")]
        assert CliRunner().invoke(cli, trusting).exit_code == 3
        assert CliRunner().invoke(cli, [*trusting, *client]).exit_code == 0


def test_serve_says_why_it_does_not_start(stub_server, stub_repository):
    port = stub_server.url.rpartition(":")[2]
    result = CliRunner().invoke(
        cli, ["serve", "--port", port, "--model-repository", str(stub_repository)]
    )
    assert result.exit_code == 3
    assert "in use" in result.stderr


def test_headers_reach_the_server(stub_repository, photos):
    restricted = "inference,model-repository,health,metadata,model-config:token=secret"
    with LocalServer(
        stub_repository, extra_arguments=(f"--grpc-restricted-protocol={restricted}",)
    ) as server:
        arguments = ["score", str(photos), "--url", server.url]
        refused = CliRunner().invoke(cli, arguments)
        let_in = CliRunner().invoke(
            cli, [*arguments, "--header", "triton-grpc-protocol-token: secret"]
        )
    assert refused.exit_code == 3
    assert let_in.exit_code == 0, let_in.output


def test_a_token_is_sent_as_bearer(photos):
    seen = []

    class Listening(grpc.GenericRpcHandler):
        def service(self, call):
            seen.extend(call.invocation_metadata)

    server = grpc.server(ThreadPoolExecutor(1), handlers=[Listening()])
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    arguments = ["score", str(photos), "--url", f"127.0.0.1:{port}", "--token", "secret"]
    result = CliRunner().invoke(cli, arguments)
    server.stop(None).wait()
    assert result.exit_code == 3
    assert ("authorization", "Bearer secret") in [(name, value) for name, value in seen]
    assert "secret" not in result.output


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_shell_completion(shell):
    run = subprocess.run(
        [*COMMAND],
        env=environment(_IQ_CLIENT_COMPLETE=f"{shell}_source"),
        capture_output=True,
        text=True,
        check=True,
    )
    assert "_IQ_CLIENT_COMPLETE" in run.stdout
