/*
 * The backing of an image file's SHARED PE sections (design, decision 1).
 *
 * Windows has one copy of a SHARED PE section for all processes that have the image file loaded.
 * Which file that is, is told by its identity and not by its path; a file that was written to in
 * between is another one.
 */
#include <stdio.h>

#include "loader/ob/backing.h"

static nt_status write_content(void *user, int fd, struct pe_error *err)
{
    return mm_section_write_shared(user, fd, err);
}

nt_status ob_backing_open_image(struct mm_section *section, struct ob_backing **out, bool *created,
                                struct pe_error *err)
{
    struct mm_file_id id;
    char key[128];
    uint64_t size = mm_section_shared_size(section);

    if (size == 0)
        return pe_fail(err, STATUS_INVALID_PARAMETER, "the image has no SHARED PE section");
    if (!mm_section_file_id(section, &id))
        return pe_fail(err, STATUS_NOT_SUPPORTED,
                       "an image that was loaded from memory has no file to share PE sections by");
    snprintf(key, sizeof key, "image-%llx-%llx-%llx-%llx.%llx", (unsigned long long)id.dev,
             (unsigned long long)id.ino, (unsigned long long)id.size,
             (unsigned long long)id.mtime_sec, (unsigned long long)id.mtime_nsec);
    return ob_backing_open(key, size, write_content, section, out, created, err);
}
