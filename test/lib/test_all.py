# SPDX-License-Identifier: BSD-2-Clause
"""The runner itself: whatever goes wrong in a step is counted, and nothing is lost."""

import importlib.machinery
import importlib.util
import os
import shutil
import stat
import subprocess
import sys
import types

import pytest

import all as runner


@pytest.fixture
def root(tmp_path, monkeypatch):
    """An empty project."""
    for folder in ("test/unit", "build/dev/test/unit"):
        (tmp_path / folder).mkdir(parents=True)
    monkeypatch.setattr(runner, "ROOT", tmp_path)
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    return tmp_path


def unit_test(root, script, name="test_it"):
    """A unit test's source, and a shell script for its program."""
    (root / "test/unit" / f"{name}.c").touch()
    program = root / "build/dev/test/unit" / name
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)


def counts(step, *arguments):
    result = runner.Result()
    step(result, *arguments)
    return result.passed, result.failed, len(result.skips)


@pytest.mark.parametrize("script, expected", [
    ("echo 1..2; echo ok 1 - a; echo ok 2 - b", (2, 0, 0)),
    ("echo 1..2; echo ok 1 - a; echo not ok 2 - b; exit 1", (1, 1, 0)),
    ("echo 1..3; echo ok 1 - a; kill -SEGV $$", (1, 2, 0)),
    ("echo 1..1; echo ok 1 - a; kill -SEGV $$", (1, 1, 0)),
    ("echo 1..1; echo ok 1 - a; exit 23", (1, 1, 0)),
    ("echo 1..3; echo ok 1 - a; exit 0", (1, 2, 0)),
    ("echo 1..3; echo not ok 1 - a; exit 1", (0, 3, 0)),
    ("exit 0", (0, 1, 0)),
    ("echo 1..0", (0, 1, 0)),
    ("echo 1..2; echo 'not ok 1 # SKIP a'; echo ok 2 - b", (1, 0, 1)),
    ("echo 1..1; echo 'ok 1 - a # SKIP'", (0, 0, 1)),
])
def test_unit_programs(root, script, expected):
    unit_test(root, script)
    assert counts(runner.unit, "dev") == expected


def test_unit_programs_run_two_at_a_time(root):
    """Each of the two waits for the other one; what they print is not mixed up."""
    wait = 'n=0; until [ -e {0} ] || [ $n = 600 ]; do sleep 0.1; n=$((n + 1)); done; [ -e {0} ] || exit 1'
    for name, other, result in (("test_a", "test_b", "ok 1 - it"), ("test_b", "test_a", "not ok 1 - it")):
        unit_test(root, f"touch {root / name}; {wait.format(root / other)}; echo 1..1; echo {result}", name)
    result = runner.Result()
    runner.unit(result, "dev")
    assert (result.passed, result.failed) == (1, 1)
    assert "dev/test_b (status 0" in result.output and "test_a" not in result.output


def test_reasons_of_skipped_unit_tests(root):
    unit_test(root, "echo 1..1; echo 'skipped: no network'; echo 'not ok 1 # SKIP test_a'")
    result = runner.Result()
    runner.unit(result, "dev")
    assert result.skips == ["dev/test_it: test_a: no network"]


def test_a_unit_test_that_was_not_built(root):
    unit_test(root, "echo 1..1; echo ok 1 - a")
    (root / "test/unit/test_other.c").touch()
    assert counts(runner.unit, "dev") == (1, 1, 0)


def test_no_unit_tests(root):
    assert counts(runner.unit, "dev") == (0, 1, 0)


@pytest.mark.parametrize("text, expected", [
    ("def test_a(): pass", (1, 0, 0)),
    ("def test_a(): assert False", (0, 1, 0)),
    ("import nothing_of_that_name", (0, 2, 0)),
    ("def test_a(: pass", (0, 2, 0)),
    ("x = 1", (0, 1, 0)),
    ("import os\ndef test_a(): os._exit(0)", (0, 1, 0)),
    ("import os\ndef test_a(): os.kill(os.getpid(), 9)", (0, 1, 0)),
    ("import pytest\ndef test_a(): pytest.skip('why')", (0, 0, 1)),
    ("import pytest\n@pytest.fixture\ndef f(): raise ValueError\ndef test_a(f): pass", (0, 1, 0)),
    ("import pytest\n@pytest.fixture\ndef f():\n yield\n raise ValueError\n"
     "def test_a(f): pass\ndef test_b(): pass", (1, 1, 0)),
    ("import pytest\n@pytest.mark.nonsense\ndef test_a(): pass", (0, 2, 0)),
])
def test_pytest_files(root, text, expected):
    (root / "pytest.ini").write_text("[pytest]\naddopts = --strict-markers\n")
    (root / "test_it.py").write_text(text)
    assert counts(runner.pytest, "dev", "test_it.py") == expected


def test_a_pytest_file_that_is_missing(root):
    assert counts(runner.pytest, "dev", "test_missing.py") == (0, 1, 0)


def test_builds(root):
    assert counts(runner.build, "dev", "build/dev") == (0, 1, 0), "no CMakeLists.txt"


def test_aarch64_without_its_tools(root, monkeypatch):
    monkeypatch.setattr(runner, "AARCH64_TOOLS", ("sh", "no-such-compiler"))
    result = runner.Result()
    runner.step_aarch64(result)
    assert (result.passed, result.failed) == (0, 0)
    assert result.skips == ["aarch64: no no-such-compiler"]


@pytest.mark.parametrize("script, reason", [
    ("echo E: no network; exit 1", "E: no network"), ("exit 100", "status 100")])
def test_aarch64_without_its_libraries(root, monkeypatch, script, reason):
    monkeypatch.setattr(runner, "AARCH64_TOOLS", ())
    (root / "test/lib").mkdir()
    fetch = root / "test/lib/arm64_packages"
    fetch.write_text(f"#!/bin/sh\n{script}\n")
    fetch.chmod(0o755)
    result = runner.Result()
    runner.step_aarch64(result)
    assert (result.passed, result.failed) == (0, 0)
    assert result.skips == [f"aarch64: the libraries for arm64 cannot be had: {reason}"]
    fetch.write_text("#!/bin/sh\n")
    assert counts(runner.step_aarch64) == (0, 1, 0), "no CMakeLists.txt"


EXECUTED = "echo stat::number_of_executed_units: 60"
FUZZED = {
    f"{EXECUTED}; echo 'verdicts: forwarded 3 dropped 1'": (1, ""),
    f"{EXECUTED}; echo 'verdicts: forwarded 0 dropped 1'": (0, "never got a packet forwarded"),
    EXECUTED: (0, "never got a packet forwarded"),
    "echo stat::number_of_executed_units: 59; echo 'verdicts: forwarded 3'": (0, "only 59 inputs"),
    "echo 'verdicts: forwarded 3'": (0, "only 0 inputs"),
    f"{EXECUTED}; echo 'verdicts: forwarded 3'; exit 77": (0, "status 77"),
    # libFuzzer writes what it found to the prefix; the runner prints it.
    "for each; do case $each in -artifact_prefix=*) printf abc >${each#*=}crash-1;; esac; done; "
    "echo '#12 NEW cov: 1'; echo VIOLATION; exit 77": (0, "crash-1; base64 -d <<<'YWJj'"),
}


@pytest.mark.parametrize("script", FUZZED)
def test_fuzz_targets(root, script, monkeypatch):
    passed, message = FUZZED[script]
    monkeypatch.setattr(runner, "FUZZ_SECONDS", 3)
    for folder in ("test/fuzz", "build/fuzz/test/fuzz"):
        (root / folder).mkdir(parents=True)
    (root / "test/fuzz/seeds.py").write_text(
        "import sys, pathlib\n(pathlib.Path(sys.argv[1]) / 'fuzz_packet').mkdir()\n")
    (root / "test/fuzz/fuzz_packet.c").touch()
    program = root / "build/fuzz/test/fuzz/fuzz_packet"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    result = runner.Result()
    runner.step_fuzz(result)
    assert (result.passed, result.failed) == (passed, 1 - passed)
    assert message in result.output and "NEW cov" not in result.output


def test_no_fuzz_targets(root):
    (root / "test/fuzz").mkdir()
    (root / "test/fuzz/seeds.py").touch()
    assert counts(runner.step_fuzz) == (0, 1, 0)


def test_commands_that_do_not_start_or_end(root):
    assert runner.run(["no-such-command"])[0] == 127
    status, output = runner.run(["sh", "-c", "echo begun; exec sleep 60"], timeout=0.5)
    assert status == 124 and "begun" in output


def test_sum_and_exit_status(root, monkeypatch, capsys):
    def fails(result):
        result.passed += 2
        result.check(False, "why\n")

    def raises(result):
        raise KeyError("broken")

    def skips(result):
        result.passed += 1
        result.skips.append("a: no root")

    steps = {"fails": fails, "raises": raises, "nothing": lambda result: None, "skips": skips}
    monkeypatch.setattr(runner, "STEPS", steps)
    assert runner.main([]) == 1
    output = capsys.readouterr().out
    assert output.endswith("skipped: a: no root\n3 passed, 3 failed, 1 skipped\n")
    assert "why" in output and "KeyError" in output and "nothing ran nothing" in output
    assert runner.main(["skips"]) == 0
    assert runner.main(["unknown"]) == 2


VM_REPORT = '<testsuites><testsuite><testcase name="a"/><testcase name="b"/></testsuite></testsuites>'


@pytest.mark.parametrize("script, report, expected", [
    ("exit 0", VM_REPORT, (2, 0, 0)),
    ("exit 1", VM_REPORT, (2, 1, 0)),
    ("exit 0", None, (0, 1, 0)),
    ("exit 1", None, (0, 1, 0)),
    ("exit 2", VM_REPORT, (2, 1, 0)),
    ("echo 'no QEMU'; exit 77", None, (0, 0, 1)),
    ("exit 77", None, (0, 0, 1)),
])
def test_virtual_machine(root, script, report, expected):
    (root / "test/vm").mkdir()
    (root / "test/vm/run").write_text(
        f"import subprocess, sys\nsys.exit(subprocess.run(['sh', '-c', {script!r}]).returncode)\n")
    if report:
        (root / "build/vm/newest").mkdir(parents=True)
        (root / "build/vm/newest/junit.xml").write_text(report)
    assert counts(runner.step_vm) == expected


def test_reason_of_a_skipped_virtual_machine(root):
    (root / "test/vm").mkdir()
    (root / "test/vm/run").write_text("import sys\nprint('x')\nprint('no QEMU')\nsys.exit(77)\n")
    result = runner.Result()
    runner.step_vm(result)
    assert result.skips == ["no QEMU"]


def test_a_virtual_machine_without_root(root, monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    result = runner.Result()
    runner.step_vm(result)
    assert counts(runner.step_vm) == (0, 0, 1) and "root" in result.skips[0]


def vm_run():
    """test/vm/run as a module."""
    loader = importlib.machinery.SourceFileLoader("vm_run", str(runner.ROOT / "test/vm/run"))
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader("vm_run", loader))
    loader.exec_module(module)
    return module


def test_a_virtual_machine_needs_a_build():
    done = subprocess.run(
        [sys.executable, "test/vm/run"], cwd=runner.ROOT, env=os.environ | {"FLUXPIN": "/nowhere/fluxpin"},
        capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2 and "/nowhere/fluxpin is not there" in done.stderr, done.stderr


def test_coverage_needs_its_own_build_and_gcovr(tmp_path):
    """Whatever FLUXPIN says: the report is about that build's sources."""
    shutil.copytree(runner.ROOT / "test/vm", tmp_path / "test/vm")
    program = tmp_path / "build/coverage/src/cli/fluxpin"

    def run(*arguments):
        done = subprocess.run(
            [sys.executable, tmp_path / "test/vm/run", "--coverage", *arguments],
            env=os.environ | {"FLUXPIN": "/bin/true", "PATH": str(tmp_path)},
            capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 2 and done.stdout == ""
        return done.stderr.splitlines()

    without_build = (f"test/vm/run: {program} is not there:"
                     " cmake --preset coverage && cmake --build --preset coverage")
    without_tool = "test/vm/run: gcovr is not there: apt-get install gcovr"
    for arguments in ((), ("--command", "--", "true")):
        assert run(*arguments) == [without_build, without_tool]
    program.parent.mkdir(parents=True)
    program.touch()
    assert run() == [without_tool]


GCOVR = r"""#!/bin/sh
for folder; do :; done
for counts in $(find "$folder" -name '*.gcda'); do [ -e "${counts%gcda}gcno" ] || exit 1; done
echo "notes: $(find "$folder" -name '*.gcno' | wc -l)"
"""


@pytest.mark.parametrize("script, counts, outcome", [
    (GCOVR + "echo 'lines: 50.0% (1 out of 2)'", "a.c.gcda", "lines: 50.0% (1 out of 2)"),
    (GCOVR + "exit 64", "a.c.gcda", "notes: 2"),
    (GCOVR, "a.c.gcda", "names no total: notes: 2"),
    (GCOVR, "a.c", "nothing that was executed"),
], ids=["report", "gcovr fails", "no total", "nothing written"])
def test_report_of_coverage(tmp_path, monkeypatch, script, counts, outcome):
    """It is about all that was built, executed or not, beside what programs wrote."""
    module = vm_run()
    build, results = tmp_path / "tree/build/coverage", tmp_path / "results"
    written = results / build.relative_to("/") / "src/cli"
    for folder in (build / "src/cli", build / "test", written, tmp_path / "bin"):
        folder.mkdir(parents=True)
    for each in (build / "src/cli/a.c.gcno", build / "src/cli/b.c.gcno", build / "test/test_a.c.gcno",
                 written / counts):
        each.touch()
    tool = tmp_path / "bin/gcovr"
    tool.write_text(script)
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tool.parent}:{os.environ['PATH']}")
    if outcome.startswith("lines"):
        assert module.coverage_report.write(tmp_path / "tree", build, results) == outcome
    else:
        with pytest.raises(module.packages.Broken, match=outcome):
            module.coverage_report.write(tmp_path / "tree", build, results)


@pytest.mark.skipif(os.geteuid() != 0, reason="a virtual machine with networks needs root")
def test_a_virtual_machine_without_packages(tmp_path):
    """No network: skipped, with the reason in the last line. What was fetched and does not work:
    failed."""
    tools, cache = tmp_path / "bin", tmp_path / "cache"
    tools.mkdir()
    apt = tools / "apt-get"
    apt.write_text("#!/bin/sh\necho 'E: no route to the mirror' >&2\nexit 100\n")
    apt.chmod(0o755)
    variables = os.environ | {"PATH": f"{tools}:{os.environ['PATH']}", "FLUXPIN_VM_CACHE": str(cache),
                              "FLUXPIN": "/bin/true"}

    def run():
        done = subprocess.run([sys.executable, "test/vm/run", "6.12"], cwd=runner.ROOT, env=variables,
                              capture_output=True, text=True, timeout=60, check=False)
        return done.returncode, done.stdout.splitlines()[-1]

    status, last = run()
    assert status == runner.VM_SKIPPED and "6.12: skipped:" in last and "no route to the mirror" in last
    (cache / "qemu/usr/bin").mkdir(parents=True)
    status, last = run()
    assert status == 1 and "6.12: failed:" in last and "qemu-system-x86_64" in last


@pytest.mark.parametrize("script, limit, end, boots", [
    ("echo tests >output; echo 3 >status", 60, 3, 1),
    ("echo tests >output", 60, "it ended without a result", 1),
    ("echo tests >output; exec sleep 1000", 2, "not done after 2 s", 1),
    ("echo 'detected stalls on CPUs/tasks' >console; exec sleep 1000", 60, "hung in each of 3 boots", 3),
])
def test_the_end_of_a_virtual_machine(tmp_path, monkeypatch, script, limit, end, boots):
    """That of a machine without one is its limit; one that hangs in its boot gets further ones, of which
    what the kernel said is kept. No process is left. A shell is in the place of QEMU: this is about
    what waits for it."""
    machine, processes = vm_run().machine, []

    def start(_qemu, _kernel, results, _pairs):
        processes.append(subprocess.Popen(["sh", "-c", script], cwd=results, start_new_session=True))
        return processes[-1]

    monkeypatch.setattr(machine, "start", start)
    monkeypatch.setattr(machine.initramfs, "build", lambda *_: b"")
    kernel = types.SimpleNamespace(name="newest", modules=tmp_path / "modules")
    assert end == machine.boot(None, kernel, tmp_path, tmp_path, tmp_path / "fluxpin", ["true"], limit, 1)
    assert len(processes) == boots and all(each.returncode is not None for each in processes)
    consoles = [f"console.boot-{number}" for number in range(1, boots)]
    assert sorted(each.name for each in tmp_path.glob("console.boot-*")) == consoles


def test_the_files_of_a_virtual_machine_are_collected_together():
    """Two of one name cannot be, nor what imports a module of a name that another folder has, too;
    one by one they can."""
    files = vm_run().lab_files()
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "--collect-only", "-q", "-p", "no:cacheprovider",
         "test/vm", *files], cwd=runner.ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    own = [str(path.relative_to(runner.ROOT)) for path in runner.ROOT.glob("test/vm/test_*.py")]
    collected = {f"test/{line.partition('::')[0]}" for line in done.stdout.splitlines()}
    assert len(files) > 10 and len(own) > 5 and collected >= {*files, *own}
