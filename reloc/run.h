/*
 * Runs of fixups that one page holds whole: the loops that nearly all fixups go through (run.c).
 */
#ifndef RELOC_RUN_H
#define RELOC_RUN_H

#include "reloc/reloc.h"

/*
 * Takes entries from the front of `entries` as long as they are of one type, which is DIR64,
 * HIGHLOW or ABSOLUTE, and their fields lie inside the page: sets `*type` and returns how many, 0
 * where the first one is none of these. With `page`, 4096 writable bytes, `delta` is added to each
 * field in turn; NULL only counts. Entries are read one by one, so they may lie in the page itself.
 */
uint32_t reloc_run(struct pe_span entries, uint8_t *page, uint64_t delta, uint8_t *type);

#endif
