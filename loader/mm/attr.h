/*
 * One byte per page: the truth about a page's NT state (internal to mm/).
 *
 * Host protections are derived from it, VirtualQuery answers from it. 0 is a reserved page, so that
 * a fresh zeroed array describes a fresh reservation and untouched parts of it cost no memory.
 */
#ifndef MM_ATTR_H
#define MM_ATTR_H

#include "loader/mm/protect.h"

enum {
    MM_ATTR_BASE = 0x07, /* index of the base protection's bit */
    MM_ATTR_COMMITTED = 0x08,
    MM_ATTR_SHARED = 0x10,   /* a write is seen by other processes */
    MM_ATTR_MODIFIER = 0x60, /* none, PAGE_GUARD, PAGE_NOCACHE, PAGE_WRITECOMBINE */
    MM_ATTR_WRITTEN = 0x80,  /* written before a snapshot, which keeps it elsewhere (snapshot.h) */
};

/* A committed page of a valid protection; `flags` of MM_ATTR_SHARED and MM_ATTR_WRITTEN. */
uint8_t mm_attr_make(uint32_t protect, uint8_t flags);
/* The NT protection; 0 for a reserved page. */
uint32_t mm_attr_protect(uint8_t attr);
/* PROT_* that the host page gets. */
int mm_attr_prot(uint8_t attr);

#endif
