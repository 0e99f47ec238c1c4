# SPDX-License-Identifier: BSD-2-Clause
# Cross-compiles for aarch64 with Debian's compiler, and runs what was built under QEMU. The libraries
# come from test/lib/arm64_packages, which puts them into build/aarch64-packages.
set(CMAKE_SYSTEM_NAME Linux)
set(CMAKE_SYSTEM_PROCESSOR aarch64)
set(CMAKE_C_COMPILER aarch64-linux-gnu-gcc)
set(CMAKE_CROSSCOMPILING_EMULATOR qemu-aarch64 -L /usr/aarch64-linux-gnu)

set(packages ${CMAKE_CURRENT_LIST_DIR}/../build/aarch64-packages)
get_filename_component(packages ${packages} ABSOLUTE)
set(ENV{PKG_CONFIG_SYSROOT_DIR} ${packages})
set(ENV{PKG_CONFIG_LIBDIR} ${packages}/usr/lib/aarch64-linux-gnu/pkgconfig)
# pkg-config leaves out what it takes for a system folder.
set(ENV{PKG_CONFIG_ALLOW_SYSTEM_CFLAGS} 1)
set(ENV{PKG_CONFIG_ALLOW_SYSTEM_LIBS} 1)
