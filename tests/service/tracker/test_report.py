"""The page in a real browser at the widths of a phone and a desk, and the commands around it."""

from __future__ import annotations

import asyncio
import json
import shutil
import struct
import subprocess
from pathlib import Path

import pytest

from tests.support.chains import chain, running, snapshot_of
from tracker import files
from tracker.cli.main import answer, run
from tracker.errors import ExitCode

pytestmark = pytest.mark.service


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Six snapshots as files."""
    source = chain()
    for block in (5_000_500, 5_002_015, 5_003_001, 5_004_010, 5_004_200, 5_009_997):
        files.write(snapshot_of(source, block), tmp_path / "snapshots")
    return tmp_path / "snapshots"


@pytest.fixture
async def page(folder: Path, tmp_path: Path) -> Path:
    """A page with plots and a neuron at risk, made by the command."""
    async with running(chain()) as where:
        hotkeys = where.node.right_answer(5_009_997)[1]["uids"]
        assert isinstance(hotkeys, dict)
        options = ["--network", where.url, "--dir", str(folder), "--hotkey", hotkeys[3]]
        outputs = ["--output", str(tmp_path / "report.html"), "--plots", str(tmp_path / "plots")]
        assert await answer(["report", *options, *outputs]) == ExitCode.OK
    return tmp_path / "report.html"


def browser() -> str:
    found = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    assert found, "no Chromium on PATH: run make prerequisites"
    return found


def in_browser(tmp_path: Path, width: int, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run headless Chromium once, without any of its traffic."""
    command = [browser(), "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-component-update"]
    quiet = ["--disable-background-networking", "--disable-sync", "--disable-quic", "--enable-logging=stderr"]
    profile = [f"--user-data-dir={tmp_path}/profile{width}", f"--window-size={width},1200"]
    return subprocess.run(
        [*command, *quiet, *profile, *arguments], capture_output=True, text=True, timeout=120, check=True
    )


@pytest.mark.parametrize("width", [390, 1440])
async def test_the_page_renders_without_error_and_fits_its_width(page: Path, tmp_path: Path, width: int) -> None:
    probe = tmp_path / "probe.html"
    probe.write_text(
        f'<iframe id="f" style="width:{width}px;height:900px;border:0" src="{page.name}"></iframe><pre id="o"></pre>'
        "<script>onload=()=>{const d=document.getElementById('f').contentDocument;"
        "document.getElementById('o').textContent=JSON.stringify({over:d.documentElement.scrollWidth,"
        "svg:[...d.querySelectorAll('svg')].map(s=>s.getBoundingClientRect().width),"
        "cut:[...d.querySelectorAll('h1,h2,p,.fact,.seat,table')].filter(e=>e.getBoundingClientRect().right>"
        "d.documentElement.clientWidth+1).map(e=>e.tagName),rows:d.querySelectorAll('tbody tr').length,"
        "cards:d.querySelectorAll('.seat').length,"
        "h:[...d.querySelectorAll('h2')].map(h=>h.id)})}</script>"
    )
    ran = await asyncio.to_thread(
        in_browser, tmp_path, 1600, "--allow-file-access-from-files", "--dump-dom", probe.as_uri()
    )
    measured = json.loads(ran.stdout.split('<pre id="o">')[1].split("</pre>")[0])
    assert measured["over"] <= width
    assert measured["cut"] == []
    assert len(measured["svg"]) == 3
    assert all(200 < one <= width for one in measured["svg"])
    assert (measured["rows"], measured["cards"]) == (7, 1)
    assert measured["h"] == ["risk", "ranking", "churn", "prices", "tenure", "reading"]
    assert "CONSOLE" not in ran.stderr


@pytest.mark.parametrize("width", [390, 1440])
async def test_the_page_makes_a_picture(page: Path, tmp_path: Path, width: int) -> None:
    picture = tmp_path / f"{width}.png"
    await asyncio.to_thread(in_browser, tmp_path, width, f"--screenshot={picture}", page.as_uri())
    assert picture.read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"


async def test_the_page_is_self_contained_and_the_plots_are_pictures(page: Path, tmp_path: Path) -> None:
    text = await asyncio.to_thread(page.read_text)
    assert "src=" not in text
    assert "href=" not in text
    assert "<script" not in text
    for name in ("ranking", "prices", "tenure"):
        data = (tmp_path / "plots" / f"{name}.png").read_bytes()
        width, height = struct.unpack(">II", data[16:24])
        assert (width, height) == (1080, 600)


async def test_a_page_needs_two_snapshots(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code = await answer(["report", "--dir", str(tmp_path), "--output", str(tmp_path / "r.html")])
    assert code == ExitCode.NOT_ENOUGH_SNAPSHOTS
    assert "run `tracker snapshot`" in capsys.readouterr().err
    assert not (tmp_path / "r.html").exists()


def test_analyze_ranks_files_and_names_broken_ones(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "snapshot_broken.json").write_text("{")
    assert run(["analyze", "--dir", str(folder), "--sort-by", "changes", "--json"]) == ExitCode.OK
    shown = capsys.readouterr()
    document = json.loads(shown.out)
    assert document["snapshots"] == 6
    assert document["subnets"][0]["netuid"] == 1
    assert {row["netuid"] for row in document["subnets"]} == {1, 2, 3, 4, 5, 7}
    assert document["subnets"][0]["certainty"] == "lower bound"
    assert "snapshot_broken.json is no snapshot" in shown.err
    assert run(["analyze", "--dir", str(folder), "--top", "3"]) == ExitCode.OK
    assert "Competition by replacements" in capsys.readouterr().out


async def test_analyze_counts_exactly_when_asked(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    async with running(chain()) as where:
        options = ["--dir", str(folder), "--network", where.url, "--exact", "--json", "--first-block", "5004100"]
        assert await answer(["analyze", *options]) == ExitCode.OK
        truth = where.node.truth(5_004_200, 5_009_997)
    rows = {row["netuid"]: row for row in json.loads(capsys.readouterr().out)["subnets"]}
    assert rows[1]["certainty"] == "exact"
    assert rows[1]["registrations_exact"] == sum(row["netuid"] == 1 for row in truth)


async def test_prices_stand_beside_competition_and_dead_subnets_are_marked(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with running(chain()) as where:
        options = ["--dir", str(folder), "--network", where.url]
        assert await answer(["value", *options, "--json"]) == ExitCode.OK
        rows = {row["netuid"]: row for row in json.loads(capsys.readouterr().out)}
        assert await answer(["value", *options]) == ExitCode.OK
    assert rows[5]["is_dead"]
    assert not rows[1]["is_dead"]
    assert rows[1]["registrations_per_day"] > 100
    assert "dead" in capsys.readouterr().out


def test_compare_prints_a_table_too(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first, *_, last = sorted(folder.glob("snapshot_*.json"))
    assert run(["compare", str(first), str(last)]) == ExitCode.OK
    assert "Counts are lower bounds" in capsys.readouterr().out


def test_list_and_export(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["list", "--dir", str(folder)]) == ExitCode.OK
    assert "simulated  5009997" in capsys.readouterr().out
    assert run(["list", "--dir", str(folder), "--json"]) == ExitCode.OK
    assert len(json.loads(capsys.readouterr().out)) == 6
    target = tmp_path / "out"
    assert run(["export", "--dir", str(target), "--store", str(folder / "history.db")]) == ExitCode.OK
    assert {path.name for path in target.glob("*.json")} == {path.name for path in folder.glob("*.json")}


async def test_watch_takes_snapshots_warns_and_survives_failures(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with running(chain()) as where:
        hotkeys = where.node.right_answer(5_009_997)[3]["uids"]
        assert isinstance(hotkeys, dict)
        options = ["--network", where.url, "--dir", str(tmp_path), "--every-minutes", "0.01", "--runs", "1"]
        mine = ["--netuid", "3", "--hotkey", hotkeys[200]]
        assert await answer(["watch", *options, *mine]) == ExitCode.OK
    assert "WARNING subnet 3 uid 200: 1 of 255" in capsys.readouterr().out
    gone = ["--network", where.url, "--dir", str(tmp_path), "--every-minutes", "0.001", "--runs", "2"]
    assert await answer(["watch", *gone]) == ExitCode.OK
    assert capsys.readouterr().err.count("no endpoint answered") == 2
