#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""Runs a command for which the kernel refuses a socket option of SOL_SOCKET, with EPERM, as it does
without CAP_NET_ADMIN.

    denied_option.py NUMBER COMMAND...
"""

import ctypes
import os
import struct
import sys

SETSOCKOPT = {"x86_64": 54, "aarch64": 208}
SOL_SOCKET, EPERM = 1, 1
# Of linux/seccomp.h, sys/prctl.h and linux/bpf_common.h
PR_SET_NO_NEW_PRIVS, PR_SET_SECCOMP, SECCOMP_MODE_FILTER = 38, 22, 2
LOAD, JUMP_IF_EQUAL, RETURN = 0x20, 0x15, 0x06
ALLOW, ERROR = 0x7FFF0000, 0x00050000
# Offsets into struct seccomp_data
NUMBER, LEVEL, OPTION = 0, 24, 32


class Program(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("filter", ctypes.c_char_p)]


def deny(option):
    steps = [
        (LOAD, 0, 0, NUMBER),
        (JUMP_IF_EQUAL, 0, 5, SETSOCKOPT[os.uname().machine]),
        (LOAD, 0, 0, LEVEL),
        (JUMP_IF_EQUAL, 0, 3, SOL_SOCKET),
        (LOAD, 0, 0, OPTION),
        (JUMP_IF_EQUAL, 0, 1, option),
        (RETURN, 0, 0, ERROR | EPERM),
        (RETURN, 0, 0, ALLOW),
    ]
    code = b"".join(struct.pack("HBBI", *step) for step in steps)
    libc = ctypes.CDLL(None, use_errno=True)
    program = Program(len(steps), code)
    if (libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 or
            libc.prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, ctypes.byref(program), 0, 0) != 0):
        raise OSError(ctypes.get_errno(), "seccomp")


if __name__ == "__main__":
    deny(int(sys.argv[1]))
    os.execvp(sys.argv[2], sys.argv[2:])
