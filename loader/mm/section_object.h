/*
 * The inside of an image section object (internal to mm/).
 */
#ifndef MM_SECTION_OBJECT_H
#define MM_SECTION_OBJECT_H

#include <pthread.h>
#include <stdatomic.h>
#include <sys/stat.h>

#include "loader/mm/section.h"

struct mm_plan;

/*
 * What an image section object is made of: the last page of its memfd, behind the image. Another
 * process takes the object for its own when all of this is what it has found out itself.
 */
struct mm_label {
    char magic[16];
    uint64_t dev, ino, file_size;
    int64_t mtime_sec, mtime_nsec, ctime_sec, ctime_nsec;
    uint64_t layout; /* digest of the headers and of what the pages are made of */
    uint64_t image_size;
    /* 0 from here on in what a looker compares. */
    uint64_t settled; /* the file had not been written to just before it was read */
};

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
    struct mm_label label;
    uint32_t ticket; /* of the registry, 0 = not published */
};

const char *mm_section_name(const struct mm_section *section);
/* Index of the extent that holds `rva`, or of the first one behind it (`*inside` false). */
uint32_t mm_section_extent_index(const struct mm_section *section, uint32_t rva, bool *inside);
/* A view is being mapped: all but the first find the object sealed. */
nt_status mm_section_note_view(struct mm_section *section, struct pe_error *err);
/* section_build.c: the memfd, then its content by the plan, from the file `fd` or, if that is -1,
 * from `bytes`. */
nt_status mm_section_create_object(struct mm_section *section, struct pe_error *err);
nt_status mm_section_fill(const struct mm_section *section, struct pe_span bytes, int fd,
                          const struct mm_plan *plan, struct pe_error *err);
/* Whether an object's content is that of the file by the plan; a patched ImageBase does not count.
 */
bool mm_section_has_content(const struct mm_section *section, int object, int fd,
                            const struct mm_plan *plan);
/* Where ImageBase lies in the file and how wide it is. */
uint64_t mm_section_base_field(const struct mm_section *section, uint32_t *width);

/* section_share.c: one object per image file for all processes. */

struct mm_file_state {
    struct stat st;
    struct timespec read_at; /* before st */
};
/*
 * The section's headers and extents are known, or again when mm_share_claim() failed: takes a live
 * object of the file, waiting for a moment for one that is being built. False: to be built.
 */
bool mm_share_adopt(struct mm_section *section, int fd, const struct mm_file_state *state,
                    const struct mm_plan *plan);
/* The fresh object is to be the one for all, if wanted; false when another process was first. */
bool mm_share_claim(struct mm_section *section, bool first);
/* The object has been filled: labels it, or gives the claim up if the file has changed meanwhile.
 */
void mm_share_label(struct mm_section *section, int fd);
void mm_share_withdraw(struct mm_section *section);

/*
 * file.c: a span of the file's size that holds its headers and its section table; the rest of the
 * file is not read and shows as zeroes. Freed by mm_file_unmap().
 */
nt_status mm_file_read_headers(int fd, const char *name, enum pe_windows windows,
                               struct pe_span *out, struct stat *st, struct pe_error *err);

#endif
