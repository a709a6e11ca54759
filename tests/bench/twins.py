#!/usr/bin/env python3
"""Twins: a DLL and an ELF library that hold and do the same, for benchmarks of loading.

    twins.py FOLDER [64|32] SPEC...       builds them into FOLDER, and prints the paths

A SPEC is SIZE-FIXUPS[-ALIGN]: SIZE 64k 1m 16m 128m; FIXUPS none, sparse (10 000 over the whole data),
dense (10 000 in a row), million (a million in a row); ALIGN 200 or 1000, the FileAlignment of the DLL. Or
exports, or imports-N: N functions imported from `exports`.

Both twins come from one assembler source: the same constants, the same pointers, the same exported
functions, nothing of a C library. What cannot be in a file of that size (a million pointers in 1 MB) is
refused. Files are built once and kept; --force builds them again.
"""
import hashlib
import os
import pathlib
import random
import shutil
import subprocess
import sys

sys.dont_write_bytecode = True  # the source folder stays as it is

import pepatch  # noqa: E402

SIZES = {'64k': 64 << 10, '1m': 1 << 20, '16m': 16 << 20, '128m': 128 << 20}
FIXUPS = {'none': 0, 'sparse': 10_000, 'dense': 10_000, 'million': 1_000_000}
EXPORTS = 2000
OVERHEAD = 12 << 10  # headers, code, tables: what the constants leave room for
BASES = {'64': {'exports': 0x190000000, 'importer': 0x1A0000000, None: 0x180000000},
         '32': {'exports': 0x61000000, 'importer': 0x62000000, None: 0x10000000}}


class Target:
    """How the assembler and the linkers are told what they are to make."""

    def __init__(self, word, pe):
        self.word, self.pe = word, pe
        self.pointer = '.quad' if word == '64' else '.long'
        self.pointer_size = 8 if word == '64' else 4
        self.prefix = '_' if pe and word == '32' else ''
        cpu = 'x86_64' if word == '64' else 'i686'
        self.triple = f'{cpu}-windows-gnu' if pe else f'{cpu}-linux-gnu'
        self.rdata = '.section .rdata,"dr"' if pe else '.section .rodata,"a"'


def function(target, name, body):
    kind = '' if target.pe else f'.type {name},@function\n'
    size = '' if target.pe else f'.size {name},.-{name}\n'
    return f'.globl {target.prefix}{name}\n{kind}{target.prefix}{name}:\n{body}{size}'


def pointers(target, count, stride):
    """The last one has a name of its own: twin_check() goes by it."""
    gap = f'.fill {stride - target.pointer_size},1,0xcc\n' if stride > target.pointer_size else ''
    return f'.rept {count - 1}\n{target.pointer} target\n{gap}.endr\nlast: {target.pointer} target\n' \
        if count else ''


def check_source(target):
    """Calls where the last pointer points to, which it finds without needing a fixup itself."""
    if target.word == '64':
        return 'subq $40,%rsp\ncall *last(%rip)\naddq $40,%rsp\nret\n'
    return 'call 1f\n1: popl %eax\naddl $last-1b,%eax\njmp *(%eax)\n'


def image_source(target, size, fixups, bulk):
    count = FIXUPS[fixups]
    room = size - OVERHEAD
    used = count * target.pointer_size
    if used > room:
        raise ValueError(f'{count} pointers do not fit into {size} bytes')
    sparse = fixups == 'sparse'
    stride = room // count // 16 * 16 if sparse else target.pointer_size
    constants = 0 if sparse else room - used
    return '\n'.join([
        '.text', function(target, 'twin_answer', 'target:\nmovl $42,%eax\nret\n'),
        function(target, 'twin_check', check_source(target) if count else 'jmp target\n'),
        target.rdata, f'.incbin "{bulk}",0,{constants}' if constants else '',
        '.data', '.balign 16', '.long 1', '.balign 16', pointers(target, count, stride), ''])


def export_names():
    """2000 names like those of real libraries: some share long beginnings, lengths differ."""
    rnd = random.Random(2000)
    verbs = ['get', 'set', 'create', 'destroy', 'read', 'write', 'init', 'find', 'add', 'remove']
    nouns = ['Context', 'Buffer', 'Stream', 'ImageInfo', 'Color', 'Handle', 'Table', 'Error']
    return sorted(f'{rnd.choice(["tw", "twin", "twinlib"])}_{rnd.choice(verbs)}{rnd.choice(nouns)}'
                  f'{rnd.choice(["", "Ex", "_64", "Checked"])}{i}' for i in range(EXPORTS))


def imported_names(count):
    return random.Random(count).sample(export_names(), count)


def importer_sum(count):
    """What twin_sum() returns: the exported functions return their places, from 1."""
    places = {name: i + 1 for i, name in enumerate(export_names())}
    return sum(places[name] for name in imported_names(count))


def exports_source(target):
    return '.text\n' + ''.join(function(target, name, f'movl ${i + 1},%eax\nret\n')
                               for i, name in enumerate(export_names()))


def importer_source(target, names):
    """twin_sum() adds up what all imported functions return."""
    if target.word == '64':
        begin = 'pushq %rbx\nsubq $48,%rsp\nxorl %ebx,%ebx\n'
        call = 'call *__imp_{0}(%rip)\n' if target.pe else 'call {0}@PLT\n'
        each, end = call + 'addl %eax,%ebx\n', 'movl %ebx,%eax\naddq $48,%rsp\npopq %rbx\nret\n'
    else:
        begin = 'pushl %ebx\npushl %esi\nxorl %esi,%esi\n'
        if not target.pe:
            begin += 'call 1f\n1: popl %ebx\naddl $_GLOBAL_OFFSET_TABLE_+(.-1b),%ebx\n'
        call = 'call *__imp__{0}\n' if target.pe else 'call {0}@PLT\n'
        each, end = call + 'addl %eax,%esi\n', 'movl %esi,%eax\npopl %esi\npopl %ebx\nret\n'
    body = begin + ''.join(each.format(name) for name in names) + end
    return '.text\n' + function(target, 'twin_sum', body) + '.data\n.long 1\n'


def run(*command):
    done = subprocess.run([str(c) for c in command], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f'{command[0]}: {done.stderr.strip()[-2000:]}')


def assemble(target, source, out):
    text = out.with_suffix('.s')
    text.write_text(source)
    run('clang', f'--target={target.triple}', '-c', text, '-o', out)
    text.unlink()


def link_dll(word, objects, out, base, align, exports):
    definition = out.with_suffix('.def')
    definition.write_text('EXPORTS\n' + ''.join(f' {name}\n' for name in exports))
    run('lld-link', '/dll', '/noentry', '/nodefaultlib', f'/out:{out}', f'/base:{base:#x}', '/dynamicbase',
        f'/machine:{"x64" if word == "64" else "x86"}', '/safeseh:no', f'/filealign:{int(align, 16)}',
        '/brepro', f'/def:{definition}', f'/implib:{out.with_suffix(".lib")}', *objects)
    definition.unlink()


def link_elf(word, objects, out, extra=()):
    run('gcc', *(['-m32'] if word == '32' else []), '-shared', '-nostdlib', '-Wl,-z,noexecstack',
        f'-Wl,-soname,{out.name}', *extra, *objects, '-o', out)


class Twins:
    def __init__(self, folder, force=False):
        self.folder, self.force = pathlib.Path(folder).absolute(), force
        self.folder.mkdir(parents=True, exist_ok=True)
        here = pathlib.Path(__file__)
        self.version = hashlib.sha256(here.read_bytes() +
                                      here.with_name('pepatch.py').read_bytes()).hexdigest()[:16]

    def bulk(self):
        """Bytes that are not zero and do not repeat, as much as the largest twin needs."""
        path = self.folder / 'bulk.bin'
        if not path.exists() or path.stat().st_size != max(SIZES.values()):
            rnd = random.Random(1)
            with open(path, 'wb') as out:
                for _ in range(max(SIZES.values()) >> 20):
                    out.write(rnd.randbytes(1 << 20))
        return path

    def once(self, stamp, paths, build):
        """Builds what `paths` names unless this version of the generator has."""
        stamp = self.folder / (stamp + '.stamp')
        if not self.force and stamp.exists() and stamp.read_text() == self.version \
                and all(p.exists() for p in paths):
            return
        build()
        for path in paths:  # as an installation would write them (bench.py, copied)
            copy = path.with_suffix('.copy')
            shutil.copyfile(path, copy)
            os.replace(copy, path)
            os.chmod(path, 0o644)
        stamp.write_text(self.version)

    def image(self, word, size, fixups, align='200'):
        """{'pe', 'elf', 'relr'}: paths; relr is None where there is nothing to relocate."""
        name = f'{size}-{fixups}-{word}'
        pe = self.folder / f'{name}-{align}.dll'
        elf, relr = self.folder / f'{name}.so', self.folder / f'{name}-relr.so'

        def build(is_pe, link):
            target = Target(word, is_pe)
            obj = self.folder / (name + ('.obj' if is_pe else '.o'))
            assemble(target, image_source(target, SIZES[size], fixups, self.bulk()), obj)
            link(obj)
            obj.unlink()

        def build_elf(obj):
            link_elf(word, [obj], elf)
            if FIXUPS[fixups]:
                link_elf(word, [obj], relr, ['-Wl,-z,pack-relative-relocs'])

        self.once(pe.name, [pe], lambda: build(True, lambda obj: link_dll(
            word, [obj], pe, BASES[word][None], align, ['twin_answer', 'twin_check'])))
        self.once(elf.name, [elf] + ([relr] if FIXUPS[fixups] else []), lambda: build(False, build_elf))
        check_fixups(pe, elf, FIXUPS[fixups])
        return {'pe': pe, 'elf': elf, 'relr': relr if FIXUPS[fixups] else None}

    def exporter(self, word):
        pe, elf = self.folder / f'exports-{word}.dll', self.folder / f'libexports-{word}.so'

        def build(target, out):
            obj = out.with_suffix('.o')
            assemble(target, exports_source(target), obj)
            if target.pe:
                link_dll(word, [obj], out, BASES[word]['exports'], '200', export_names())
            else:
                link_elf(word, [obj], out)
            obj.unlink()

        for target, out in ((Target(word, True), pe), (Target(word, False), elf)):
            self.once(out.name, [out], lambda t=target, o=out: build(t, o))
        return {'pe': pe, 'elf': elf}

    def importer(self, word, count):
        """{'elf', 'right', 'wrong', 'ordinal'}: the DLL with each kind of hints, and by ordinal."""
        exporter = self.exporter(word)
        names = imported_names(count)
        elf = self.folder / f'libimports-{count}-{word}.so'
        plain = self.folder / f'imports-{count}-{word}.dll'
        patched = {kind: plain.with_name(f'{plain.stem}-{kind}.dll')
                   for kind in ('right', 'wrong', 'ordinal')}

        def build():
            for target in (Target(word, True), Target(word, False)):
                obj = plain.with_suffix('.o')
                assemble(target, importer_source(target, names), obj)
                if target.pe:
                    link_dll(word, [obj, exporter['pe'].with_suffix('.lib')], plain,
                             BASES[word]['importer'], '200', ['twin_sum'])
                else:
                    link_elf(word, [obj] + ([exporter['elf']] if count else []), elf, ['-Wl,-rpath,$ORIGIN'])
                obj.unlink()
            for kind, path in patched.items():
                path.write_bytes(pepatch.imports(plain.read_bytes(), exporter['pe'].read_bytes(), kind))

        self.once(plain.name, [elf, *patched.values()], build)
        return {'elf': elf, **patched}

    def build(self, word, spec):
        parts = spec.split('-')
        if spec == 'exports':
            return self.exporter(word)
        if parts[0] == 'imports':
            return self.importer(word, int(parts[1]))
        return self.image(word, *parts)


def check_fixups(pe, elf, count):
    """The same number of pointers to relocate in both: the DLL's .reloc and the library's DT_REL*COUNT."""
    text = subprocess.run(['readelf', '-dW', str(elf)], capture_output=True, text=True, check=True).stdout
    counts = [int(line.split()[-1]) for line in text.splitlines() if 'COUNT)' in line]
    in_elf, in_pe = counts[0] if counts else 0, pepatch.fixup_count(pe)
    if (in_elf, in_pe) != (count, count):
        raise RuntimeError(f'{pe.name} has {in_pe} fixups, {elf.name} {in_elf} relocations, not {count}')


def main():
    arguments = [a for a in sys.argv[1:] if a != '--force']
    if len(arguments) < 2:
        print(__doc__, file=sys.stderr)
        return 2
    twins, word = Twins(arguments[0], '--force' in sys.argv), '64'
    for argument in arguments[1:]:
        if argument in BASES:
            word = argument
        else:
            for path in twins.build(word, argument).values():
                print(path if path else '-')
    return 0


if __name__ == '__main__':
    sys.exit(main())
