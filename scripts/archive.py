"""Puts each program NAME/bootstrap below a directory into NAME/bootstrap.zip, always in the same way, and prints how big it is.

Fails if a program needs a newer C library than it will find.
    archive.py GLIBC DIRECTORY
"""

import pathlib
import re
import sys
import zipfile

# The earliest time that a zip archive can tell.
EPOCH = (1980, 1, 1, 0, 0, 0)
# A regular file that everybody may run: Lambda runs it as somebody else.
MODE = 0o100755


def version(text):
    return tuple(int(part) for part in text.split("."))


def newest_glibc(program):
    """The newest version of the C library that a symbol is wanted of."""
    found = re.findall(rb"\x00GLIBC_(\d+(?:\.\d+)+)(?=\x00)", program)
    return max((version(one.decode()) for one in found), default=(0,))


def pack(program, archive):
    entry = zipfile.ZipInfo("bootstrap", EPOCH)
    entry.create_system = 3
    entry.external_attr = MODE << 16
    entry.compress_type = zipfile.ZIP_DEFLATED
    with zipfile.ZipFile(archive, "w") as packed:
        packed.writestr(entry, program, compresslevel=9)


def main():
    offered, directory = version(sys.argv[1]), pathlib.Path(sys.argv[2])
    for path in sorted(directory.glob("*/bootstrap")):
        program = path.read_bytes()
        needed = newest_glibc(program)
        if needed > offered:
            sys.exit(f"{path} needs glibc {'.'.join(map(str, needed))}, and {sys.argv[1]} is what it gets")
        archive = path.with_suffix(".zip")
        pack(program, archive)
        size, packed = len(program) / 1e6, archive.stat().st_size / 1e6
        print(f"{path.parent.name:<10} {packed:5.2f} MB zipped, {size:6.2f} MB, glibc {'.'.join(map(str, needed))}")


main()
