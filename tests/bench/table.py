#!/usr/bin/env python3
"""All benchmarks of loading, and the table of what is asked of them.

    table.py BUILD [--part PART]... [--word 64|32]... [--seconds N] [--markdown FILE]

BUILD is a build folder of peldr in which the benchmarks' programs are built. The images (about 1.5 GB)
are made when they are first needed, in BUILD/tests/bench/twins. Every number is a minimum over runs that
take turns with those of the other contenders of its group. Exits with 1 when a contender fails to run;
what is measured never fails.
"""
import argparse
import pathlib
import sys

sys.dont_write_bytecode = True  # the source folder stays as it is

import bench  # noqa: E402
import parts  # noqa: E402
import twins  # noqa: E402


COLUMNS = ['dlopen', 'dlopen RELR', 'Wine', 'anonymous copy', 'peldr', 'peldr uncached', 'mappings alone']


def cell(value, digits=1):
    return '' if value is None else f'{value:,.{digits}f}'.replace(',', ' ')


def print_group(group):
    """One group of contenders: minima, medians, ratios to dlopen (or what stands for it), Wine, floor."""
    print(f'\n{group.title}')
    print(f'  {"":48} {"min us":>10} {"median":>10} {"runs":>6} {"faults":>7} {"ratio":>8} {"of Wine":>8} {"of floor":>8}')
    for name, worker in group.workers.items():
        ratios = [worker.best / group.workers[of].best if of in group.workers else None
                  for of in group.references(name)]
        print(f'  {name:48} {cell(worker.best):>10} {cell(worker.median):>10} {len(worker.times):>6} {cell(worker.least_faults):>7} ' +
              ' '.join(f'{cell(ratio, 2):>8}' for ratio in ratios))


def by_text(criteria):
    """What is asked of both word sizes stands in one line: text -> {word: Criterion}"""
    lines = {}
    for c in criteria:
        lines.setdefault(c.text, {})[c.word] = c
    return lines


def print_criteria(criteria):
    print(f'\n{"what is asked":80} {"at most":>8} {"64-bit":>8} {"32-bit":>8}')
    for text, found in by_text(criteria).items():
        values = [cell(found[word].value, 2) if word in found else '' for word in ('64', '32')]
        misses = [f'{word}-bit' for word, c in found.items() if not c.holds]
        bound = next(iter(found.values())).bound
        print(f'{text:80} {bound:8g} {values[0]:>8} {values[1]:>8}  ' +
              (f'DOES NOT HOLD ({" and ".join(misses)})' if misses else 'holds'))


def markdown(criteria, headlines):
    """Bold is what does not hold."""
    lines = ['| what is asked | at most | 64-bit | 32-bit |', '| --- | ---: | ---: | ---: |']
    for text, found in by_text(criteria).items():
        values = [cell(found[w].value, 2) if w in found else '' for w in ('64', '32')]
        values = [v if w not in found or found[w].holds else f'**{v}**' for v, w in zip(values, ('64', '32'))]
        lines.append(f'| {text} | {next(iter(found.values())).bound:g} | {values[0]} | {values[1]} |')
    columns = [c for c in COLUMNS if any(c in h.times for h in headlines)]
    if columns:
        lines += ['', '| load + unload, us | ' + ' | '.join(columns) + ' |',
                  '| --- |' + ' ---: |' * len(columns)]
        lines += [f'| {h.image} | ' + ' | '.join(cell(h.times.get(c)) for c in columns) + ' |'
                  for h in headlines]
    return '\n'.join(lines) + '\n'


def options():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('build')
    parser.add_argument('--part', action='append', choices=list(parts.PARTS))
    parser.add_argument('--word', action='append', choices=['64', '32'])
    parser.add_argument('--seconds', type=float, default=12, help='for each group of contenders')
    parser.add_argument('--markdown', type=pathlib.Path, help='writes the table of what is asked there')
    return parser.parse_args()


def main():
    args = options()
    sys.stdout.reconfigure(line_buffering=True)
    places, criteria, headlines, failures = bench.Places(args.build), [], [], []
    try:
        for word in args.word or ['64', '32']:
            for name in args.part or parts.PARTS:
                run = parts.Run(places, twins.Twins(places.twins), word, args.seconds)
                try:
                    parts.PARTS[name](run)
                except (bench.BenchError, RuntimeError, OSError) as error:
                    failures.append(f'{name}, {word}-bit: {error}')
                for group in run.groups:
                    print_group(group)
                for line in run.notes:
                    print('  ' + line)
                criteria += run.criteria
                headlines += run.headlines
    finally:
        places.close()
    if criteria:
        print_criteria(criteria)
        if args.markdown:
            args.markdown.write_text(markdown(criteria, headlines))
    for failure in failures:
        print(f'FAILED: {failure}')
    return 1 if failures else 0


if __name__ == '__main__':
    sys.exit(main())
