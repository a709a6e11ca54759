"""Reads and rewrites the few fields of PE files that linkers give no say in (PE specification): import
hints, imports by ordinal; and counts fixups. For twins.py, over files that it has made itself."""
import mmap
import struct

EXPORT, IMPORT, BASERELOC = 0, 1, 5
ABSOLUTE = 0  # type of a fixup that only fills a block up


class Image:
    def __init__(self, data):
        self.data = data
        header = struct.unpack_from('<I', data, 0x3c)[0]
        count, optional_size = struct.unpack_from('<H', data, header + 6)[0], \
            struct.unpack_from('<H', data, header + 20)[0]
        self.plus = struct.unpack_from('<H', data, header + 24)[0] == 0x20b
        self.base = struct.unpack_from('<Q' if self.plus else '<I', data, header + (48 if self.plus else 52))[0]
        self.size = struct.unpack_from('<I', data, header + 80)[0]
        self.directories = header + (136 if self.plus else 120)
        table = header + 24 + optional_size
        self.sections = [struct.unpack_from('<IIII', data, table + 40 * i + 8) for i in range(count)]

    def directory(self, index):
        return struct.unpack_from('<II', self.data, self.directories + 8 * index)

    def offset(self, rva):
        for _, address, raw_size, raw in self.sections:
            if address <= rva < address + raw_size:
                return raw + rva - address
        raise ValueError(f'RVA {rva:#x} is not in the file')

    def string(self, rva):
        begin = self.offset(rva)
        return bytes(self.data[begin:self.data.find(b'\0', begin)])

    def export_names(self):
        """name -> (place in the name table = the right hint, ordinal)"""
        at = self.offset(self.directory(EXPORT)[0])
        base, _, names, _, name_table, ordinals = struct.unpack_from('<6I', self.data, at + 16)
        return {self.string(struct.unpack_from('<I', self.data, self.offset(name_table) + 4 * i)[0]):
                (i, base + struct.unpack_from('<H', self.data, self.offset(ordinals) + 2 * i)[0])
                for i in range(names)}

    def thunks(self):
        """Of every import by name: the places of its two thunks in the file, and of its hint."""
        width, code = (8, '<Q') if self.plus else (4, '<I')
        at = self.offset(self.directory(IMPORT)[0]) if self.directory(IMPORT)[0] else None
        while at is not None:
            lookup, _, _, name, table = struct.unpack_from('<5I', self.data, at)
            if not name:
                return
            step = 0
            while (value := struct.unpack_from(code, self.data, self.offset(lookup) + step)[0]) != 0:
                yield self.offset(lookup) + step, self.offset(table) + step, value
                step += width
            at += 20


def imports(data, exporter, kind):
    """The DLL with hints that are right, or wrong, or with ordinals in place of names."""
    image, exports = Image(bytearray(data)), Image(exporter).export_names()
    code, flag = ('<Q', 1 << 63) if image.plus else ('<I', 1 << 31)
    for lookup, table, rva in list(image.thunks()):
        place, ordinal = exports[image.string(rva + 2)]
        if kind == 'ordinal':
            for thunk in (lookup, table):
                struct.pack_into(code, image.data, thunk, flag | ordinal)
        else:
            hint = place if kind == 'right' else (place + 7) % len(exports)
            struct.pack_into('<H', image.data, image.offset(rva), hint)
    return bytes(image.data)


def fixup_count(path):
    with open(path, 'rb') as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        image, count = Image(data), 0
        rva, size = image.directory(BASERELOC)
        at = image.offset(rva) if rva else 0
        end = at + size
        while at < end:
            block = struct.unpack_from('<I', data, at + 4)[0]
            entries = struct.unpack_from(f'<{(block - 8) // 2}H', data, at + 8)
            count += len(entries) - sum(entry >> 12 == ABSOLUTE for entry in entries[-1:])
            at += block
        return count


def preferred_range(path):
    """(ImageBase, SizeOfImage)"""
    with open(path, 'rb') as file:
        image = Image(file.read(4096))
        return image.base, image.size
