/*
 * The inside of an image section object (internal to mm/).
 */
#ifndef MM_SECTION_OBJECT_H
#define MM_SECTION_OBJECT_H

#include <pthread.h>
#include <stdatomic.h>
#include <sys/stat.h>

#include "loader/mm/section.h"

struct mm_section {
    atomic_uint references;
    char *name;
    struct pe_image image; /* bytes and file_headers: a copy of the file's headers */
    struct mm_extent *extents;
    uint32_t extent_count;
    uint32_t size;
    uint64_t shared_size;
    int object_fd; /* memfd; the page at RVA r lies at offset r */
    int file_fd;   /* for MM_SOURCE_FILE extents, or -1 */
    bool has_file_id;
    struct mm_file_id file_id;
    /* Under `lock`: */
    pthread_mutex_t lock;
    bool viewed; /* some view was mapped */
    bool sealed; /* the memfd cannot change any more */
};

const char *mm_section_name(const struct mm_section *section);
/* Index of the extent that holds `rva`, or of the first one behind it (`*inside` false). */
uint32_t mm_section_extent_index(const struct mm_section *section, uint32_t rva, bool *inside);
/* A view is being mapped: all but the first find the object sealed. */
nt_status mm_section_note_view(struct mm_section *section, struct pe_error *err);
/* Makes the object immutable. */
nt_status mm_section_seal(struct mm_section *section, struct pe_error *err);
/* Writes into the headers of an object that is not sealed yet; false when that is not possible. */
bool mm_section_patch(struct mm_section *section, uint32_t rva, const void *bytes, uint32_t len);

/* section_build.c: makes the memfd by the plan, from the file `fd` or, if that is -1, from `bytes`.
 */
struct mm_plan;
nt_status mm_section_build(struct mm_section *section, struct pe_span bytes, int fd,
                           const struct mm_plan *plan, struct pe_error *err);

/*
 * file.c: a span of the file's size that holds its headers and its section table; the rest of the
 * file is not read and shows as zeroes. Freed by mm_file_unmap().
 */
nt_status mm_file_read_headers(int fd, const char *name, struct pe_span *out, struct stat *st,
                               struct pe_error *err);

#endif
