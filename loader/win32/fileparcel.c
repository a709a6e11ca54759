/*
 * Files on their way to another process (ob/parcel.h): inheritance and DuplicateHandle.
 *
 * The descriptor is what goes: both processes then have one open file description, and with it the
 * position, the byte-range locks and the claims of share modes, as handles to one file object on
 * Windows. The rest is what the description does not know. A completion port stays behind: ports
 * are known to their process only.
 */
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "loader/ob/parcel.h"
#include "loader/win32/errors.h"
#include "loader/win32/file.h"

/* Alike in both word sizes. */
struct file_parcel {
    uint32_t access, share, flags;
    uint16_t delete_on_close;
    uint16_t path_length; /* 0: there is none, or it is too long for a parcel */
};

static nt_status pack(struct ob_object *object, struct ob_parcel *parcel, struct pe_error *err)
{
    const struct win32_file *file = (const struct win32_file *)object;
    struct file_parcel content = {
        .access = file->access,
        .share = file->share,
        .flags = file->flags,
        .delete_on_close = file->delete_on_close,
    };
    size_t length = file->path ? strlen(file->path) : 0;
    if (length > sizeof parcel->data - sizeof content)
        length = 0;
    content.path_length = (uint16_t)length;
    int fd = fcntl(file->fd, F_DUPFD_CLOEXEC, 0);
    if (fd < 0)
        return pe_fail(err, STATUS_INSUFFICIENT_RESOURCES, "no descriptor for a second handle");
    memcpy(parcel->data, &content, sizeof content);
    if (length)
        memcpy(parcel->data + sizeof content, file->path, length);
    parcel->size = (uint32_t)(sizeof content + length);
    parcel->fds[0] = fd;
    parcel->fd_count = 1;
    return STATUS_SUCCESS;
}

/* The path that was sent, else where the file is now; NULL for what has none. */
static char *path_of(const struct file_parcel *content, const struct ob_parcel *parcel, int fd)
{
    char self[32], now[PATH_MAX];
    if (content->path_length)
        return strndup((const char *)parcel->data + sizeof *content, content->path_length);
    snprintf(self, sizeof self, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(self, now, sizeof now);
    /* "pipe:[1234]" and the like are no paths. */
    bool is_path = length > 0 && length < (ssize_t)sizeof now && now[0] == '/';
    return is_path ? strndup(now, (size_t)length) : NULL;
}

static bool read_content(const struct ob_parcel *parcel, struct file_parcel *content)
{
    if (parcel->fd_count != 1 || parcel->size < sizeof *content)
        return false;
    memcpy(content, parcel->data, sizeof *content);
    return content->path_length == parcel->size - sizeof *content;
}

static nt_status unpack(const struct ob_parcel *parcel, struct ob_object **out,
                        struct pe_error *err)
{
    struct file_parcel content;
    struct ob_parcel refused = *parcel;
    if (!read_content(parcel, &content)) {
        ob_parcel_discard(&refused);
        return pe_fail(err, STATUS_INVALID_PARAMETER, "a malformed file from another process");
    }
    struct win32_file *file = win32_file_new(parcel->fds[0], content.access, true);
    if (!file) {
        ob_parcel_discard(&refused);
        return pe_fail(err, STATUS_NO_MEMORY, "no memory for a file from another process");
    }
    file->share = content.share;
    file->flags = content.flags;
    file->path = path_of(&content, parcel, file->fd);
    file->delete_on_close = content.delete_on_close && file->path;
    *out = &file->object;
    return STATUS_SUCCESS;
}

void win32_file_register(void)
{
    static const struct ob_courier courier = {pack, unpack};
    ob_courier_register(OB_TYPE_FILE, &win32_file_type, &courier);
}
