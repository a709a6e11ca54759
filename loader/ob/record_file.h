/*
 * How a record lies in its backing. Both word sizes read it; everything is checked before use.
 */
#ifndef OB_RECORD_FILE_H
#define OB_RECORD_FILE_H

#include "loader/ob/record.h"

#define OB_RECORD_MAGIC   0x31524F50u /* "POR1" */
#define OB_RECORD_PAGE    4096u       /* header, short name and body: what is mapped */
#define OB_RECORD_BODY_AT (OB_RECORD_PAGE - OB_RECORD_BODY)
#define OB_RECORD_UNIT    0x10000u /* extra begins at a multiple of it */

struct ob_record_header {
    uint32_t magic;
    uint32_t type_id;
    uint32_t global;
    uint32_t name_units; /* 0 = no name */
    uint64_t name_at;    /* a short name lies behind the header, a long one behind the page */
    uint64_t extra_at, extra_size;
};

/* A record's bytes that are not shared memory. `name` is malloc'ed. */
struct ob_record_facts {
    struct ob_record_header header;
    uint16_t *name;
    uint64_t dev, ino;
};

/* Where everything goes. STATUS_SECTION_TOO_BIG when no file is as large. */
nt_status ob_record_plan(const struct ob_name *name, bool global, uint32_t type_id, uint64_t extra,
                         struct ob_record_header *out, uint64_t *file_size, struct pe_error *err);
/* Writes header, name and body (OB_RECORD_BODY bytes) into an empty file of that size. */
nt_status ob_record_write(int fd, const struct ob_record_header *header, const struct ob_name *name,
                          const void *body, struct pe_error *err);
/* STATUS_FILE_INVALID for anything that is not a whole record. */
nt_status ob_record_read(int fd, struct ob_record_facts *out, struct pe_error *err);

#endif
