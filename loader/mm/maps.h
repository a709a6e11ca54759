/*
 * Reader of /proc/self/maps (internal to mm/): what the host has mapped.
 *
 * Works in a fixed buffer without heap, so that it may be used while handling a fault.
 */
#ifndef MM_MAPS_H
#define MM_MAPS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct mm_map_entry {
    uint64_t start, end;
    int prot;       /* PROT_* */
    bool shared;    /* MAP_SHARED */
    uint64_t inode; /* 0 = anonymous */
    uint64_t dev;
    char path[256]; /* cut when longer; "" = anonymous, "[stack]" ... */
};

struct mm_maps {
    int fd;
    size_t pos, len;
    char buf[2048];
};

/* False when /proc is not there; the reader is then empty and needs no close. */
bool mm_maps_open(struct mm_maps *maps);
/* Entries in ascending order; false at the end. */
bool mm_maps_next(struct mm_maps *maps, struct mm_map_entry *out);
void mm_maps_close(struct mm_maps *maps);

#endif
