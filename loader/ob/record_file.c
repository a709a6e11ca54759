/*
 * Records in their backings (see record_file.h). The first page holds all that an object without
 * pages of its own needs, so that a thousand events take a thousand pages.
 */
#include "loader/ob/record_file.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "loader/ob/name.h"
#include "loader/ob/runtime.h"

#define SHORT_NAME_AT sizeof(struct ob_record_header)
#define SHORT_NAME    ((OB_RECORD_BODY_AT - SHORT_NAME_AT) / 2)

_Static_assert(sizeof(struct ob_record_header) == 40, "both word sizes share it");

static uint64_t round_up(uint64_t value, uint64_t unit)
{
    return (value + unit - 1) / unit * unit;
}

nt_status ob_record_plan(const struct ob_name *name, bool global, uint32_t type_id, uint64_t extra,
                         struct ob_record_header *out, uint64_t *file_size, struct pe_error *err)
{
    bool is_short = name->length <= SHORT_NAME;
    uint64_t end = is_short ? OB_RECORD_PAGE : OB_RECORD_PAGE + name->length * 2;
    *out = (struct ob_record_header){
        .magic = OB_RECORD_MAGIC,
        .type_id = type_id,
        .global = global,
        .name_units = (uint32_t)name->length,
        .name_at = is_short ? SHORT_NAME_AT : OB_RECORD_PAGE,
        .extra_at = round_up(end, OB_RECORD_UNIT),
        .extra_size = extra,
    };
    if (extra > INT64_MAX - out->extra_at)
        return pe_fail(err, STATUS_SECTION_TOO_BIG, "no shared memory has %llu bytes",
                       (unsigned long long)extra);
    *file_size = extra ? out->extra_at + extra : round_up(end, OB_RECORD_PAGE);
    return STATUS_SUCCESS;
}

static bool put(int fd, const void *bytes, size_t size, uint64_t at)
{
    const char *from = bytes;
    while (size) {
        ssize_t done = pwrite(fd, from, size, (off_t)at);
        if (done < 0 && errno == EINTR)
            continue;
        if (done <= 0)
            return false;
        from += done;
        at += (uint64_t)done;
        size -= (size_t)done;
    }
    return true;
}

static bool get(int fd, void *bytes, size_t size, uint64_t at)
{
    char *to = bytes;
    while (size) {
        ssize_t done = pread(fd, to, size, (off_t)at);
        if (done < 0 && errno == EINTR)
            continue;
        if (done <= 0)
            return false;
        to += done;
        at += (uint64_t)done;
        size -= (size_t)done;
    }
    return true;
}

/* The first page in one piece: a page that is written is a page that is there. */
nt_status ob_record_write(int fd, const struct ob_record_header *header, const struct ob_name *name,
                          const void *body, struct pe_error *err)
{
    uint8_t page[OB_RECORD_PAGE] = {0};
    bool is_short = header->name_at == SHORT_NAME_AT;
    memcpy(page, header, sizeof *header);
    if (is_short && name->length)
        memcpy(page + SHORT_NAME_AT, name->text, name->length * 2);
    memcpy(page + OB_RECORD_BODY_AT, body, OB_RECORD_BODY);
    if ((is_short || put(fd, name->text, name->length * 2, header->name_at)) &&
        put(fd, page, sizeof page, 0))
        return STATUS_SUCCESS;
    return ob_fail_errno(err, errno, "cannot write the record of an object");
}

static bool is_sane(const struct ob_record_header *header, const struct stat *st)
{
    uint64_t size = (uint64_t)st->st_size, name_bytes = (uint64_t)header->name_units * 2;
    if (header->magic != OB_RECORD_MAGIC || header->type_id == OB_TYPE_NONE ||
        header->type_id >= OB_TYPE_COUNT || header->global > 1 || header->name_units > OB_NAME_MAX)
        return false;
    if (header->name_at == SHORT_NAME_AT
            ? header->name_units > SHORT_NAME
            : header->name_at != OB_RECORD_PAGE || size < OB_RECORD_PAGE + name_bytes)
        return false;
    if (header->extra_size == 0)
        return size >= OB_RECORD_PAGE;
    return header->extra_at % OB_RECORD_UNIT == 0 && header->extra_at >= OB_RECORD_UNIT &&
           header->extra_at >= header->name_at + name_bytes && header->extra_at <= size &&
           header->extra_size <= size - header->extra_at;
}

nt_status ob_record_read(int fd, struct ob_record_facts *out, struct pe_error *err)
{
    struct ob_record_header header;
    struct stat st;
    *out = (struct ob_record_facts){0};
    if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode) || !get(fd, &header, sizeof header, 0) ||
        !is_sane(&header, &st))
        return pe_fail(err, STATUS_FILE_INVALID, "the record of an object is damaged");
    uint16_t *name = malloc(header.name_units * 2 + 2);
    if (!name)
        return pe_fail(err, STATUS_NO_MEMORY, "no memory for the name of an object");
    if (!get(fd, name, header.name_units * 2, header.name_at)) {
        free(name);
        return pe_fail(err, STATUS_FILE_INVALID, "the record of an object is damaged");
    }
    name[header.name_units] = 0;
    *out = (struct ob_record_facts){
        .header = header, .name = name, .dev = (uint64_t)st.st_dev, .ino = (uint64_t)st.st_ino};
    return STATUS_SUCCESS;
}
