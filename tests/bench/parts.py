"""The groups of contenders: which are measured together, and what is asked of them. For table.py."""
import collections
import pathlib
import shutil
import subprocess

import bench
import memory
import pepatch
import twins

Group = collections.namedtuple('Group', 'title workers references')
Headline = collections.namedtuple('Headline', 'image times')
SIZES = list(twins.SIZES)
FIXUPS = {'none': 'no fixups', 'sparse': '10 000 fixups, sparse', 'dense': '10 000 fixups, dense',
          'million': '1M fixups'}
CHECK = ['--symbol', 'twin_check', '--value', '42']
MAX_WARM, MAX_SPREAD, MAX_MOVED, MAX_UNCACHED, MAX_RELR, MAX_FIRST = 0.7, 1.3, 1.2, 0.4, 0.75, 1.0
MAX_MEMORY, MAX_IMPORTS, MAX_START, MAX_CALLS, MAX_FAULTS = 1.02, 0.6, 2.0, 12, 2
LIBWINE = pathlib.Path('/usr/lib/x86_64-linux-gnu/wine/x86_64-windows')


class Criterion(collections.namedtuple('Criterion', 'text word value bound')):
    @property
    def holds(self):
        return self.value <= self.bound


class Run:
    """One part in one word size: makes contenders, measures them, and keeps what came of it."""

    def __init__(self, places, made, word, seconds):
        self.places, self.twins, self.word, self.seconds = places, made, word, seconds
        self.groups, self.criteria, self.notes, self.headlines = [], [], [], []

    # ---- contenders

    def peldr(self, name, image, *options, cache=True, moved=False, forget=False):
        folder = self.places.cache() if cache else 'off'
        command = [self.places.program('worker_peldr', self.word), *options]
        if moved:
            command += ['--take', '{},{}'.format(*pepatch.preferred_range(image))]
        if forget:
            command += ['--forget']
        return bench.Worker(name, [*command, 'open', image], self.places.environment(folder))

    def host(self, name, contender, *arguments, options=()):
        return bench.Worker(name, [self.places.program('worker', self.word), *options, contender, *arguments],
                            self.places.environment())

    def dlopen(self, name, library, *options):
        return self.host(name, 'dlopen', library, options=options)

    def floor(self, name, image, *options):
        return self.host(name, 'floor', image, self.places.scratch, options=options)

    def copy(self, name, image, *options):
        return self.host(name, 'copy', image, options=options)

    def wine(self, name, image, *options, moved=False):
        """As a list: empty where there is no Wine for this word size."""
        found = self.places.wine(self.word)
        if not found:
            return []
        command, env = found
        taken = ['--take', *(hex(n) for n in pepatch.preferred_range(image))] if moved else []
        return [bench.Worker(name, [*command, *options, *taken, bench.windows_path(image)], env)]

    # ---- results

    def measure(self, title, workers, references=lambda name: ('dlopen', 'Wine', 'floor')):
        """`references` tells of a contender's name which three it is compared with. {name: minimum}"""
        done = bench.measure(workers, self.seconds)
        self.groups.append(Group(f'{title}, {self.word}-bit', done, references))
        return {name: worker.best for name, worker in done.items()}

    def headline(self, image, best, names):
        """A row of the summary: what a column's contender is called in this group."""
        if self.word == '64':
            self.headlines.append(Headline(image, {column: best.get(name) for column, name in names.items()}))

    def ask(self, text, value, bound):
        self.criteria.append(Criterion(text, self.word, value, bound))


# ---- loads of images without fixups ---------------------------------------------------------------


def warm(run):
    workers = []
    for size in SIZES:
        images = {align: run.twins.image(run.word, size, 'none', align) for align in ('200', '1000')}
        image = images['200']
        workers += [run.peldr(f'peldr {size} align {align}', images[align]['pe'], *CHECK) for align in images]
        workers += [run.dlopen(f'dlopen {size}', image['elf'], *CHECK),
                    run.floor(f'floor {size}', image['pe']),
                    run.copy(f'anonymous copy {size}', image['pe']),
                    run.host(f'byte copy {size}', 'read', image['pe'])]
        workers += run.wine(f'Wine {size}', image['pe'], '--symbol', 'twin_check', '42')

    def references(name):
        size = next(part for part in name.split() if part in SIZES)
        return f'dlopen {size}', f'Wine {size}', f'floor {size}'

    best = run.measure('Warm load + unload, no fixups', workers, references)
    for size in SIZES:
        run.headline(f'{size}, no fixups', best, {
            'dlopen': f'dlopen {size}', 'Wine': f'Wine {size}', 'anonymous copy': f'anonymous copy {size}',
            'peldr': f'peldr {size} align 200', 'mappings alone': f'floor {size}'})
    for align in ('200', '1000'):
        times = {size: best[f'peldr {size} align {align}'] for size in SIZES}
        run.ask(f'warm load + unload, FileAlignment 0x{align}: of dlopen, the worst of 4 sizes',
                max(times[size] / best[f'dlopen {size}'] for size in SIZES), MAX_WARM)
        run.ask(f'the same, FileAlignment 0x{align}: the slowest size of the fastest', max(times.values()) / min(times.values()),
                MAX_SPREAD)


def touched(run):
    """What a load costs whose pages are all read: copies have them at hand, mappings do not."""
    image = run.twins.image(run.word, '16m', 'none')
    million = run.twins.image(run.word, '16m', 'million')
    run.measure('16m, every page read', [
        run.peldr('peldr', image['pe'], '--touch'),
        run.dlopen('dlopen', image['elf'], '--touch'),
        run.floor('floor', image['pe'], '--touch'),
        run.copy('anonymous copy', image['pe'], '--touch'),
        *run.wine('Wine', image['pe'], '--touch'),
        run.peldr('peldr, 1M fixups, moved', million['pe'], '--touch', moved=True),
        run.dlopen('dlopen, 1M relocations', million['elf'], '--touch'),
        run.copy('anonymous copy, 1M fixups', million['pe'], '--touch', '--fixups'),
        *run.wine('Wine, 1M fixups, moved', million['pe'], '--touch', moved=True),
    ], lambda name: (('dlopen, 1M relocations', 'Wine, 1M fixups, moved', 'floor') if '1M' in name else
                     ('dlopen', 'Wine', 'floor')))


# ---- images that move -----------------------------------------------------------------------------


def moved_group(run, size, fixups):
    image = run.twins.image(run.word, size, fixups)
    plain = run.twins.image(run.word, size, 'none')
    workers = [
        run.peldr('peldr, moved, cached', image['pe'], *CHECK, moved=True),
        run.peldr('peldr, moved, uncached (another base each time)', image['pe'], *CHECK, '--wander'),
        run.peldr('peldr, moved, cache off', image['pe'], *CHECK, cache=False, moved=True),
        run.peldr('peldr at its preferred base', image['pe'], *CHECK),
        run.peldr('peldr, no fixups', plain['pe']),
        run.dlopen('dlopen', image['elf'], *CHECK),
        run.dlopen('dlopen, RELR', image['relr'], *CHECK),
        run.floor('floor', image['pe']),
        run.copy('anonymous copy and fixups', image['pe'], '--fixups'),
        *run.wine('Wine, moved', image['pe'], '--symbol', 'twin_check', '42', moved=True),
    ]
    best = run.measure(f'{size}, {FIXUPS[fixups]}', workers,
                       lambda name: ('dlopen', 'Wine, moved', 'floor'))
    run.headline(f'{size}, {FIXUPS[fixups]}, moved', best, {
        'dlopen': 'dlopen', 'dlopen RELR': 'dlopen, RELR', 'Wine': 'Wine, moved',
        'anonymous copy': 'anonymous copy and fixups', 'peldr': 'peldr, moved, cached',
        'peldr uncached': 'peldr, moved, uncached (another base each time)', 'mappings alone': 'floor'})
    return best


def moved(run):
    for size in ('16m', '128m'):
        best = moved_group(run, size, 'million')
        run.ask(f'{size}, 1M fixups, moved, cached: of the warm load without fixups',
                best['peldr, moved, cached'] / best['peldr, no fixups'], MAX_MOVED)
        uncached = best['peldr, moved, uncached (another base each time)']
        run.ask(f'{size}, 1M fixups, moved, uncached: of dlopen', uncached / best['dlopen'], MAX_UNCACHED)
        run.ask(f'{size}, 1M fixups, moved, uncached: of dlopen with RELR', uncached / best['dlopen, RELR'],
                MAX_RELR)
    moved_group(run, '16m', 'sparse')
    moved_group(run, '1m', 'dense')


# ---- the first load -------------------------------------------------------------------------------


def first_group(run, size, fixups, align):
    """Each load in a process of its own, which has loaded another image before: nothing is known of
    this one, neither there nor in the cache."""
    image = run.twins.image(run.word, size, fixups, align)
    other = run.twins.exporter(run.word)
    fresh = ['--fresh', '--keep', other['pe']]
    moves = fixups != 'none'
    workers = [
        run.peldr('peldr, first load ever', image['pe'], *fresh, forget=True, moved=moves),
        run.peldr('peldr, first load, cache off', image['pe'], *fresh, cache=False, moved=moves),
        run.peldr('peldr, cached by another process', image['pe'], *fresh, moved=moves),
        run.peldr('peldr, cached, and peldr itself starts', image['pe'], '--fresh', moved=moves),
        run.dlopen('dlopen', image['elf'], '--fresh', '--keep', other['elf']),
        run.floor('floor', image['pe'], '--fresh'),
        run.copy('anonymous copy', image['pe'], '--fresh', *(['--fixups'] if moves else [])),
        run.host('a new file with the pages', 'file', image['pe'], run.places.scratch, options=['--fresh']),
    ]
    return run.measure(f'First load, {size}, {FIXUPS[fixups]}, FileAlignment 0x{align}', workers)


def first(run):
    for size, fixups in [(size, 'none') for size in SIZES] + [('16m', 'million'), ('128m', 'million')]:
        best = first_group(run, size, fixups, '200')
        text = f'first load, {size}' + ('' if fixups == 'none' else ', 1M fixups, moved')
        for how, told in (('first load ever', 'into the cache'), ('first load, cache off', 'cache off')):
            run.ask(f'{text}, {told}: of the anonymous copy', best[f'peldr, {how}'] / best['anonymous copy'],
                    MAX_FIRST)
    first_group(run, '16m', 'none', '1000')


# ---- imports and names ----------------------------------------------------------------------------


def imports(run):
    exporter = run.twins.exporter(run.word)
    for count in (0, 100, 2000):
        image = run.twins.importer(run.word, count)
        check = ['--symbol', 'twin_sum', '--value', str(twins.importer_sum(count))]
        workers = [run.peldr(f'peldr, {kind}', image[kind], '--keep', exporter['pe'], *check)
                   for kind in ('right', 'wrong', 'ordinal')]
        workers += [run.dlopen('dlopen', image['elf'], '--keep', exporter['elf'], *check)]
        workers += run.wine('Wine, right', image['right'], '--keep', bench.windows_path(exporter['pe']),
                            '--symbol', check[1], check[3])
        best = run.measure(f'{count} imports (by hints that are right or wrong, by ordinal)', workers,
                           lambda name: ('dlopen', 'Wine, right', None))
        run.headline(f'{count} imports', best, {'dlopen': 'dlopen', 'Wine': 'Wine, right', 'peldr': 'peldr, right'})
        if count == 2000:
            for kind in ('right', 'wrong', 'ordinal'):
                what = 'by ordinal' if kind == 'ordinal' else f'{kind} hints'
                run.ask(f'2000 imports, {what}: of dlopen of the ELF pair',
                        best[f'peldr, {kind}'] / best['dlopen'], MAX_IMPORTS)


def symbols(run):
    exporter, names = run.twins.exporter(run.word), twins.export_names()[::10]
    peldr = bench.Worker('peldr_sym', [run.places.program('worker_peldr', run.word), 'sym', exporter['pe'],
                                       *names], run.places.environment())
    run.measure(f'{len(names)} look-ups of a name among {twins.EXPORTS}',
                [peldr, run.host('dlsym', 'dlsym', exporter['elf'], *names)], lambda name: ('dlsym', None, None))


# ---- processes ------------------------------------------------------------------------------------


def start(run):
    library = run.twins.image(run.word, '64k', 'none')['elf']
    native = run.places.copied(run.places.program('native_hello', run.word))
    peldr = [run.places.copied(run.places.command(run.word)), 'run', run.places.hello(run.word)]
    folder = run.places.cache()
    workers = [
        bench.Worker('peldr run hello.exe', [run.places.program('worker', run.word), 'spawn', *peldr],
                     run.places.environment(folder)),
        bench.Worker('peldr run hello.exe, cache off',
                     [run.places.program('worker', run.word), 'spawn', *peldr], run.places.environment()),
        run.host('native hello and dlopen', 'spawn', native, library),
        run.host('native hello', 'spawn', native),
    ]
    best = run.measure('A process that says hello', workers,
                       lambda name: ('native hello and dlopen', None, None))
    run.ask('peldr run hello.exe: of a native hello and a dlopen',
            best['peldr run hello.exe'] / best['native hello and dlopen'], MAX_START)


def count_calls(command, env, runs):
    """System calls of a worker that runs so often, as strace lists them."""
    done = subprocess.run(['strace', '-f', '-qq', '-e', 'signal=none', '-o', '/dev/stdout', *command],
                          env=env, input=f'{runs}\n', capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise bench.BenchError(f'strace: {done.stderr.strip()[-300:]}')
    return sum('(' in line and 'resumed>' not in line for line in done.stdout.splitlines())


def calls(run):
    image = run.twins.image(run.word, '64k', 'none')
    folder = run.places.cache()
    worker = run.places.program('worker', run.word)
    commands = {'peldr': ([run.places.program('worker_peldr', run.word), 'open', str(image['pe'])],
                          run.places.environment(folder)),
                'dlopen': ([worker, 'dlopen', str(image['elf'])], run.places.environment()),
                'floor': ([worker, 'floor', str(image['pe']), str(run.places.scratch)],
                          run.places.environment())}
    run.measure('64k, no fixups', [bench.Worker(name, *how) for name, how in commands.items()])
    done = run.groups[-1].workers
    if not shutil.which('strace'):
        run.notes.append('system calls are not counted: strace is not installed')
        return
    for name, how in commands.items():
        few, many = (count_calls(*how, runs) for runs in (10, 110))
        each, faults = (many - few) / 100, done[name].least_faults
        run.notes.append(f'{name}: {each:.2f} system calls and {faults:.2f} page faults a load + unload')
        if name == 'peldr':
            run.ask('system calls of a warm load + unload', each, MAX_CALLS)
            run.ask('page faults of a warm load + unload', faults, MAX_FAULTS)


def verify(run):
    """The tools that only read: many files, next to objdump -p."""
    files = sorted(str(f) for f in LIBWINE.glob('*')) if run.word == '64' else []
    if not files:
        run.notes.append(f'{LIBWINE} holds no images (Debian: libwine): nothing to read')
        return
    some, each = files[::8], 'for f; do "$0" $WORD "$f" || exit 1; done'
    peldr = run.places.command(run.word)

    def one_by_one(name, word, program):
        env = dict(run.places.environment(), WORD=word)
        return bench.Worker(name, [run.places.program('worker', '64'), 'spawn', '/bin/sh', '-c', each,
                                   program, *some], env)

    run.measure(f'The verdict on {len(files)} images of Wine', [
        run.host('peldr verify -r', 'spawn', peldr, 'verify', '-r', LIBWINE),
        run.host('objdump -p', 'spawn', '/usr/bin/objdump', '-p', *files),
    ], lambda name: ('objdump -p', None, None))
    run.measure(f'{len(some)} images of Wine, a process each', [
        one_by_one('peldr inspect', 'inspect', peldr), one_by_one('objdump -p', '-p', '/usr/bin/objdump'),
    ], lambda name: ('objdump -p', None, None))


PARTS = {'warm': warm, 'touched': touched, 'moved': moved, 'first': first, 'imports': imports,
         'symbols': symbols, 'memory': memory.part, 'start': start, 'calls': calls, 'verify': verify}
