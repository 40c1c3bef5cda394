"""`decoupage serve` as a program: what it refuses before it starts, that it answers, and that it ends in order."""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import httpx2
import pytest
from typer.testing import CliRunner

from commands.main import app
from decoupage.faults import BadSetup
from decoupage.requirements import install_line
from decoupage.serve.server import check_token
from tests.decoupage.serve.serving import TOKEN, photograph


@pytest.mark.parametrize("host", ["0.0.0.0", "192.168.1.5", "example.org", "::"])
def test_another_address_needs_a_token(host):
    refused = CliRunner().invoke(app, ["serve", "--host", host, "--device", "cpu"])
    assert isinstance(refused.exception, BadSetup) and "DECOUPAGE_TOKEN" in str(refused.exception)


@pytest.mark.parametrize("token", ["short", "a" * 15, "with a newline in it\n", "é" * 20])
def test_a_token_that_can_be_guessed_or_not_be_sent_is_refused(token):
    with pytest.raises(BadSetup, match="at least 16 printable ASCII") as refused:
        check_token("127.0.0.1", token, "NAME")
    assert token not in str(refused.value)


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost"])
def test_loopback_needs_none(host):
    check_token(host, None, "NAME")
    check_token("0.0.0.0", TOKEN, "NAME")


@pytest.mark.parametrize("library", ["starlette", "python_multipart"])
def test_what_is_not_installed_is_named_with_its_extra(library):
    program = f"import sys; sys.modules[{library!r}] = None; sys.argv = ['decoupage', 'serve', '--device', 'cpu']; "
    program += "from commands.main import main; main()"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 2 and "Traceback" not in done.stderr
    assert library in done.stderr and install_line("serve") in done.stderr.replace("\n", " ")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_answers_and_ends_in_order(tmp_path, number):
    photo, mask = photograph(tmp_path)
    command = [sys.executable, "-m", "commands.main", "serve", "--port", "0", "--device", "cpu"]
    environment = {**os.environ, "TMPDIR": str(tmp_path), "DECOUPAGE_TOKEN": TOKEN}
    place = Path(__file__).parents[3]
    with subprocess.Popen(
        command, cwd=place, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        address = re.search(r"http://\S+", process.stdout.readline())[0]
        files = {"image": photo.read_bytes(), "mask": mask.read_bytes()}
        known = {"Authorization": f"Bearer {TOKEN}", "Accept": "application/json"}
        assert httpx2.get(f"{address}v1/about").status_code == 401
        made = httpx2.post(f"{address}v1/decompose", files=files, headers=known, timeout=60)
        assert made.status_code == 202 and list(tmp_path.glob("decoupage-serve-*/*"))
        process.send_signal(number)
        out, err = process.communicate(timeout=60)
    assert process.returncode == (130 if number == signal.SIGINT else 143), err
    assert TOKEN not in out + err and "Traceback" not in err
    assert list(tmp_path.glob("decoupage-serve-*")) == []
