# SPDX-License-Identifier: BSD-2-Clause
"""A small initramfs: busybox, the modules that the machine's root needs, and test/vm/guest/init.

What it boots into is the machine's own root, so it holds none of the machine's programs.
"""

import gzip
import lzma
import pathlib
import stat

from packages import Unavailable

BUSYBOX = pathlib.Path("/bin/busybox")
# In this order, each with what it depends on; those built into the kernel are left out.
MODULES = ("virtio_pci", "9pnet_virtio", "9p", "overlay")
INIT = pathlib.Path(__file__).resolve().parents[1] / "guest" / "init"


def archive(files):
    """A cpio archive, "newc" (Documentation/driver-api/early-userspace/buffer-format.rst in
    Linux), of {name: (mode, contents)}; folders come before what is in them."""
    parts = []
    entries = [*files.items(), ("TRAILER!!!", (0, b""))]
    for number, (name, (mode, contents)) in enumerate(entries, 1):
        path = name.encode() + b"\0"
        fields = [number, mode, 0, 0, 1, 0, len(contents), 0, 0, 0, 0, len(path), 0]
        header = b"070701" + b"".join(b"%08X" % each for each in fields)
        for data in (header + path, contents):
            parts.append(data + bytes(-len(data) % 4))
    return b"".join(parts)


def module_paths(modules):
    """Paths of the modules below the folder `modules`, in the order in which they load."""
    depends = {}
    for line in (modules / "modules.dep").read_text(encoding="ascii").splitlines():
        path, _, needed = line.partition(": ")
        depends[path.rstrip(":")] = needed.split()
    builtin = (modules / "modules.builtin").read_text(encoding="ascii").splitlines()
    names = {path.rpartition("/")[2].partition(".")[0]: path for path in depends}
    built = {path.rpartition("/")[2].partition(".")[0] for path in builtin}
    order = []
    for name in MODULES:
        if name in built:
            continue
        if name not in names:
            raise Unavailable(f"the kernel has no module {name}")
        # modules.dep lists what is needed last first.
        for path in [*reversed(depends[names[name]]), names[name]]:
            if path not in order:
                order.append(path)
    return order


def build(kernel, settings):
    """The archive for a kernel; `settings` are {name: text}, files below /settings."""
    if not BUSYBOX.exists():
        raise Unavailable(f"{BUSYBOX} is not there (package busybox-static)")
    folder, program, plain = stat.S_IFDIR | 0o755, stat.S_IFREG | 0o755, stat.S_IFREG | 0o644
    files = {name: (folder, b"") for name in
             ("bin", "dev", "proc", "sys", "lower", "upper", "root", "modules", "settings")}
    files["bin/busybox"] = program, BUSYBOX.read_bytes()
    files["init"] = program, INIT.read_bytes()
    for name, text in settings.items():
        files[f"settings/{name}"] = plain, f"{text}\n".encode()
    for number, path in enumerate(module_paths(kernel.modules)):
        contents = (kernel.modules / path).read_bytes()
        if path.endswith(".xz"):
            contents = lzma.decompress(contents)
        name = path.rpartition("/")[2].removesuffix(".xz")
        files[f"modules/{number:02}-{name}"] = plain, contents
    return gzip.compress(archive(files), 1)
