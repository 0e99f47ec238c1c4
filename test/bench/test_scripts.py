# SPDX-License-Identifier: BSD-2-Clause
"""The scripts around fluxpin-bench: what callgrind's file is read as, what documents are made of
results, and that packets add up. With small numbers of everything."""

import importlib.machinery
import importlib.util
import json
import os
import pathlib
import random
import re
import subprocess
import sys
import xml.etree.ElementTree

import pytest

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[1]
sys.path.append(str(HERE))

import paper  # noqa: E402
import plot  # noqa: E402
import scripts  # noqa: E402


def load(name):
    """A script without a suffix, as a module."""
    loader = importlib.machinery.SourceFileLoader(name, str(HERE / name))
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader(name, loader))
    loader.exec_module(module)
    return module


callgrind, run, busy_poll, ipvs = (load(each) for each in ("callgrind", "run", "busy_poll", "ipvs"))


def test_profiles_count_lines_themselves():
    text = "\n".join(["positions: line", "events: Ir", "", "fl=/a.c", "fn=outer", "10 5", "11 7",
                      "cfi=/b.c", "cfn=called", "calls=3 20", "11 900", "fi=/a.h", "4 2", "fe=/a.c",
                      "10 1", "", "fl=/b.c", "fn=called", "20 900", "", "totals: 915"])
    assert callgrind.read_profile(text) == {("/a.c", 10): 6, ("/a.c", 11): 7, ("/a.h", 4): 2,
                                            ("/b.c", 20): 900}


def test_definitions_of_the_house_style():
    text = """/* a comment (with
words) */
static int one(int a)
{
}

struct thing {
	int (*call)(int);
};

static inline __attribute__((always_inline)) bool two(struct packet *packet,
						      int b)
{
}
/* three(): */
int three(void);

void
four (void)
{
}
"""
    assert callgrind.definitions(text) == [(3, "one"), (11, "two"), (18, "four")]


def test_every_function_of_the_pipeline_is_found():
    for path in (ROOT / "src/dataplane").glob("pipeline*.c"):
        names = {name for _, name in callgrind.definitions(path.read_text())}
        assert len(names) == path.read_text().count("\n{\n"), path
        assert not names & {"if", "for", "while", "switch"}


def test_callgrind_repeats_itself():
    command = [HERE / "callgrind", "--lines", "3", "--capacity", "16384"]
    environment = {"PATH": "/usr/bin:/bin",
                   "FLUXPIN_BENCH": str(ROOT / "build/dev/test/bench/fluxpin-bench")}
    first, second = (subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
                     for _ in range(2))
    assert first.stdout == second.stdout
    total = re.match(r" *([\d.]+) instructions per packet, and ([\d.]+) of the port\n", first.stdout)
    assert float(total[1]) > 50 and float(total[2]) > 10
    listed = re.findall(r"^ *([\d.]+)  (\w+) +(\S+)$", first.stdout, re.M)
    names = {name for _, name, _ in listed}
    assert "workload_render" in names and sum(name.startswith("pipeline_") for name in names) > 1
    assert sum(float(cost) for cost, _, _ in listed) == pytest.approx(
        float(total[1]) + float(total[2]), rel=0.1)  # small ones are not listed
    refused = subprocess.run([*command, "--mix", "nothing"], env=environment, capture_output=True,
                             text=True, check=False)
    assert refused.returncode == 1 and "nothing" in refused.stderr and refused.stdout == ""


def forward(*arguments):
    """What test/bench/forward finds in a round of 0.1 s on veth."""
    if os.geteuid() != 0:
        pytest.skip("makes network namespaces, which needs root")
    programs = {"FLUXPIN": "src/cli/fluxpin", "FLUXPIN_BENCH": "test/bench/fluxpin-bench"}
    environment = {name: str(ROOT / "build/dev" / path) for name, path in programs.items()}
    done = subprocess.run(
        [HERE / "forward", "--rounds", "1", "--seconds", "0.1", "--warm-up", "0.1", "--json",
         *arguments],
        env=os.environ | environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture(scope="module", name="forwarded")
def forwarded_packets():
    return forward("--flows", "1,5000", "--loads", "50")


def test_forwarded_packets_add_up(forwarded):
    (rates,), (delays,) = (forwarded["all"][each] for each in ("throughput", "latency"))
    for name in ("fluxpin", "echo", "kernel"):
        form = "gre" if name == "fluxpin" else "plain"
        for each in [*rates[name].values(), *delays[name].values()]:
            # The sender's count and the receiver's: nothing comes twice, or from elsewhere.
            assert each["sent"] >= each["received"] == each["received_as"][form] > 0
            # 60 bytes in memory, and the outer IPv4 and GRE headers.
            assert each["received_bytes"] == each["received"] * (84 if form == "gre" else 60)
            assert each["pps"] > 0 and each["offered_pps"] > 0
        for each in rates[name].values():
            assert each["latency_ns"] is None
        for each in delays[name].values():
            latency = each["latency_ns"]
            assert 0 < latency["p50"] <= latency["p99"] <= latency["p99.9"] <= latency["max"]
            assert latency["count"] <= each["received"]
            assert latency["max"] < 60e9  # not the clock itself


def test_ratios_of_forwarded_packets(forwarded):
    (rates,) = forwarded["all"]["throughput"]
    assert list(forwarded["throughput"]) == ["1", "5000"]
    for flows, line in forwarded["throughput"].items():
        for name in ("echo", "kernel"):
            ratio = rates["fluxpin"][flows]["pps"] / rates[name][flows]["pps"]
            assert line["ratio"][name]["median"] == pytest.approx(ratio)
    assert list(forwarded["latency_us"]) == [
        f"{flows} flows at 50 %" for flows in (1, 5000)]


@pytest.mark.parametrize("count, beyond", [(1, None), (5, None), (6, 0), (8, 0), (9, 1), (15, 3),
                                           (25, 7), (41, 13)])
def test_between_what_a_median_lies(count, beyond):
    """As tables of the sign test have it: so many values are left out at either end."""
    found = scripts.spread(random.sample(range(count), count))
    assert (found["median"], found["min"], found["max"]) == ((count - 1) / 2, 0, count - 1)
    assert found["interval"] == (None if beyond is None else [beyond, count - 1 - beyond])


def test_no_packet_is_lost_in_a_window():
    """Fewer packets than any ring holds are under way at a time."""
    (rates,) = forward("--flows", "100", "--loads", "", "--window", "32")["all"]["throughput"]
    for name in ("fluxpin", "echo", "kernel"):
        each = rates[name]["100"]
        assert each["sent"] == each["received"] > 32 and each["lost"] == 0, each


def test_the_echo_sends_by_as_many_calls_as_fluxpin(monkeypatch):
    """Not by more, which would flatter fluxpin: by default a call takes what one of fluxpin's does
    (PORT_MOST_FRAMES), or the whole of a TX ring that is smaller."""
    if os.geteuid() != 0:
        pytest.skip("makes network namespaces, which needs root")
    import forwarders  # and with it the path of the lab

    import namespaces

    most = int(re.search(r"^#define PORT_MOST_FRAMES \((\d+) \* PORT_BATCH\)$",
                         (ROOT / "include/fluxpin/port.h").read_text(), re.M)[1]) * 64
    monkeypatch.setattr(forwarders, "BENCH", ROOT / "build/dev/test/bench/fluxpin-bench")
    for more, budget in (([], most), (["--frames", 1024], 256), (["--budget", 64], 64)):
        with forwarders.Wire("veth") as each:
            echo = forwarders.Echo(each, "copy")
            echo.more = more
            with echo:
                assert each.traffic(10, 0.05, window=32)["lost"] == 0
            assert echo.totals["budget"] == (budget if namespaces.KERNEL >= (6, 17) else 32), more


def test_versions_are_flooded_in_turn():
    if os.geteuid() != 0:
        pytest.skip("makes network namespaces, which needs root")
    program = ROOT / "build/dev/src/cli/fluxpin"
    done = subprocess.run([HERE / "versions", program, program, "--rounds", "1", "--seconds", "1"],
                          capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found = re.findall(r"^(\w+) +(\d+) packets/s +\d+ ns of CPU a packet$", done.stdout, re.M)
    assert [name for name, _ in found] == ["before", "after"]
    assert all(int(rate) > 0 for _, rate in found), done.stdout


@pytest.fixture(scope="module", name="results")
def made_up_results():
    """As test/bench/run would have them."""
    statistics = {"median": 20.25, "min": 19.5, "max": 31}
    line = {"floor_ns": statistics, "ns_per_packet": statistics, "net_ns_per_packet": statistics,
            "mpps": 33.3, "bytes_per_tracked_flow": 16, "connection_pages": "2 MB",
            "tracked_flows": 3900000, "hit_share": 0.975, "repetitions": 51}
    results = {"pipeline": {name: line for name, *_ in run.PIPELINE}}
    results["maglev"] = {
        str(size): {str(k): {"build_ms": statistics, "max_over_average": 1.0071,
                             "min_over_average": 0.9918, "changed_share": 0.01 + k / 1000,
                             "runs": 7}
                    for k in paper.REMOVED} for size in paper.SIZES}
    results["survive"] = {
        str(size): {str(k): {"broken_share": 0.0123, "broken_share_tracked": 0.0}
                    for k in paper.REMOVED} for size in paper.SIZES}
    return json.loads(json.dumps(results))


def test_tables_of_busy_polling(capsys):
    """Ratios are of one round, and there is none to nothing; without a rate, no latency."""
    def one(way, factor):
        found = {"pps": 1000.0 * factor, "interrupts": 50 if way == busy_poll.WAYS[0] else 5,
                 "received": 100, "sent": 200, "lost": 100, "cpu": 0.5,
                 "latency_ns": {"p50": 4000, "p99": 9000}}
        return {"idle": {"interrupts": 3, "cpu": 1.0 if way == "polling" else 0.0},
                "full": found | {"latency_ns": None}, "10 %": found}

    rounds = [{way: one(way, factor * (2 if way == "deferred" else 1)) for way in busy_poll.WAYS}
              for factor in (1, 5, 3)]
    tables = busy_poll.tables({"rounds": rounds})
    assert tables["full"]["packets/s"]["deferred"] == (6000.0, 2.0)
    assert tables["full"]["interrupts a packet"]["polling"] == (0.05, 0.1)
    assert tables["idle"]["CPU"]["polling"] == (1.0, None)
    assert "p50 us" not in tables["full"] and tables["10 %"]["p99 us"]["polling"] == (9.0, 1.0)
    busy_poll.print_tables({"rounds": rounds, "driver": "virtio_net", "kernel": "7.3", "seconds": 1,
                            "rates": {"full": 0, "10 %": 100}})
    assert "10 %: 100 packets/s" in capsys.readouterr().out


def test_the_section_has_every_line(results, tmp_path):
    document = tmp_path / "performance.md"
    document.write_text(f"before\n{run.BEGIN}\nold\n{run.END}\nafter\n")
    for _ in range(2):  # once more over itself
        run.replace(document, run.section(results, ("- about",)))
    text = document.read_text()
    assert text.startswith(f"before\n{run.BEGIN}\n") and text.endswith(f"{run.END}\nafter\n")
    assert "old" not in text
    for name, _, goal, other in run.PIPELINE:
        cells = next(line for line in text.splitlines() if line.startswith(f"| {name} |")).split("|")
        assert [cell.strip() for cell in cells[2:5]] == ["**20.2**", "19.5", "31.0"]
        assert [cell.strip() for cell in cells[7:9]] == [goal, other]
    for table in text.split("\n\n"):
        rows = [line.count("|") for line in table.splitlines() if line.startswith("|")]
        assert len(set(rows)) <= 1, table
    assert text.count("(maglev-evenness.svg)") == text.count("(maglev-disruption.svg)") == 1


def test_a_document_without_markers(tmp_path):
    document = tmp_path / "other.md"
    document.write_text("text\n")
    with pytest.raises(SystemExit):
        run.replace(document, "new")
    assert document.read_text() == "text\n"


def test_pictures_are_well_formed_and_show_every_point(results, tmp_path):
    plot.draw(results, tmp_path)
    counts = {}
    for name in ("maglev-evenness", "maglev-disruption"):
        root = xml.etree.ElementTree.parse(tmp_path / f"{name}.svg").getroot()
        width, height = int(root.get("width")), int(root.get("height"))
        for shape in root.iter():
            tag = shape.tag.rpartition("}")[2]
            counts[name, tag] = counts.get((name, tag), 0) + 1
            for field, most in (("x", width), ("cx", width), ("x2", width), ("y", height),
                                ("cy", height), ("y2", height)):
                assert 0 <= float(shape.get(field, 0)) <= most
    assert counts["maglev-evenness", "rect"] == 1 + 2 * 4
    assert counts["maglev-disruption", "circle"] == 2 + 2 * len(paper.REMOVED)


def test_the_document_is_of_this_script():
    """docs/performance.md has a line for everything that the script measures, and pictures."""
    text = (ROOT / "docs/performance.md").read_text()
    for name, *_ in run.PIPELINE:
        assert f"| {name} |" in text
    for picture in re.findall(r"\]\((\S+\.svg)\)", text):
        assert (ROOT / "docs" / picture).is_file()


@pytest.mark.parametrize("arguments", [
    ["--queues", "3"], ["--rates", "0"], ["--rates", "x"], ["--flows", ""], ["--rounds", "0"],
    ["--seconds", "0"], ["--http-rate", "0"], ["--usecs", "-1"],
    ["--usecs", "0", "--driver", "virtio_net"], ["--driver", "veth"], ["--tunnel", "gue"], ["more"]])
def test_wrong_usage_of_ipvs(arguments):
    done = subprocess.run([HERE / "ipvs", *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 2 and "usage: ipvs" in done.stderr and done.stdout == ""


def side_by_side_result(factor):
    """As test/bench/ipvs has it of one load balancer in one round."""

    def packets(pps):
        return {"pps": pps, "sent": 110, "lost": 10,
                "latency_ns": {which: 1000 * factor for which in ipvs.PERCENTILES}}

    def requests(rate):
        return {"rate": rate, "requests_per_second": 30 * factor,
                "latency_us": {which: 4 * factor for which in ipvs.PERCENTILES}}

    return {"saturation": {"1": packets(100 * factor), "10": packets(200 * factor)},
            "rate": {"5": packets(5)},
            "http": {"rate": requests(50.0), "saturation": requests(0.0)}}


def test_ratios_side_by_side(capsys):
    found = [{"fluxpin": side_by_side_result(factor), "ipvs": side_by_side_result(2)}
             for factor in (1, 8, 4)]
    _, options = ipvs.parse(["--rounds", "3", "--flows", "1,10", "--rates", "5"])
    result = json.loads(json.dumps(ipvs.summarise(options, found)))
    assert len(result["lines"]) == 2 + 3 + 3 + 1 + 3
    for line in result["lines"]:
        assert line["ratio"] == {"median": 2, "min": 0.5, "max": 4, "interval": None}, line
    assert [line["fluxpin"]["median"] for line in result["lines"][:3]] == [400, 800, 4]
    assert result["lost"] == {"5": {"fluxpin": {"lost": 30, "sent": 330},
                                    "ipvs": {"lost": 30, "sent": 330}}}
    ipvs.print_table(result)
    printed = capsys.readouterr().out
    rows = [line for line in printed.splitlines() if line.startswith("|")]
    assert len(rows) == 2 + len(result["lines"]) and {row.count("|") for row in rows} == {6}
    assert "| HTTP at 50 requests/s, p99 | us | 16 | 8 | **2.00** (0.50 to 4.00) |" in rows
    assert "at 5 packets/s fluxpin lost 30 of 330, ipvs lost 30 of 330" in printed
