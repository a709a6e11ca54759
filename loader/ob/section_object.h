/*
 * The inside of a section object (internal to ob/): what its record says, and what this process has
 * made of it.
 */
#ifndef OB_SECTION_OBJECT_H
#define OB_SECTION_OBJECT_H

#include <pthread.h>

#include "loader/ob/section.h"

enum ob_section_kind { OB_SECTION_PAGING = 1, OB_SECTION_FILE, OB_SECTION_IMAGE };

#define OB_SECTION_MAGIC   0x31636573u /* "sec1" */
#define OB_SECTION_HOLDERS 64u
#define OB_SECTION_PATH    2048u
/* The largest section of a data file or the paging file that 64-bit Windows makes. */
#define OB_SECTION_MAX (((uint64_t)16 << 40) - 0x10000)

/*
 * The body of a section's record. All but `size` and `holders` is written once, before anybody else
 * sees it; those two are atomic.
 */
struct ob_section_body {
    uint32_t magic, kind;
    uint64_t size; /* grows only (NtExtendSection) */
    uint32_t protect, attributes;
    uint64_t dev, ino;    /* of the file */
    uint64_t commit_size; /* bytes of the commit bitmap, in front of the pages; else 0 */
    /* Processes and their descriptors of the file: id << 32 | descriptor + 1. Of some holders: who
     * finds the table full is not in it. */
    uint64_t holders[OB_SECTION_HOLDERS];
    char path[OB_SECTION_PATH]; /* host path; "" = unknown, or too long */
};
_Static_assert(sizeof(struct ob_section_body) <= OB_RECORD_BODY, "a section's body fits a record");

struct ob_section {
    struct ob_object object;
    struct ob_record *record;
    enum ob_section_kind kind;
    uint32_t protect, attributes;
    uint64_t dev, ino, commit_size;
    pthread_mutex_t lock; /* guards the following */
    bool ready;           /* the file is open, the pages can be mapped */
    int fd;               /* of the file, -1 = none */
    struct mm_data *data;
    struct mm_section *image;
};

const struct ob_record_type *ob_section_record_type(void);
/* Copies and checks what a record says; false = damaged. `path` holds OB_SECTION_PATH bytes or is
 * NULL. */
bool ob_section_read_body(const void *body, struct ob_section_body *out, bool with_path);

/* What the creator of a section, or a parcel, brings along: taken, on failure too. */
struct ob_section_parts {
    int fd;                   /* -1 = to be found */
    struct mm_section *image; /* NULL = to be made of the file */
};
/* Makes the section usable in this process, once. */
nt_status ob_section_ready(struct ob_section *section, struct ob_section_parts parts,
                           struct pe_error *err);
/* The data section with its present size: a new reference. The section is ready. */
nt_status ob_section_data(struct ob_section *section, struct mm_data **out, struct pe_error *err);

/* ---- section_file.c: the file behind a section ------------------------------------------------
 */

struct ob_section_file {
    int fd; /* a description of the section's own */
    uint64_t dev, ino, size;
};
/* Opens the section's own description of how->fd; no data is looked at. */
nt_status ob_section_file_open(const struct ob_section_create *how, struct ob_section_file *out,
                               struct pe_error *err);
/* What a descriptor leads to, if that is a file that can be mapped. */
bool ob_section_file_identify(int fd, struct ob_section_file *out);
/* The size that a section of `wanted` bytes (0 = the file's) gets; a section that writes makes the
 * file that long. */
nt_status ob_section_file_size(const struct ob_section_file *file, uint64_t wanted, bool writes,
                               uint64_t *size, struct pe_error *err);
/* A description of the file that a record tells of: of a process that holds it, or by its path.
 * STATUS_RETRY when it cannot be had. */
nt_status ob_section_file_find(const struct ob_section *section, int *fd, struct pe_error *err);
/* Puts this process's descriptor into the table of holders, or takes it out. */
void ob_section_file_hold(struct ob_section_body *body, int fd);
void ob_section_file_forget(struct ob_section_body *body, int fd);

#endif
