/*
 * What processes tell each other about their address spaces (OB_REQUEST_REGIONS,
 * OB_REQUEST_MODULES): between the files of peldr_walk().
 *
 * A reply is a header and that many entries, each followed by its strings without a terminator.
 * Both word sizes lay them out alike.
 */
#ifndef LOADER_PELDR_WALK_H
#define LOADER_PELDR_WALK_H

#include "loader/ob/process.h"

#define WALK_REGIONS_MAGIC 0x31474552u /* "REG1" */
#define WALK_MODULES_MAGIC 0x31444F4Du /* "MOD1" */

struct walk_header {
    uint32_t magic, count;
};

struct walk_region {
    uint64_t base, size, allocation_base;
    uint32_t allocation_protect, state, protect, type;
    uint32_t name_size, unused;
};

enum walk_module_flags {
    WALK_BUILTIN = 1,
    WALK_FILE = 2,      /* dev and ino are valid */
    WALK_RELOCATED = 4, /* its fixups were applied ... */
    WALK_CACHED = 8,    /* ... by another load */
};

struct walk_module {
    uint64_t base, size, dev, ino;
    uint32_t flags, name_size, path_size, unused;
};

/* Registers the answers; before the process's service starts. */
void peldr_walk_register(void);
/* The answers themselves, for a process that looks at itself. */
void peldr_answer_regions(struct ob_message *request, struct ob_message *reply);
void peldr_answer_modules(struct ob_message *request, struct ob_message *reply);

/* ---- asking ---- */

/* Reads a reply entry by entry. */
struct walk_reader {
    struct ob_message reply;
    uint32_t at, left; /* entries; some are left where the reply makes no sense */
    uint64_t end;      /* of the last region */
};
/*
 * Asks process `id` (this one, too). STATUS_INVALID_CID: no such process, or no peldr in it;
 * STATUS_ACCESS_DENIED: another user's; STATUS_IO_TIMEOUT: it is stopped or does not answer. To be
 * closed on success.
 */
nt_status peldr_walk_ask(uint32_t id, enum ob_request request, struct walk_reader *reader,
                         struct pe_error *err);
void peldr_walk_close(struct walk_reader *reader);
/* The next entry; its strings are copied, cut and freed of control characters. False at the end,
 * and where the reply makes no sense. */
bool peldr_walk_next_region(struct walk_reader *reader, struct walk_region *out, char *name,
                            uint32_t name_room);
bool peldr_walk_next_module(struct walk_reader *reader, struct walk_module *out, char *name,
                            uint32_t name_room, char *path, uint32_t path_room);

/* ---- page counts (peldr_pages.c) ---- */

struct page_counts {
    uint64_t resident, private, shared; /* bytes */
};
struct walk_pages;
/* NULL when the kernel does not tell about that process. */
struct walk_pages *peldr_pages_open(uint32_t id);
void peldr_pages_close(struct walk_pages *pages); /* NULL is allowed */
/* Of the pages in [begin, end); ranges are asked for in ascending order. False: not known. */
bool peldr_pages_count(struct walk_pages *pages, uint64_t begin, uint64_t end,
                       struct page_counts *out);

#endif
