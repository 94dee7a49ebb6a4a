"""Reads from a macOS build of torch which operators it registers for MPS, and writes them to mps_registrations.json.

    pip download torch==VERSION --no-deps --only-binary=:all: --platform macosx_14_0_arm64 --python-version 3.12
    python extract_registrations.py torch-VERSION-*-macosx_*_arm64.whl

The wheel is only read, never installed; no package beyond the standard library is needed.

How: a registration such as `m.impl("add.out", ...)` compiles to code that loads the address of the string "add.out".
All of them stand in functions named TORCH_LIBRARY_IMPL_init_<namespace>_<dispatch key>_<number>. So it suffices to
find these functions in the symbol table of libtorch_cpu.dylib and to collect the strings whose addresses they form.
The address of the kernel is formed just before; if its name contains "mps_fallback", PyTorch runs it on the CPU.
"""

import bisect
import json
import re
import struct
import sys
import zipfile
from pathlib import Path

TABLE = Path(__file__).with_name("mps_registrations.json")
SEGMENT_64, SYMTAB = 0x19, 0x2
INITIALISER = re.compile(r"TORCH_LIBRARY_IMPL_init_aten_(MPS|SparseMPS)_\d+")
KINDS = {"MPS": "native", "SparseMPS": "sparse"}


class Dylib:
    """The sections and symbols of a 64-bit Mach-O file."""

    def __init__(self, data):
        self.data = data
        magic, *_, commands, _, _, _ = struct.unpack_from("<8I", data)
        if magic != 0xFEEDFACF:
            raise ValueError("not a 64-bit Mach-O file (a universal file holds several: extract the arm64 one)")
        self.sections, self.symbols = [], {}
        at = 32
        for _ in range(commands):
            command, size = struct.unpack_from("<2I", data, at)
            if command == SEGMENT_64:
                for i in range(struct.unpack_from("<I", data, at + 64)[0]):
                    name, _, address, length, offset = struct.unpack_from("<16s16s2QI", data, at + 72 + 80 * i)
                    self.sections.append((address, length, offset, name.rstrip(b"\0").decode()))
            elif command == SYMTAB:
                first, count, strings, _ = struct.unpack_from("<4I", data, at + 8)
                for name, kind, section, _, address in struct.iter_unpack("<IBBHQ", data[first : first + 16 * count]):
                    if section and not kind & 0xE0:  # defined here, and no debugging entry
                        self.symbols.setdefault(address, strings + name)
            at += size
        self.addresses = sorted(self.symbols)

    def text_at(self, offset):
        return self.data[offset : self.data.index(b"\0", offset)].decode("latin1")

    def symbol(self, address):
        return self.text_at(self.symbols[address])

    def locate(self, address):
        """(file offset, section name) of an address."""
        for start, length, offset, name in self.sections:
            if start <= address < start + length:
                return offset + address - start, name
        return None, None

    def formed_addresses(self, start):
        """The addresses that the function at `start` forms with adr, or with adrp and add."""
        stop = self.addresses[bisect.bisect_right(self.addresses, start)]
        offset, _ = self.locate(start)
        pages = {}
        for pc in range(start, stop, 4):
            word = struct.unpack_from("<I", self.data, offset + pc - start)[0]
            if word & 0x1F000000 == 0x10000000:  # adr, adrp: 21 bits, signed, of bytes or of 4 kB pages
                distance = (word >> 5 & 0x7FFFF) << 2 | word >> 29 & 3
                distance -= (distance & 1 << 20) << 1
                if word >> 31:
                    pages[word & 31] = (pc & ~0xFFF) + (distance << 12)
                else:
                    pages[word & 31] = pc + distance
                    yield pc + distance
            elif word & 0xFF800000 == 0x91000000:  # add with an immediate
                source, immediate = word >> 5 & 31, (word >> 10 & 0xFFF) << (12 if word >> 22 & 1 else 0)
                if source in pages:
                    yield pages[source] + immediate


def registrations(data):
    dylib = Dylib(data)
    found = {"native": set(), "cpu_fallback": set(), "sparse": set()}
    for start in dylib.addresses:
        match = INITIALISER.search(dylib.symbol(start))
        if not match:
            continue
        kernels = []
        for address in dylib.formed_addresses(start):
            offset, section = dylib.locate(address)
            if section == "__cstring":
                kind = KINDS[match[1]]
                if kind == "native" and any("mps_fallback" in kernel for kernel in kernels):
                    kind = "cpu_fallback"
                found[kind].add(dylib.text_at(offset).removeprefix("aten::"))
                kernels = []
            elif address in dylib.symbols:
                kernels.append(dylib.symbol(address))
    return {kind: sorted(names) for kind, names in found.items()}


def main(wheel):
    version = Path(wheel).name.split("-")[1]
    with zipfile.ZipFile(wheel) as archive:
        table = registrations(archive.read("torch/lib/libtorch_cpu.dylib"))
    if len(table["native"]) < 500:
        sys.exit(f"only {len(table['native'])} operators found: this torch is laid out in another way")
    tables = json.loads(TABLE.read_text()) if TABLE.exists() else {}
    tables[version] = table
    ordered = dict(sorted(tables.items(), key=lambda item: [int(n) for n in re.findall(r"\d+", item[0])]))
    TABLE.write_text(json.dumps(ordered, indent=0) + "\n")
    print(version, {kind: len(names) for kind, names in table.items()})


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(sys.argv[1])
