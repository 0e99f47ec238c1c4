# SPDX-License-Identifier: BSD-2-Clause
"""fluxpin(8) is well-formed and has every command, option, key and drop reason; so has the table of
packets in architecture.md, which the page takes over."""

import os
import pathlib
import re
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
FLUXPIN = os.environ.get("FLUXPIN", str(ROOT / "build/dev/src/cli/fluxpin"))
PAGE = pathlib.Path(FLUXPIN).parents[2] / "docs/fluxpin.8"
sys.path.append(str(ROOT / "docs"))

import man  # noqa: E402

ARCHITECTURE = (ROOT / "docs/architecture.md").read_text()
VERDICTS = (ROOT / "include/fluxpin/verdict.h").read_text()
TEMPLATE = (ROOT / "docs/fluxpin.8.in").read_text()
COMMANDS = re.findall(r'^\t\{ "(\w+)", command_\w+,', (ROOT / "src/cli/main.c").read_text(), re.M)


def rendered(page=PAGE):
    done = subprocess.run(["mandoc", "-Tascii", "-Owidth=200", str(page)], capture_output=True, text=True,
                          check=True)
    return re.sub(".\b", "", done.stdout)


@pytest.fixture(scope="module", name="sections")
def sections_of_the_page():
    """{heading: its text}; subsections by themselves, too."""
    found, text = {}, rendered()
    for pattern in (r"^([A-Z][A-Z ]+)$", r"^   (\S.*)$"):
        pieces = re.split(pattern, text, flags=re.M)
        # Commands come before the keys of the configuration, of which some have the same names.
        found = dict(zip(reversed(pieces[1::2]), reversed(pieces[2::2]))) | found
    return found


def labels():
    return [label for label, _ in man.reason_rows(VERDICTS)]


def given():
    """The reasons that some code gives."""
    sources = "".join(path.read_text() for path in (ROOT / "src").rglob("*.c")
                      if path.name != "verdict.c")
    identifiers = dict(re.findall(r'X\((\w+),\s*"(\w+)"', re.sub(r"\\\n", "", VERDICTS)))
    return [label for identifier, label in identifiers.items()
            if re.search(rf"\bDROP_{identifier}\b", sources)]


def table_reasons():
    return [reason for row in man.packet_rows(ARCHITECTURE)[1:]
            for reason in re.findall(r"`(\w+)`", row[2])]


def test_lint():
    done = subprocess.run(["mandoc", "-Tlint", "-Wwarning", str(PAGE)], capture_output=True, text=True,
                          check=False)
    assert (done.returncode, done.stdout) == (0, "")


def test_it_is_up_to_date():
    version = re.search(r"VERSION (\S+) LANG", (ROOT / "CMakeLists.txt").read_text())[1]
    assert PAGE.read_text() == man.page(ARCHITECTURE, VERDICTS, TEMPLATE, version)
    assert not re.search(r"@[A-Z]+@", PAGE.read_text())


def test_lines_fit_a_terminal():
    done = subprocess.run(["mandoc", "-Tascii", str(PAGE)], capture_output=True, text=True, check=True)
    assert not [line for line in re.sub(".\b", "", done.stdout).splitlines() if len(line) > 80]


def test_table_names_every_reason_as_labelled():
    assert given() and set(given()) - set(table_reasons()) == set()
    assert set(table_reasons()) - set(labels()) == set()


def test_every_drop_of_the_table_has_a_reason():
    for packet, what, reason in man.packet_rows(ARCHITECTURE)[1:]:
        if what.startswith("dropped"):
            assert re.search(r"`\w+`", reason), packet


def test_page_has_packets_and_reasons(sections):
    text = " ".join(sections["PACKETS"].split())
    assert len(labels()) == VERDICTS.count("\tX(") > 0
    for label, explanation in man.reason_rows(VERDICTS):
        assert re.search(rf"\b{label}\b", text), label
        assert explanation in text, explanation
    # Cells of several lines are mixed with those beside them: every word of each is there.
    words = set(re.split(r"\s+", sections["PACKETS"]))
    for row in man.packet_rows(ARCHITECTURE):
        for word in " ".join(row).replace("`", "").split():
            assert word in words, word


@pytest.mark.parametrize("command", COMMANDS)
def test_commands_and_options(sections, command):
    text = sections[command]
    help_text = subprocess.run([FLUXPIN, command, "--help"], capture_output=True, text=True, check=False)
    # "-c, --config FILE", "--json", "[-w OUT.pcap]" and the like.
    options = set(re.findall(r"(?<![\w-])(-\w|--[\w-]+)(?![\w-])", help_text.stdout)) - {"-h", "--help"}
    assert options or command == "version"
    for option in options:
        assert re.search(rf"(?<![\w-]){option}(?![\w-])", text), option
    said = set(re.findall(r"^ +(--?[\w-]+)", text, re.M)) | set(
        re.findall(r"^ +-\w, (--[\w-]+)", text, re.M))
    # The long names of what --help shows short.
    assert {each for each in said if each not in options} <= {"--interface"}


def test_help_lists_these_commands():
    done = subprocess.run([FLUXPIN, "--help"], capture_output=True, text=True, check=False)
    assert re.findall(r"^  (\w+) ", done.stdout, re.M) == COMMANDS
    assert len(COMMANDS) >= 6


def keys_of_the_code():
    return {key for path in (ROOT / "src/control").glob("configuration_*.c")
            for key in re.findall(r'\{\s*"(\w+)",\s*KEY_', path.read_text())}


def test_every_key_is_in_the_configuration_as_json():
    """Else `fluxpin diff` and `reload` would not see a change of it."""
    text = (ROOT / "src/control/configuration_json.c").read_text()
    assert not [key for key in keys_of_the_code() if f'"{key}"' not in text]


def keys_of_the_page():
    """Of the template's lists, and the names of subsections."""
    part = TEMPLATE[TEMPLATE.index(".Sh CONFIGURATION") : TEMPLATE.index(".Sh PACKETS")]
    return {key for line in re.findall(r"^\.It (Ic .*)$", part, re.M) for key in re.findall(r"Ic (\w+)", line)}


def test_configuration_keys():
    assert len(keys_of_the_code()) > 35
    assert keys_of_the_page() == keys_of_the_code()


def test_signals_and_exit_status(sections):
    for word in ("SIGHUP", "SIGTERM", "SIGINT"):
        assert word in sections["SIGNALS"]
    statuses = re.findall(r"^\s*EXIT_\w+ = (\d)", (ROOT / "src/cli/commands.h").read_text(), re.M)
    assert re.findall(r"^ +(\d)  ", sections["EXIT STATUS"], re.M) == statuses


def test_the_generator_refuses_what_it_does_not_understand():
    for markdown in ("", "| packet | what |\n|---|---|\n", "text\n| packet | a | b |\n"):
        with pytest.raises(SystemExit):
            man.page(markdown, VERDICTS, TEMPLATE, "1")
    with pytest.raises(SystemExit):
        man.page("| packet | a | b |\n|---|---|---|\n| too | few |\n", VERDICTS, TEMPLATE, "1")
    with pytest.raises(SystemExit):
        man.page(ARCHITECTURE, "", TEMPLATE, "1")


def test_nothing_in_a_cell_is_a_request(tmp_path):
    table = "| packet | a | b |\n|---|---|---|\n| .Sh X\\fB | 'sp `-x` | [text](link.md) |\n"
    path = tmp_path / "page.8"
    path.write_text(man.page(table, VERDICTS, TEMPLATE, "1"))
    text = rendered(path)
    for words in (".Sh X\\fB", "'sp -x", "text"):
        assert words in text
    assert "link.md" not in text
