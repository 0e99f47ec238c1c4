# SPDX-License-Identifier: BSD-2-Clause
"""Kernels and QEMU, as the distribution packs them, unpacked into a cache folder.

Nothing is installed and the system's package lists stay as they are: apt works on lists of its own,
from sources that are the machine's own Debian source with another suite. What was unpacked once
is used again without asking the network; `refresh` fetches anew.
"""

import contextlib
import fcntl
import os
import pathlib
import re
import shutil
import subprocess

# Where each kernel comes from, by the machine's release: the suite and the package that depends on
# the image. AF_XDP zero-copy came to virtio_net in 6.13 and to igb in 6.14.
KERNELS = {
    "bookworm": {
        "newest": ("trixie-backports", "linux-image-amd64"),
        "6.12": ("bookworm-security", "linux-image-6.12-amd64"),
        "6.1": ("bookworm", "linux-image-amd64"),
    },
}
# QEMU 8 or later, for its igb; the other suites have what it needs.
QEMU = {
    "bookworm": ("bookworm-backports", ["bookworm", "bookworm-security"]),
}
NAMES = tuple(KERNELS["bookworm"])
PATIENCE = 900  # seconds for a command: some hundred megabytes on a slow line
KERNEL_PARTS = re.compile(r"linux-(image|binary|modules|base)-\d")


class Unavailable(Exception):
    """A package cannot be had here; the words say which and why."""


class Broken(Exception):
    """What was fetched does not work."""


def run(command, kind=Unavailable, **more):
    """What a command prints; raises an exception of this kind if it fails."""
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True, errors="replace",
                              timeout=PATIENCE, **more)
    except OSError as error:
        raise kind(f"{command[0]}: {error.strerror}") from None
    except subprocess.TimeoutExpired:
        raise kind(f"{command[0]}: not done after {PATIENCE} s") from None
    if done.returncode != 0:
        lines = [line for line in done.stdout.splitlines() if line.startswith(("E:", "Err:"))]
        words = "; ".join(lines) or done.stdout.strip()[-500:]
        raise kind(f"{' '.join(command[:1] + command[-2:])}: {words}")
    return done.stdout


def cache_folder():
    base = os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache"
    return pathlib.Path(os.environ.get("FLUXPIN_VM_CACHE") or pathlib.Path(base) / "fluxpin-vm")


@contextlib.contextmanager
def locked(folder):
    """One process at a time works on the cache."""
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / "lock", "w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def release():
    """The codename of the machine's release, if there are packages for it."""
    text = pathlib.Path("/etc/os-release").read_text(encoding="utf-8")
    match = re.search(r"^VERSION_CODENAME=\"?(\w+)", text, re.MULTILINE)
    architecture = run(["dpkg", "--print-architecture"]).strip()
    if not match or match[1] not in KERNELS or architecture != "amd64":
        raise Unavailable(f"no kernels are named for {match[1] if match else 'this system'} on"
                          f" {architecture}: only for {', '.join(KERNELS)} on amd64")
    return match[1]


def source_lines(suites):
    """Lines of sources.list for these suites, at the addresses that the machine itself uses."""
    wanted = "$(REPO_URI) $(CODENAME) $(COMPONENT) $(ORIGIN)"
    known = {}
    for line in run(["apt-get", "indextargets", "--format", wanted,
                     "Created-By: Packages"]).splitlines():
        uri, codename, component, origin = (line.split() + [""] * 4)[:4]
        if component == "main" and origin == "Debian":
            known[codename] = uri
    lines = []
    for suite in suites:
        codename = release()
        like = f"{codename}-security" if suite.endswith("-security") else codename
        if like not in known:
            raise Unavailable(f"the machine's apt has no source for {like} to derive {suite} from")
        lines.append(f"deb {known[like]} {suite} main\n")
    return lines


class Apt:
    """apt on package lists of its own, in `folder`."""

    def __init__(self, folder, suites):
        self.folder = folder
        for each in ("lists/partial", "cache/archives/partial"):
            (folder / each).mkdir(parents=True)
        sources = folder / "sources.list"
        sources.write_text("".join(source_lines(suites)), encoding="ascii")
        self.options = []
        for name, value in {
            "Dir::State::lists": folder / "lists",
            "Dir::Cache": folder / "cache",
            "Dir::Etc::sourcelist": sources,
            "Dir::Etc::sourceparts": "/dev/null",
            "Dir::Etc::preferences": "/dev/null",
            "Dir::Etc::preferencesparts": "/dev/null",
            "Acquire::Languages": "none",
            "Acquire::Retries": "3",
            "Acquire::http::Timeout": "20",
            "Acquire::https::Timeout": "20",
            # Everybody may read the folder; only its owner may write.
            "APT::Sandbox::User": "root",
        }.items():
            self.options += ["-o", f"{name}={value}"]
        # The names of the sources are not the system's: its own hooks have no business here.
        self.options += ["-o", "#clear=APT::Update::Post-Invoke-Success"]
        # Reports an index that cannot be fetched as an error.
        run(["apt-get", *self.options, "-o", "APT::Update::Error-Mode=any", "update"])

    def depends(self, package):
        text = run(["apt-cache", *self.options, "--no-all-versions", "show", package])
        match = re.search(r"^Depends: (.*)$", text, re.MULTILINE)
        return re.findall(r"(?:^|, )([a-z0-9.+-]+)", match[1]) if match else []

    def needed(self, package, *arguments):
        """File names of a package and of what it needs that the system does not have."""
        text = run(["apt-get", *self.options, *arguments, "-qq", "--no-install-recommends",
                    "--print-uris", "install", package])
        return [line.split()[1] for line in text.splitlines() if line.startswith("'")]

    def unpack(self, packages, target):
        """Downloads packages (NAME or NAME=VERSION) and unpacks them into `target`."""
        downloads = self.folder / "downloads"
        downloads.mkdir()
        run(["apt-get", *self.options, "-q", "download", *packages], cwd=downloads)
        for path in sorted(downloads.glob("*.deb")):
            run(["dpkg-deb", "-x", str(path), str(target)], Broken)


def fetch(name, suites, choose, refresh):
    """The folder `name` of the cache, filled by what choose(apt) names if it is not there."""
    cache = cache_folder()
    target = cache / name
    with locked(cache):
        if target.exists() and not refresh:
            return target
        work = cache / f"{name}.new"
        shutil.rmtree(work, ignore_errors=True)
        try:
            print(f"fetching {name} from {', '.join(suites)}", flush=True)
            (work / "root").mkdir(parents=True)
            apt = Apt(work / "apt", suites)
            packages = choose(apt)
            if not packages:
                raise Unavailable(f"{name}: {', '.join(suites)} names nothing to fetch")
            apt.unpack(packages, work / "root")
            shutil.rmtree(target, ignore_errors=True)
            os.rename(work / "root", target)
        finally:
            shutil.rmtree(work, ignore_errors=True)
    return target


def kernel_packages(apt, package):
    """The packages of an image and its modules, from a package that depends on them."""
    found, queue = [], [package]
    while queue:
        each = queue.pop()
        if each in found:
            continue
        if KERNEL_PARTS.match(each):
            found.append(each)
        queue += [name for name in apt.depends(each) if name.startswith("linux-")]
    return found


class Kernel:
    """An unpacked kernel: `image` (a file), `version` (uname -r) and `modules` (a folder)."""

    def __init__(self, name, refresh=False):
        suite, package = KERNELS[release()][name]
        folder = fetch(f"linux-{name}", [suite],
                       lambda apt: kernel_packages(apt, package), refresh)
        # Since 7.x the image stands beside its modules, in /usr.
        modules = [*folder.glob("usr/lib/modules/*"), *folder.glob("lib/modules/*")]
        images = [*folder.glob("boot/vmlinuz-*"), *folder.glob("usr/lib/modules/*/vmlinuz")]
        if len(images) != 1 or len(modules) != 1:
            raise Broken(f"{package} of {suite}: {len(images)} kernel images and modules for"
                              f" {len(modules)} kernels, not 1 of each")
        self.name = name
        self.image = images[0]
        self.modules = modules[0]
        self.version = self.modules.name
        if not (self.modules / "modules.dep").exists():
            run(["depmod", "-b", str(self.modules.parents[2]), self.version], Broken)


class Qemu:
    """An unpacked QEMU: `command` begins its command line, `environment` is what it needs."""

    def __init__(self, refresh=False):
        suite, more = QEMU[release()]
        folder = fetch("qemu", [suite, *more], lambda apt: [
            re.sub(r"^(.*?)_(.*)_[^_]*$", lambda match: f"{match[1]}={unquote(match[2])}", each)
            for each in apt.needed("qemu-system-x86", "-t", suite)], refresh)
        libraries = [folder / each / "x86_64-linux-gnu" for each in ("usr/lib", "lib")]
        self.environment = {**os.environ, "LD_LIBRARY_PATH": ":".join(map(str, libraries))}
        self.command = [str(folder / "usr/bin/qemu-system-x86_64")]
        for each in ("qemu", "seabios"):
            self.command += ["-L", str(folder / "usr/share" / each)]
        run([self.command[0], "--version"], Broken, env=self.environment)


def unquote(version):
    """A version as apt writes it into file names: the colon of its epoch is %3a."""
    return version.replace("%3a", ":")
