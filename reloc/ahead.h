/*
 * Looking ahead of the walk: which pages are going to be written, told before it happens (ahead.c).
 */
#ifndef RELOC_AHEAD_H
#define RELOC_AHEAD_H

#include "reloc/walk.h"

struct reloc_ahead {
    uint32_t known_end;    /* of the run of pages that the walk is in; RVAs, exclusive */
    uint32_t prepared_end; /* so far the memory's owner has dealt with it */
    uint32_t written_end;  /* of the last page that a fixup has written to */
};

/* The walk has come to a block whose page is going to be written. */
void reloc_ahead_block(struct reloc_ahead *ahead, const struct reloc_walk *walk,
                       const struct pe_fixup_iter *it);
/* A fixup, or a run of them, writes up to `end`. */
static inline void reloc_ahead_wrote(struct reloc_ahead *ahead, uint32_t end)
{
    if (end > ahead->written_end)
        ahead->written_end = end;
}

#endif
