/*
 * What creating an image section object would say of a file, without building one (section.h).
 */
#include <sys/stat.h>

#include "loader/mm/section_object.h"
#include "pe/rules.h"

nt_status mm_file_check_image(int fd, const char *name, enum pe_windows windows,
                              struct pe_headers *out, struct pe_error *err)
{
    struct pe_span bytes;
    struct pe_image image;
    struct stat st;
    nt_status status = mm_file_read_headers(fd, name, windows, &bytes, &st, err);

    if (!nt_ok(status))
        return status;
    status = pe_admit(bytes, windows, &image, err);
    if (nt_ok(status))
        *out = image.h;
    else
        pe_error_prefix(err, "%s: ", name);
    mm_file_unmap(bytes);
    return status;
}
