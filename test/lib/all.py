# SPDX-License-Identifier: BSD-2-Clause
"""Runs the steps of test/all and adds up what passed, failed and was skipped.

Every step prints one line when it is done, and the output of what failed. The last line is
`N passed, N failed, N skipped` over everything that ran; the exit status is 1 if anything failed.
"""

import base64
import concurrent.futures
import json
import os
import pathlib
import random
import re
import shutil
import subprocess
import sys
import tempfile
import time
import traceback
import xml.etree.ElementTree

ROOT = pathlib.Path(__file__).resolve().parents[2]
PYTHON = "/usr/bin/python3"
FUZZ_SECONDS = int(os.environ.get("FUZZ_SECONDS", "30"))  # of each target
FUZZ_INPUTS_A_SECOND = 20  # below this, a target did not really run: they do thousands
# Targets some inputs of which must be forwarded.
FUZZ_FORWARDS = ("fuzz_packet", "fuzz_icmp", "fuzz_fragments", "fuzz_decapsulation")
AARCH64_TOOLS = ("aarch64-linux-gnu-gcc", "qemu-aarch64")
ARM64_PACKAGES = ("libcmocka-dev", "libcmocka0", "libxxhash-dev", "libxxhash0")
VM_LIMIT = 900  # seconds for the machine: three times what its tests take without hardware help
VM_SKIPPED = 77  # exit status of test/vm/run when a package cannot be had
HANGS = 3600  # seconds after which a command counts as hanging: far more than any of them takes
SANITIZER_OPTIONS = {
    "ASAN_OPTIONS": "detect_leaks=1:abort_on_error=0",
    "UBSAN_OPTIONS": "print_stacktrace=1",
    "LSAN_OPTIONS": "print_suppressions=0",
    "TSAN_OPTIONS": f"halt_on_error=0:exitcode=66:suppressions={ROOT}/test/tsan.supp",
}


class Result:
    """What a step found: counts, the reasons of skips, and the text of failures."""

    def __init__(self):
        self.passed = 0
        self.failed = 0
        self.skips = []
        self.output = ""

    def check(self, ok, output=""):
        """Counts one check; keeps the output of a failed one."""
        if ok:
            self.passed += 1
        else:
            self.failed += 1
            self.output += output

    def add(self, other):
        """Counts what another one found."""
        self.passed += other.passed
        self.failed += other.failed
        self.skips += other.skips
        self.output += other.output


def run(command, timeout=HANGS, **environment):
    """Runs a command in the project's folder; returns its status and what it printed. One that
    cannot be started or does not end has a status of its own, and so has failed."""
    try:
        done = subprocess.run(
            command, cwd=ROOT, env={**os.environ, **SANITIZER_OPTIONS, **environment},
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            text=True, errors="replace", check=False, timeout=timeout)
    except OSError as error:
        return 127, f"{command[0]}: {error.strerror}\n"
    except subprocess.TimeoutExpired as expired:
        output = expired.stdout or b""
        output = output if isinstance(output, str) else output.decode(errors="replace")
        return 124, f"{output}\n{command[0]}: not ended after {timeout} s\n"
    return done.returncode, done.stdout


def step_format(result):
    """Every C file is formatted as .clang-format says."""
    status, output = run(["git", "ls-files", "*.c", "*.h"])
    files = output.split()
    if status == 0 and not files:
        status, output = 1, "no C files\n"
    if status == 0:
        status, output = run(["clang-format", "--dry-run", "-Werror", *files])
    result.check(status == 0, output)


def build(result, preset, folder, *options):
    """Configures and builds with warnings as errors."""
    for command in (["cmake", "--preset", preset, "-B", folder, *options],
                    ["ninja", "-C", folder]):
        status, output = run(command)
        if status != 0:
            result.check(False, output)
            return
    result.check(True)


def step_build(result):
    """gcc: the development and release presets; clang: development."""
    build(result, "dev", "build/dev")
    build(result, "release", "build/release")
    build(result, "dev", "build/clang", "-DCMAKE_C_COMPILER=clang")


def step_build_sanitizers(result):
    """gcc with AddressSanitizer and UndefinedBehaviorSanitizer, and with ThreadSanitizer."""
    build(result, "asan", "build/asan")
    build(result, "tsan", "build/tsan")


def step_build_fuzz(result):
    """clang with libFuzzer, AddressSanitizer and UndefinedBehaviorSanitizer: the fuzz targets."""
    build(result, "fuzz", "build/fuzz")


def fuzz(name, seconds, folder):
    """Runs one target over its seeds and what it makes of them. Returns what is wrong, and a line of
    what it did."""
    for each in (name, f"{name}-found"):
        (folder / each).mkdir(exist_ok=True)
    seed = random.randrange(1, 2**32)
    status, output = run(
        [str(ROOT / "build/fuzz/test/fuzz" / name), f"-max_total_time={seconds}", f"-seed={seed}",
         "-timeout=25", "-max_len=16384", "-print_final_stats=1", "-verbosity=1", "-reload=0",
         f"-artifact_prefix={folder / name}-found/", str(folder / f"{name}-corpus"), str(folder / name)])
    executed = re.search(r"number_of_executed_units: (\d+)", output)
    executed = int(executed[1]) if executed else 0
    verdicts = "".join(re.findall(r"^verdicts: (.*)$", output, re.M))
    line = f"{name}: {executed} inputs, seed {seed} {verdicts}".rstrip()
    problem = ""
    if status != 0:
        # Without the lines that only say that a new input was found.
        kept = [each for each in output.splitlines() if not re.match(r"#\d+\s", each)]
        problem = f"{name} ended with status {status}, -seed={seed}\n" + "\n".join(kept[-150:]) + "\n"
        for path in sorted((folder / f"{name}-found").iterdir()):
            data = base64.b64encode(path.read_bytes()).decode()
            problem += f"{path.name}; base64 -d <<<'{data}' >{path.name}\n"
    elif executed < FUZZ_INPUTS_A_SECOND * seconds:
        problem = f"{name} executed only {executed} inputs in {seconds} s\n"
    elif name in FUZZ_FORWARDS and not re.search(r"forwarded [1-9]", verdicts):
        problem = f"{name} never got a packet forwarded: {verdicts or 'no verdicts'}\n"
    return problem, line


def step_fuzz(result):
    """Every fuzz target from its seeds, two at a time, for FUZZ_SECONDS (30) each."""
    names = sorted(path.stem for path in (ROOT / "test/fuzz").glob("fuzz_*.c"))
    if not names:
        result.check(False, "no fuzz targets\n")
    with tempfile.TemporaryDirectory() as temporary:
        folder = pathlib.Path(temporary)
        status, output = run([PYTHON, "test/fuzz/seeds.py", temporary])
        if status != 0:
            result.check(False, output)
            return
        for name in names:
            (folder / f"{name}-corpus").mkdir()
        for problem, line in two_at_a_time(lambda name: fuzz(name, FUZZ_SECONDS, folder), names):
            print(f"  {line}", flush=True)
            result.check(not problem, problem)


def count_tap(result, name, status, output):
    """Adds up a cmocka program's TAP output. What the plan announced and did not run, a program
    without tests and an end that its results do not explain are failures, too."""
    planned = sum(map(int, re.findall(r"^1\.\.(\d+)", output, re.M)))
    # cmocka 1.1 writes "not ok 1 # SKIP name", later ones "ok 1 - name # SKIP".
    lines = re.findall(r"^(ok|not ok) \d+(.*)$", output, re.M)
    skipped = [rest for _, rest in lines if "# SKIP" in rest]
    passed = sum(word == "ok" and "# SKIP" not in rest for word, rest in lines)
    failed = sum(word == "not ok" and "# SKIP" not in rest for word, rest in lines)
    missing = max(planned - len(lines), 0)
    reasons = re.findall(r"^(?:# )?skipped: (.*)$", output, re.M)
    for i, rest in enumerate(skipped):
        test = re.sub(r"# SKIP|[ -]*(?= )", "", rest).strip()
        reason = reasons[i] if len(reasons) == len(skipped) else "no reason given"
        result.skips.append(f"{name}: {test}: {reason}")
    if not failed and not missing and (status != 0 or not lines):
        failed = 1
    result.passed += passed
    result.failed += failed + missing
    if failed or missing:
        result.output += f"--- {name} (status {status}, {missing} not run)\n{output}\n"


def two_at_a_time(function, arguments):
    """What the function returns for each argument, in their order."""
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        yield from pool.map(function, arguments)


def run_tap(command):
    """Runs a cmocka program, which makes its own namespace if it needs one."""
    return run(command, CMOCKA_MESSAGE_OUTPUT="TAP")


def unit(result, preset):
    """Every cmocka program of a build; one for each test/unit/test_*.c, two at a time."""
    sources = sorted((ROOT / "test" / "unit").glob("test_*.c"))
    programs = [[str(ROOT / "build" / preset / "test" / "unit" / source.stem)] for source in sources]
    for source, (status, output) in zip(sources, two_at_a_time(run_tap, programs)):
        count_tap(result, f"{preset}/{source.stem}", status, output)
    if not sources:
        result.check(False, "no unit tests\n")


def step_unit(result):
    """Unit tests, and the rule that the dataplane makes no system calls."""
    unit(result, "dev")
    status, output = run(["ctest", "--test-dir", "build/release", "-R", "dataplane_symbols",
                          "--no-tests=error", "--output-on-failure"])
    result.check(status == 0, output)


def step_unit_sanitizers(result):
    """The unit tests under AddressSanitizer and UndefinedBehaviorSanitizer."""
    unit(result, "asan")


def step_aarch64(result):
    """The data plane for aarch64: it builds, and its unit tests pass under QEMU."""
    missing = [tool for tool in AARCH64_TOOLS if not shutil.which(tool)]
    if missing:
        result.skips.append(f"aarch64: no {', '.join(missing)}")
        return
    status, output = run(["test/lib/arm64_packages", "build/aarch64-packages", *ARM64_PACKAGES])
    if status != 0:
        reason = (output.split("\n")[:-1] or [f"status {status}"])[-1]
        result.skips.append(f"aarch64: the libraries for arm64 cannot be had: {reason}")
        return
    build(result, "aarch64", "build/aarch64")
    if result.failed:
        return
    # What the build has registered, with the emulator in front.
    status, output = run(["ctest", "--test-dir", "build/aarch64", "--show-only=json-v1"])
    tests = json.loads(output)["tests"] if status == 0 else []
    result.check(any(test["name"] == "test_maglev" for test in tests), output)
    commands = [test["command"] for test in tests]
    for test, (status, output) in zip(tests, two_at_a_time(run_tap, commands)):
        if test["name"].startswith("test_"):
            count_tap(result, f"aarch64/{test['name']}", status, output)
        else:
            result.check(status == 0, output)


def pytest(result, preset, *arguments):
    """Runs pytest with the fluxpin of a build and adds up its JUnit report."""
    with tempfile.NamedTemporaryFile(suffix=".xml") as report:
        status, output = run([PYTHON, "-m", "pytest", "-q", "-p", "no:cacheprovider",
                              f"--junitxml={report.name}", *arguments],
                             FLUXPIN=str(ROOT / "build" / preset / "src/cli/fluxpin"))
        count_report(result, report.name, status, output)


def count_report(result, path, status, output):
    """Adds up a JUnit report of pytest, which ended with this status."""
    try:
        suites = xml.etree.ElementTree.parse(path).getroot()
    except (OSError, xml.etree.ElementTree.ParseError):
        result.check(False, output)
        return
    for case in suites.iter("testcase"):
        skipped = case.find("skipped")
        if skipped is not None:
            result.skips.append(f"{case.get('name')}: {skipped.get('message')}")
        else:
            result.check(case.find("failure") is None and case.find("error") is None)
    if status != 0 and (status != 1 or not result.failed):
        result.failed += 1
    if result.failed:
        result.output += output


def step_configuration(result):
    """Bad configurations: each with its messages and positions."""
    pytest(result, "dev", "test/configuration")


def step_packets(result):
    """Frames in, frames or reasons out: replay."""
    both = (Result(), Result())
    with concurrent.futures.ThreadPoolExecutor() as runs:
        for done in [runs.submit(pytest, each, preset, "test/packets")
                     for each, preset in zip(both, ("dev", "asan"))]:
            done.result()
    for each in both:
        result.add(each)


def step_manual(result):
    """The man page: well-formed, and it says what there is."""
    pytest(result, "dev", "test/manual")


def step_prometheus(result):
    """Alert and recording rules, the dashboard, and the documentation of metrics."""
    pytest(result, "dev", "test/prometheus")


def step_bench(result):
    """The benchmark's output, usage errors and checks; no speed is asserted."""
    pytest(result, "dev", "test/bench")
    pytest(result, "asan", "test/bench/test_bench.py")


def step_lab(result):
    """Real packets: the network lab. Two labs at a time, file by file: they mostly wait."""
    pytest(result, "dev", "test/lab", "-m", "not sanitizer", "-n", "2", "--dist", "loadfile")
    for path in sorted((ROOT / "build/artefacts").glob("*")):
        print(f"  kept: {path}", flush=True)


def step_vm(result):
    """Zero-copy, the kernel's own tunnel and VLAN devices, in a virtual machine: newest kernel."""
    if os.geteuid() != 0:
        result.skips.append("vm: a virtual machine with networks needs root")
        return
    status, output = run([PYTHON, "test/vm/run", "--quick", "--limit", str(VM_LIMIT)],
                         FLUXPIN=str(ROOT / "build/dev/src/cli/fluxpin"))
    if status == VM_SKIPPED:
        result.skips.append((output.splitlines() or ["no reason given"])[-1])
        return
    count_report(result, ROOT / "build/vm/newest/junit.xml", status, output)


def step_demo(result):
    """The demonstration of the README ends well."""
    status, output = run([PYTHON, "test/lab/demo.py"],
                         FLUXPIN=str(ROOT / "build/release/src/cli/fluxpin"))
    result.check(status == 0, output)


def step_lab_tsan(result):
    """The reload test under ThreadSanitizer."""
    pytest(result, "tsan", "test/lab", "-m", "sanitizer")


def step_lab_asan(result):
    """The reload test under AddressSanitizer."""
    pytest(result, "asan", "test/lab", "-m", "sanitizer")


def step_runner(result):
    """The runner's own tests: nothing that goes wrong in a step is lost."""
    pytest(result, "dev", "test/lib")


STEPS = {
    "runner": step_runner,
    "format": step_format,
    "build": step_build,
    "build-sanitizers": step_build_sanitizers,
    "build-fuzz": step_build_fuzz,
    "unit": step_unit,
    "unit-sanitizers": step_unit_sanitizers,
    "aarch64": step_aarch64,
    "configuration": step_configuration,
    "packets": step_packets,
    "manual": step_manual,
    "prometheus": step_prometheus,
    "bench": step_bench,
    "fuzz": step_fuzz,
    "lab": step_lab,
    "vm": step_vm,
    "demo": step_demo,
    "lab-tsan": step_lab_tsan,
    "lab-asan": step_lab_asan,
}


def main(names):
    """Runs the named steps, or all."""
    if "--list" in names:
        for name, step in STEPS.items():
            print(f"{name:18} {step.__doc__}")
        return 0
    unknown = [name for name in names if name not in STEPS]
    if unknown:
        print(f"test/all: no such step: {' '.join(unknown)} (see test/all --list)",
              file=sys.stderr)
        return 2
    passed = failed = 0
    skips = []
    for name in names or STEPS:
        started = time.monotonic()
        result = Result()
        try:
            STEPS[name](result)
        except Exception:
            result.check(False, traceback.format_exc())
        if not result.passed and not result.failed and not result.skips:
            result.check(False, f"{name} ran nothing\n")
        print(f"{name:18} {result.passed:5} passed {result.failed:3} failed "
              f"{len(result.skips):3} skipped  {time.monotonic() - started:6.1f} s", flush=True)
        if result.output:
            print(result.output, flush=True)
        passed += result.passed
        failed += result.failed
        skips += result.skips
    for skip in skips:
        print(f"skipped: {skip}")
    print(f"{passed} passed, {failed} failed, {len(skips)} skipped")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
