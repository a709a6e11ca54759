/*
 * Opening files (Microsoft, "CreateFileW", "Creating and Opening Files"; MS-FSA 2.1.5.1).
 *
 * A file is opened first, then claimed (ob/fileshare.h), and only then cut or marked, so that an
 * open that is refused changes nothing. Between the steps others may create, replace or delete what
 * the path leads to: the attempt is then made again.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "loader/ob/fileshare.h"
#include "loader/win32/errors.h"
#include "loader/win32/file.h"
#include "loader/win32/filename.h"
#include "loader/win32/strings.h"

/* Somebody else's success each time. */
enum { MAX_ATTEMPTS = 1000 };

struct opening {
    const char *path;
    const struct win32_open *how;
    uint32_t rights;
    bool truncates; /* an existing file */
    bool existed, claimed, stale;
    struct stat st; /* of an existing file, before it was opened */
    int fd;
};

/* ---- the host's open ---- */

static bool is_denied(int fd)
{
    return fd < 0 && (errno == EACCES || errno == EPERM);
}

/* Flags that hold whatever the file is opened for. */
static int common_flags(const struct opening *o)
{
    int flags = O_CLOEXEC | O_NOCTTY;
    bool appends = (o->rights & FILE_APPEND_DATA) && !(o->rights & FILE_WRITE_DATA);
    if (appends)
        flags |= O_APPEND;
    if (o->how->flags & FILE_FLAG_WRITE_THROUGH)
        flags |= O_SYNC;
    return flags;
}

/*
 * A regular file that is written is opened for reading as well where that is allowed: claims are
 * cheaper then, and what the handle grants is checked at every use. Who wants neither opens it to
 * carry the claim of deletion, or without access to the data at all.
 */
static int open_regular(const struct opening *o)
{
    uint32_t claims = win32_file_claims(o->rights);
    int flags = common_flags(o), fd;
    if ((claims & OB_SHARE_WRITE) || o->truncates) {
        fd = open(o->path, flags | O_RDWR);
        return is_denied(fd) && !(claims & OB_SHARE_READ) ? open(o->path, flags | O_WRONLY) : fd;
    }
    if (claims & OB_SHARE_READ)
        return open(o->path, flags | O_RDONLY);
    fd = claims ? open(o->path, flags | O_RDONLY) : -1;
    if (claims && is_denied(fd))
        fd = open(o->path, flags | O_WRONLY);
    return !claims || is_denied(fd) ? open(o->path, O_CLOEXEC | O_PATH) : fd;
}

static int open_other(const struct opening *o)
{
    static const int modes[] = {O_PATH, O_RDONLY, O_WRONLY, O_RDWR};
    uint32_t data = win32_file_claims(o->rights) & (OB_SHARE_READ | OB_SHARE_WRITE);
    return open(o->path, (data ? common_flags(o) : O_CLOEXEC) | modes[data]);
}

static int open_directory(const struct opening *o)
{
    int fd = -1;
    if (win32_file_claims(o->rights))
        fd = open(o->path, O_CLOEXEC | O_RDONLY | O_DIRECTORY);
    /* What may not be listed can still be asked about. */
    bool lists = o->rights & FILE_READ_DATA;
    return fd < 0 && !lists ? open(o->path, O_CLOEXEC | O_PATH | O_DIRECTORY) : fd;
}

/* ---- what is there already ---- */

static nt_status check_existing(const struct opening *o)
{
    bool writes = o->truncates || (o->rights & (FILE_WRITE_DATA | FILE_APPEND_DATA));
    if (o->how->disposition == CREATE_NEW)
        return (nt_status)STATUS_OBJECT_NAME_COLLISION;
    if (S_ISDIR(o->st.st_mode)) {
        bool may_open = o->how->want_directory || (o->how->flags & FILE_FLAG_BACKUP_SEMANTICS);
        return may_open && !o->truncates ? STATUS_SUCCESS : (nt_status)STATUS_FILE_IS_A_DIRECTORY;
    }
    if (o->how->want_directory)
        return (nt_status)STATUS_NOT_A_DIRECTORY;
    /* The read-only attribute binds everyone, root included. */
    if (!S_ISREG(o->st.st_mode) || (o->st.st_mode & 0222))
        return STATUS_SUCCESS;
    if (o->how->flags & FILE_FLAG_DELETE_ON_CLOSE)
        return (nt_status)STATUS_CANNOT_DELETE;
    return writes ? (nt_status)STATUS_ACCESS_DENIED : STATUS_SUCCESS;
}

static nt_status open_existing(struct opening *o)
{
    nt_status status = check_existing(o);
    if (!nt_ok(status))
        return status;
    o->fd = S_ISDIR(o->st.st_mode)   ? open_directory(o)
            : S_ISREG(o->st.st_mode) ? open_regular(o)
                                     : open_other(o);
    o->stale = o->fd < 0 && errno == ENOENT;
    return o->fd < 0 && !o->stale ? win32_status_of_errno(errno) : STATUS_SUCCESS;
}

/* ---- what is not there yet ---- */

static nt_status create(struct opening *o)
{
    struct stat link;
    mode_t mode = o->how->mode                              ? o->how->mode
                  : o->how->flags & FILE_ATTRIBUTE_READONLY ? 0444
                                                            : 0666;
    if (o->how->disposition == OPEN_EXISTING || o->how->disposition == TRUNCATE_EXISTING)
        return (nt_status)STATUS_OBJECT_NAME_NOT_FOUND;
    if (o->how->want_directory) {
        o->fd = mkdir(o->path, 0777) == 0 ? open_directory(o) : -1;
    } else {
        o->fd = open(o->path, common_flags(o) | O_RDWR | O_CREAT | O_EXCL, mode);
        /* A symbolic link that leads nowhere yet: its target is what is created. */
        if (o->fd < 0 && errno == EEXIST && lstat(o->path, &link) == 0 && S_ISLNK(link.st_mode))
            o->fd = open(o->path, common_flags(o) | O_RDWR | O_CREAT, mode);
    }
    o->stale = o->fd < 0 && errno == EEXIST;
    return o->fd < 0 && !o->stale ? win32_status_of_errno(errno) : STATUS_SUCCESS;
}

/* ---- claims ---- */

/* Cutting a file needs that nobody denies writing and that no section has pages of it. */
static nt_status check_truncation(const struct opening *o)
{
    if (ob_fileshare_used(o->fd, OB_FILE_MAPPED))
        return (nt_status)STATUS_USER_MAPPED_FILE;
    return ob_fileshare_check(o->fd, OB_SHARE_WRITE);
}

static nt_status claim(struct opening *o)
{
    struct stat st;
    if (fstat(o->fd, &st) < 0)
        return win32_status_of_errno(errno);
    if (!S_ISREG(st.st_mode) && !S_ISDIR(st.st_mode))
        return STATUS_SUCCESS;
    o->stale = st.st_nlink == 0;
    nt_status status =
        o->existed && !o->stale ? win32_file_check_deleted(o->fd, &o->stale) : STATUS_SUCCESS;
    if (!nt_ok(status) || o->stale)
        return status;
    status = ob_fileshare_claim(o->fd, win32_file_claims(o->rights), o->how->share);
    if (!nt_ok(status)) {
        win32_file_look(o->fd);
        o->stale = fstat(o->fd, &st) == 0 && st.st_nlink == 0;
        return o->stale ? STATUS_SUCCESS : status;
    }
    o->claimed = true;
    if (o->existed && o->truncates)
        status = check_truncation(o);
    if (nt_ok(status) && (o->how->flags & FILE_FLAG_DELETE_ON_CLOSE)) {
        if (ob_fileshare_used(o->fd, OB_FILE_IMAGE) || ob_fileshare_used(o->fd, OB_FILE_MAPPED))
            status = (nt_status)STATUS_CANNOT_DELETE;
        else
            ob_fileshare_want_delete(o->fd);
    }
    return status;
}

/* The new content of an existing file is none, its attributes are those that were given. */
static nt_status truncate_existing(const struct opening *o)
{
    if (!o->truncates || !S_ISREG(o->st.st_mode))
        return STATUS_SUCCESS;
    if (ftruncate(o->fd, 0) < 0)
        return win32_status_of_errno(errno);
    if (o->how->disposition == CREATE_ALWAYS && (o->how->flags & FILE_ATTRIBUTE_READONLY))
        fchmod(o->fd, o->st.st_mode & 07555);
    return STATUS_SUCCESS;
}

static nt_status attempt(struct opening *o)
{
    o->fd = -1;
    o->claimed = o->stale = false;
    o->existed = stat(o->path, &o->st) == 0;
    if (!o->existed && errno != ENOENT)
        return win32_status_of_errno(errno);
    nt_status status = o->existed ? open_existing(o) : create(o);
    if (nt_ok(status) && !o->stale)
        status = claim(o);
    if (nt_ok(status) && !o->stale && o->existed)
        status = truncate_existing(o);
    if ((nt_ok(status) && !o->stale) || o->fd < 0)
        return status;
    if (o->claimed)
        win32_file_close_and_look(o->fd, NULL);
    else
        close(o->fd);
    return status;
}

/* ---- the object ---- */

static nt_status make_file(const struct opening *o, struct win32_file **out)
{
    char *copy = strdup(o->path);
    struct win32_file *file = copy ? win32_file_new(o->fd, o->rights, true) : NULL;
    if (!file) {
        free(copy);
        close(o->fd);
        return (nt_status)STATUS_NO_MEMORY;
    }
    file->path = copy;
    file->share = o->how->share;
    file->flags = o->how->flags;
    file->delete_on_close = o->how->flags & FILE_FLAG_DELETE_ON_CLOSE;
    *out = file;
    return STATUS_SUCCESS;
}

/* MAXIMUM_ALLOWED is what the host lets us do. */
static uint32_t rights_of(const char *path, const struct win32_open *how)
{
    uint32_t rights = win32_file_rights(how->access);
    if (how->access & MAXIMUM_ALLOWED)
        rights |= access(path, W_OK) == 0 || errno == ENOENT
                      ? FILE_ALL_ACCESS
                      : FILE_GENERIC_READ | FILE_GENERIC_EXECUTE;
    if (how->flags & FILE_FLAG_DELETE_ON_CLOSE)
        rights |= FILE_DELETE;
    return rights;
}

nt_status win32_file_open_host(const char *path, const struct win32_open *how,
                               struct win32_file **out, bool *existed)
{
    struct opening o = {
        .path = path,
        .how = how,
        .rights = rights_of(path, how),
        .truncates = how->disposition == CREATE_ALWAYS || how->disposition == TRUNCATE_EXISTING,
    };
    nt_status status;
    int attempts = 0;
    do {
        status = attempt(&o);
    } while (nt_ok(status) && o.stale && ++attempts < MAX_ATTEMPTS);
    if (nt_ok(status) && o.stale)
        status = (nt_status)STATUS_SHARING_VIOLATION;
    if (!nt_ok(status))
        return status;
    *existed = o.existed;
    return make_file(&o, out);
}

/* A path with a "\\" at its end is a directory's or nobody's. */
static nt_status file_path(const WCHAR *name, bool slash, const struct win32_open *how, char **path)
{
    struct stat st;
    bool must_exist = how->disposition == OPEN_EXISTING || how->disposition == TRUNCATE_EXISTING;
    nt_status status = win32_host_path(name, must_exist, path);
    if (!nt_ok(status) || !slash || how->want_directory)
        return status;
    if (stat(*path, &st) == 0 && S_ISDIR(st.st_mode))
        return STATUS_SUCCESS;
    free(*path);
    return (nt_status)STATUS_OBJECT_NAME_INVALID;
}

static nt_status path_to_open(const WCHAR *name, const struct win32_open *how, char **path)
{
    WCHAR *full = win32_full_path(name);
    if (!full)
        return (nt_status)STATUS_NO_MEMORY;
    const char *device = win32_host_device(full);
    bool slash = full[0] && full[win32_wlen(full) - 1] == '\\';
    free(full);
    if (!device)
        return file_path(name, slash, how, path);
    *path = strdup(device);
    return *path ? STATUS_SUCCESS : (nt_status)STATUS_NO_MEMORY;
}

nt_status win32_file_open(const WCHAR *name, const struct win32_open *how, HANDLE *out,
                          bool *existed)
{
    char *path;
    struct win32_file *file = NULL;
    nt_status status = path_to_open(name, how, &path);
    if (!nt_ok(status))
        return status;
    status = win32_file_open_host(path, how, &file, existed);
    free(path);
    return nt_ok(status) ? win32_file_handle(file, file->access, how->inherit, out) : status;
}
