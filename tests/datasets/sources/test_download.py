"""Against a local server that publishes a small database and can be made to misbehave."""

import hashlib
import json
import os
import re
import shutil
import signal
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote

import pytest
from helpers import find_shared_data

from ecglib.datasets.sources import download as module
from ecglib.datasets.sources.download import MARKER, SUMS, download, is_complete, parse_sums
from ecglib.errors import DatasetError

TREE = {f"records/{i:02d}.dat": bytes([i]) * (1000 + i) for i in range(12)}
TREE |= {"RECORDS": b"00\n01\n", "notes/a b#%.txt": b"a name to be quoted", "empty.txt": b""}


class Published:
    """A database "small" 1.0.0 on a local server.

    `requests` lists what was requested. `answers` changes what happens at a file: a function that
    is called with the handler, and answers instead of the server if it returns True.
    """

    def __init__(self, files):
        self.files = dict(files)
        self.files[SUMS] = format_sums(files)
        self.requests, self.answers, self.ranges = [], {}, True
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), make_handler(self))
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_port}/files"
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()


def format_sums(files) -> bytes:
    lines = [f"{hashlib.sha256(files[name]).hexdigest()} {name}\n" for name in sorted(files)]
    return "".join(lines).encode()


def make_handler(published):
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def do_GET(self):
            name = unquote(self.path).removeprefix("/files/small/1.0.0/")
            published.requests.append((name, self.headers.get("Range", "")))
            if published.answers.get(name, lambda handler: False)(self):
                return
            self.send(published.files.get(name))

        def send(self, content, stop=None, announce=True):
            """Answer with a file, or with its first `stop` bytes and then close the connection.

            With `announce` the length is sent first.
            """
            if content is None:
                return self.fail(404)
            first, last = re.findall(r"\d+", self.headers.get("Range", "bytes=0-9999999"))
            first, last = int(first), min(int(last), len(content) - 1)
            if published.ranges and first >= len(content):
                return self.fail(416, {"Content-Range": f"bytes */{len(content)}"})
            self.send_response(206 if published.ranges else 200)
            if published.ranges:
                self.send_header("Content-Range", f"bytes {first}-{last}/{len(content)}")
                content = content[first : last + 1]
            if announce:
                self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content[:stop])
            self.close_connection = stop is not None
            return True

        def fail(self, status, headers=()):
            self.send_response(status)
            for key, value in {"Content-Length": "0", **dict(headers)}.items():
                self.send_header(key, value)
            self.end_headers()
            return True

        def log_message(self, *args):
            pass

    return Handler


def answer_times(n, answer):
    """Give that answer `n` times, then what is published."""
    remaining = [answer] * n
    return lambda handler: bool(remaining) and remaining.pop()(handler)


@pytest.fixture
def publish(monkeypatch):
    """Start a server for these files and point wfdb to it."""
    import wfdb.io.download

    servers = []

    def start(files=TREE):
        servers.append(Published(files))
        wfdb.set_db_index_url(servers[-1].url)
        return servers[-1]

    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr(module, "PAUSE_S", 0.0)
    monkeypatch.setattr(module, "POLL_S", 0.05)
    before = wfdb.io.download.config.db_index_url
    yield start
    wfdb.set_db_index_url(before)
    for server in servers:
        server.close()


def download_small(folder, **options):
    return download("small", "1.0.0", folder, progress=False, **options)


def read_files(folder) -> dict[str, bytes]:
    """The content of each file in a folder, except the list and the marker."""
    files = [path for path in Path(folder).rglob("*") if path.is_file()]
    content = {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}
    return {name: content[name] for name in content if name not in (SUMS, MARKER)}


@pytest.mark.parametrize("ranges", [True, False])
def test_a_download_is_complete_and_a_second_call_requests_nothing(publish, tmp_path, ranges):
    server = publish()
    server.ranges = ranges
    assert download_small(tmp_path / "new" / "raw") == tmp_path / "new" / "raw"
    assert read_files(tmp_path / "new" / "raw") == TREE
    assert is_complete(tmp_path / "new" / "raw")
    assert sorted(name for name, _ in server.requests) == sorted([SUMS, *TREE])
    server.requests.clear()
    download_small(tmp_path / "new" / "raw")
    assert server.requests == []


def test_a_file_larger_than_a_piece_arrives_in_pieces(publish, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "PIECE", 100_000)
    server = publish({"large.dat": os.urandom(350_000)})
    download_small(tmp_path)
    assert read_files(tmp_path)["large.dat"] == server.files["large.dat"]
    assert [range_ for name, range_ in server.requests if name == "large.dat"][-1].startswith(
        "bytes=300000-"
    )


def test_only_wanted_files_are_downloaded_and_a_later_call_can_add_others(publish, tmp_path):
    server = publish()
    download_small(tmp_path, wanted=lambda name: name.startswith("records/0"))
    assert len(read_files(tmp_path)) == 10
    server.requests.clear()
    download_small(tmp_path)
    assert read_files(tmp_path) == TREE
    assert len(server.requests) == len(TREE) - 10
    with pytest.raises(DatasetError, match=r"None of the 15 files .* is wanted"):
        download_small(tmp_path, wanted=lambda name: name.endswith(".mat"))


def test_after_a_server_failure_verified_files_stay_and_the_next_call_resumes(publish, tmp_path):
    server = publish()
    for i in range(6, 12):
        server.answers[f"records/{i:02d}.dat"] = lambda handler: handler.fail(503)
    with pytest.raises(DatasetError, match=r"server failed: .*503.*Call again.*" + str(tmp_path)):
        download_small(tmp_path)
    assert not is_complete(tmp_path)
    present = read_files(tmp_path)
    assert present
    assert all(TREE[name] == content for name, content in present.items() if name in TREE)
    server.answers.clear()
    server.requests.clear()
    download_small(tmp_path)
    assert read_files(tmp_path) == TREE
    assert not {name for name, _ in server.requests} & {name for name in present if name in TREE}
    assert is_complete(tmp_path)


def test_after_ctrl_c_verified_files_stay_and_the_next_call_resumes(publish, tmp_path, monkeypatch):
    server = publish()
    monkeypatch.setattr(module, "MAX_EXIT_S", 0.2)
    released = threading.Event()

    def press_ctrl_c(handler):
        signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)
        released.wait(10)

    server.answers["records/08.dat"] = press_ctrl_c
    # A command that a shell starts in the background ignores Ctrl-C.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            download_small(tmp_path)
    finally:
        signal.signal(signal.SIGINT, before)
    assert not is_complete(tmp_path)
    present = read_files(tmp_path)
    assert all(TREE[name] == content for name, content in present.items() if name in TREE)
    server.answers.clear()
    released.set()
    for thread in threading.enumerate():
        if thread.name == "download small 1.0.0":
            thread.join(10)
    assert read_files(tmp_path) == present
    download_small(tmp_path)
    assert read_files(tmp_path) == TREE


def test_a_partial_file_is_resumed_or_if_it_is_wrong_downloaded_again(publish, tmp_path):
    files = {"good.dat": b"0123456789", "bad.dat": b"0123456789", "all.dat": b"0123456789"}
    server = publish(files)
    (tmp_path / ".good.dat.partial").write_bytes(b"01234")
    (tmp_path / ".bad.dat.partial").write_bytes(b"x1234")
    (tmp_path / ".all.dat.partial").write_bytes(b"0123456789")
    (tmp_path / f".{SUMS}.partial").write_bytes(b"x" * 64)
    once = answer_times(1, lambda handler: handler.send(b"damaged"))
    server.answers["bad.dat"] = lambda h: "=0-" in h.headers["Range"] and once(h)
    download_small(tmp_path)
    assert read_files(tmp_path) == files
    ranges = [
        (name, int(range_.split("=")[1].split("-")[0])) for name, range_ in server.requests[1:]
    ]
    expected = [("good.dat", 5), ("bad.dat", 5), ("bad.dat", 0), ("bad.dat", 0), ("all.dat", 10)]
    assert sorted(ranges) == sorted(expected)


def test_after_a_wrong_checksum_the_file_is_downloaded_once_more(publish, tmp_path):
    server = publish()
    server.answers["RECORDS"] = answer_times(1, lambda handler: handler.send(b"damaged"))
    download_small(tmp_path)
    assert read_files(tmp_path) == TREE
    assert [name for name, _ in server.requests].count("RECORDS") == 2


def test_a_repeated_wrong_checksum_is_an_error_with_file_and_both_checksums(publish, tmp_path):
    server = publish()
    server.answers["RECORDS"] = lambda handler: handler.send(b"damaged")
    with pytest.raises(DatasetError) as error:
        download_small(tmp_path)
    for part in ("RECORDS", b"damaged", TREE["RECORDS"]):
        part = part if isinstance(part, str) else hashlib.sha256(part).hexdigest()
        assert part in str(error.value)
    assert not (tmp_path / "RECORDS").exists()
    assert not is_complete(tmp_path)


@pytest.mark.parametrize("times", [1, 99])
def test_a_cut_off_transfer_is_never_taken_as_complete(publish, tmp_path, times):
    server = publish()
    content = TREE["records/03.dat"]
    server.answers["records/03.dat"] = answer_times(times, lambda h: h.send(content, stop=500))
    if times == 1:
        download_small(tmp_path)
        assert read_files(tmp_path) == TREE
        return
    with pytest.raises(
        DatasetError, match=r"records/03\.dat could not be downloaded in 3 attempts"
    ):
        download_small(tmp_path)
    assert not (tmp_path / "records/03.dat").exists()


@pytest.mark.parametrize("announce", [True, False])
def test_a_cut_off_list_of_checksums_is_never_taken_as_complete(publish, tmp_path, announce):
    server = publish()
    whole = server.files[SUMS]
    stops = [0, whole.index(b"\n") + 1]
    server.answers[SUMS] = answer_times(2, lambda h: h.send(whole, stops.pop(), announce))
    download_small(tmp_path)
    assert read_files(tmp_path) == TREE
    with pytest.raises(DatasetError, match="cut off after 15 files"):
        parse_sums(whole.decode()[:-1])


def test_a_listed_file_that_is_not_on_the_server_is_named(publish, tmp_path):
    server = publish()
    del server.files["RECORDS"]
    with pytest.raises(DatasetError, match=r"RECORDS is listed in .* but there is no http"):
        download_small(tmp_path)


def test_a_missing_or_protected_database_is_an_error(publish, tmp_path):
    server = publish()
    with pytest.raises(DatasetError, match=r"Check name and version .*'smal 1\.0\.0'"):
        download("smal", "1.0.0", tmp_path, progress=False)
    server.answers["RECORDS"] = lambda handler: handler.fail(403)
    with pytest.raises(DatasetError, match="signed agreement"):
        download_small(tmp_path)


@pytest.mark.parametrize(
    "name",
    ["../x", "a/../../x", "/etc/x", "..", "C:\\x", "a\\..\\..\\x", "a\0b", MARKER, f"./{SUMS}"],
)
def test_a_list_cannot_name_files_outside_the_folder(publish, tmp_path, name):
    publish({"RECORDS": b"", name: b"x"})
    with pytest.raises(DatasetError, match="expected names of files below the folder"):
        download_small(tmp_path / "a" / "b")
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_an_answer_that_is_not_a_list_of_checksums_is_not_stored(publish, tmp_path):
    server = publish()
    server.answers[SUMS] = answer_times(1, lambda handler: handler.send(b"<html>log in</html>\n"))
    with pytest.raises(DatasetError, match=r"Line 1 of SHA256SUMS.txt is '<html>log in"):
        download_small(tmp_path)
    download_small(tmp_path)
    assert read_files(tmp_path) == TREE


def test_a_list_with_two_checksums_for_one_name_is_refused():
    text = f"{'0' * 64} *a\n{'0' * 64}  ./a\n\n"
    assert parse_sums(text) == {"a": "0" * 64}
    with pytest.raises(DatasetError, match="'a' twice"):
        parse_sums(text + f"{'1' * 64} a\n")


def _remove(path):
    path.unlink()


def _shorten(path):
    before_ns = path.stat().st_mtime_ns
    path.write_bytes(path.read_bytes()[:-1])
    os.utime(path, ns=(before_ns, before_ns))


def _change(path):
    path.write_bytes(b"x" + path.read_bytes()[1:])
    later_ns = path.stat().st_mtime_ns + 10**9
    os.utime(path, ns=(later_ns, later_ns))


@pytest.mark.parametrize("damage", [_remove, _shorten, _change])
def test_a_file_that_is_damaged_later_is_downloaded_again(publish, tmp_path, damage):
    server = publish()
    download_small(tmp_path)
    damage(tmp_path / "records/05.dat")
    server.requests.clear()
    download_small(tmp_path)
    assert read_files(tmp_path) == TREE
    assert [name for name, _ in server.requests] == ["records/05.dat"]


def test_a_folder_filled_by_other_means_is_checked_and_needs_no_network(publish, tmp_path):
    server = publish()
    server.close()
    for name, content in server.files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(content)
    assert not is_complete(tmp_path)
    download_small(tmp_path)
    assert is_complete(tmp_path)
    assert server.requests == []


def test_without_a_network_the_error_names_the_folder(publish, tmp_path):
    publish().close()
    with pytest.raises(DatasetError, match=rf"No network.* by other means .* {tmp_path}\."):
        download_small(tmp_path)
    assert not is_complete(tmp_path)


def test_a_silent_server_is_given_up(publish, tmp_path, monkeypatch):
    server = publish()
    released = threading.Event()
    monkeypatch.setattr(module, "MAX_SILENCE_S", 0.3)
    monkeypatch.setattr(module, "MAX_EXIT_S", 0.1)
    for name in TREE:
        server.answers[name] = lambda handler: released.wait(10) and False
    with pytest.raises(DatasetError, match=r"Nothing has come from .* for 0\.3 s"):
        download_small(tmp_path)
    server.answers.clear()
    download_small(tmp_path)  # while the old connections still hang
    assert read_files(tmp_path) == TREE
    released.set()


def test_a_slow_server_is_not_given_up(publish, tmp_path, monkeypatch):
    server = publish()
    monkeypatch.setattr(module, "MAX_SILENCE_S", 1.0)
    monkeypatch.setattr(module, "N_THREADS", 1)
    for i in range(8):
        server.answers[f"records/{i:02d}.dat"] = lambda handler: time.sleep(0.2)
    download_small(tmp_path)
    assert read_files(tmp_path) == TREE


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full on this system")
def test_a_full_disk_is_an_error_and_downloaded_files_stay(publish, tmp_path):
    publish()
    download_small(tmp_path, wanted=lambda name: name == "RECORDS")
    (tmp_path / "records").mkdir()
    (tmp_path / "records/.07.dat.partial").symlink_to("/dev/full")
    with pytest.raises(DatasetError, match=r"could not be written.*No space left.*Free some space"):
        download_small(tmp_path)
    assert not is_complete(tmp_path)
    assert not (tmp_path / "records/07.dat").exists()
    assert (tmp_path / "RECORDS").read_bytes() == TREE["RECORDS"]
    (tmp_path / "records/.07.dat.partial").unlink()
    download_small(tmp_path)
    assert read_files(tmp_path) == TREE


def test_a_folder_of_another_database_is_refused(publish, tmp_path):
    publish()
    download_small(tmp_path)
    with pytest.raises(DatasetError, match=r"holds small 1\.0\.0, not small 1\.0\.1"):
        download("small", "1.0.1", tmp_path, progress=False)
    assert read_files(tmp_path) == TREE


def test_two_downloads_to_one_folder_do_not_mix(publish, tmp_path):
    server = publish()
    arrived, released = threading.Event(), threading.Event()

    def hold(handler):
        arrived.set()
        return released.wait(10) and False

    server.answers["RECORDS"] = hold
    first = threading.Thread(target=download_small, args=(tmp_path,))
    first.start()
    assert arrived.wait(10)
    with pytest.raises(DatasetError, match="Another process is downloading"):
        download_small(tmp_path)
    released.set()
    first.join()
    assert read_files(tmp_path) == TREE


@pytest.mark.parametrize(
    "content", ["", "[]", "null", '{"complete": "yes"}', '{"complete": false}']
)
def test_only_the_marker_of_a_finished_download_counts(tmp_path, content):
    assert not is_complete(tmp_path / "none")
    (tmp_path / MARKER).write_text(content)
    assert not is_complete(tmp_path)


def test_the_marker_describes_the_folder(publish, tmp_path):
    publish()
    download_small(tmp_path)
    marker = json.loads((tmp_path / MARKER).read_text())
    found = [marker[key] for key in ("database", "version", "complete", "n_files", "n_bytes")]
    assert found == ["small", "1.0.0", True, len(TREE), sum(map(len, TREE.values()))]


def test_the_mit_bih_database_is_downloaded_bit_by_bit(publish, tmp_path):
    folder = find_shared_data("mitdb")
    sums = parse_sums((folder / SUMS).read_text())
    present = {name: (folder / name).read_bytes() for name in sums if (folder / name).is_file()}
    server = publish(present)
    server.files[SUMS] = (folder / SUMS).read_bytes()
    download_small(tmp_path, wanted=present.__contains__)
    assert len(present) == 147
    assert read_files(tmp_path) == present
    assert (tmp_path / SUMS).read_bytes() == server.files[SUMS]
    shutil.rmtree(tmp_path)  # 91 MB
