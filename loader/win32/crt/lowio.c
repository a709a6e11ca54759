/*
 * Low-level I/O: _open, _read, _write and their like over the table of descriptors (fd.h).
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "loader/win32/crt/fd.h"
#include "loader/win32/crt/path.h"
#include "loader/win32/errors.h"
#include "loader/win32/file.h"
#include "loader/win32/types.h"

enum { SH_DENYNO = 0x40 };

/* ---- opening
 * ------------------------------------------------------------------------------------------- */

static int open_narrow(const char *name, int flags, int share, int permission)
{
    crt_wchar *wide = crt_path_widen(name);
    int fd = wide != NULL ? crt_fd_open(wide, flags, share, permission) : -1;
    free(wide);
    return fd;
}

static int open_wide(const crt_wchar *name, int flags, int share, int permission)
{
    if (name == NULL) {
        crt_invalid(CRT_EINVAL);
        return -1;
    }
    return crt_fd_open(name, flags, share, permission);
}

/* The last argument is there with _O_CREAT only; an extra one is harmless to read. */
static WINCDECL_DEF int crt__open(const char *name, int flags, int permission)
{
    return open_narrow(name, flags, SH_DENYNO, permission);
}

static WINCDECL_DEF int crt__wopen(const crt_wchar *name, int flags, int permission)
{
    return open_wide(name, flags, SH_DENYNO, permission);
}

static WINCDECL_DEF int crt__sopen(const char *name, int flags, int share, int permission)
{
    return open_narrow(name, flags, share, permission);
}

static WINCDECL_DEF int crt__wsopen(const crt_wchar *name, int flags, int share, int permission)
{
    return open_wide(name, flags, share, permission);
}

static int result_of(int opened, int *fd)
{
    if (fd == NULL) {
        return crt_invalid(CRT_EINVAL);
    }
    *fd = opened;
    return opened < 0 ? crt_thread()->error : 0;
}

static WINCDECL_DEF int crt__sopen_s(int *fd, const char *name, int flags, int share,
                                     int permission)
{
    return result_of(open_narrow(name, flags, share, permission), fd);
}

static WINCDECL_DEF int crt__wsopen_s(int *fd, const crt_wchar *name, int flags, int share,
                                      int permission)
{
    return result_of(open_wide(name, flags, share, permission), fd);
}

/* What UCRT's inline _sopen and _sopen_s call. */
static WINCDECL_DEF int crt__sopen_dispatch(const char *name, int flags, int share, int permission,
                                            int *fd, int secure)
{
    return result_of(open_narrow(name, flags, share, permission), fd);
}

static WINCDECL_DEF int crt__wsopen_dispatch(const crt_wchar *name, int flags, int share,
                                             int permission, int *fd, int secure)
{
    return result_of(open_wide(name, flags, share, permission), fd);
}

static WINCDECL_DEF int crt__creat(const char *name, int permission)
{
    return open_narrow(name, CRT_O_CREAT | CRT_O_TRUNC | CRT_O_RDWR, SH_DENYNO, permission);
}

static WINCDECL_DEF int crt__wcreat(const crt_wchar *name, int permission)
{
    return open_wide(name, CRT_O_CREAT | CRT_O_TRUNC | CRT_O_RDWR, SH_DENYNO, permission);
}

static WINCDECL_DEF int crt__close(int fd)
{
    return crt_fd_close(fd);
}

static WINCDECL_DEF int crt__dup(int fd)
{
    return crt_fd_duplicate(fd, -1);
}

static WINCDECL_DEF int crt__dup2(int from, int to)
{
    if (to < 0 || to >= CRT_FD_LIMIT) {
        crt_set_errno(CRT_EBADF);
        return -1;
    }
    if (from == to) {
        return crt_fd_host(from) < 0 ? -1 : 0;
    }
    return crt_fd_duplicate(from, to) < 0 ? -1 : 0;
}

static WINCDECL_DEF int crt__pipe(int fds[2], unsigned size, int flags)
{
    int hosts[2];
    if (pipe2(hosts, O_CLOEXEC) != 0) {
        return crt_fail_from_host();
    }
    fds[0] = crt_fd_enter(hosts[0], flags);
    fds[1] = fds[0] >= 0 ? crt_fd_enter(hosts[1], flags) : -1;
    if (fds[1] >= 0) {
        return 0;
    }
    if (fds[0] >= 0) {
        crt_fd_close(fds[0]);
    } else {
        close(hosts[0]);
    }
    close(hosts[1]);
    return -1;
}

/* ---- transfer
 * ---------------------------------------------------------------------------------------------- */

/* Whether the byte behind a \r at the end of what was read is \n, which it then takes too. */
static bool newline_follows(int fd)
{
    char next;
    if (!crt_fd_at_disk(fd) || crt_fd_read_raw(fd, &next, 1) != 1) {
        return false;
    }
    if (next != '\n') {
        crt_fd_seek(fd, -1, SEEK_CUR);
    }
    return next == '\n';
}

/* \r\n becomes \n, and Ctrl-Z ends a disk file. Returns the bytes left. */
static ssize_t read_text(int fd, char *buffer, ssize_t size)
{
    ssize_t out = 0;
    bool disk = memchr(buffer, 0x1A, (size_t)size) != NULL && crt_fd_at_disk(fd);
    for (ssize_t i = 0; i < size; i++) {
        if (buffer[i] == 0x1A && disk) {
            crt_fd_seek(fd, i - size, SEEK_CUR);
            break;
        }
        bool last = i + 1 == size;
        if (buffer[i] == '\r' && (last ? newline_follows(fd) : buffer[i + 1] == '\n')) {
            buffer[out++] = '\n';
            i++;
        } else {
            buffer[out++] = buffer[i];
        }
    }
    return out;
}

static WINCDECL_DEF int crt__read(int fd, void *buffer, unsigned size)
{
    if (crt_fd_host(fd) < 0) {
        return -1;
    }
    if (buffer == NULL && size != 0) {
        crt_invalid(CRT_EINVAL);
        return -1;
    }
    ssize_t got = crt_fd_read_raw(fd, buffer, size < INT32_MAX ? size : INT32_MAX);
    if (got < 0) {
        return crt_fail_from_host();
    }
    if (crt_fd_mode(fd) == CRT_MODE_TEXT) {
        got = read_text(fd, buffer, got);
    }
    return (int)got;
}

static ssize_t write_text(int fd, const char *buffer, size_t size)
{
    char chunk[4096];
    size_t used = 0;
    for (size_t i = 0; i < size; i++) {
        if (used + 2 > sizeof(chunk)) {
            if (crt_fd_write_raw(fd, chunk, used) < 0) {
                return -1;
            }
            used = 0;
        }
        if (buffer[i] == '\n') {
            chunk[used++] = '\r';
        }
        chunk[used++] = buffer[i];
    }
    return crt_fd_write_raw(fd, chunk, used) < 0 ? -1 : (ssize_t)size;
}

static WINCDECL_DEF int crt__write(int fd, const void *buffer, unsigned size)
{
    if (crt_fd_host(fd) < 0) {
        return -1;
    }
    if (buffer == NULL && size != 0) {
        crt_invalid(CRT_EINVAL);
        return -1;
    }
    bool text = crt_fd_mode(fd) == CRT_MODE_TEXT && crt_fd_writes_crlf(fd);
    ssize_t put = text ? write_text(fd, buffer, size) : crt_fd_write_raw(fd, buffer, size);
    return put < 0 ? crt_fail_from_host() : (int)put;
}

static WINCDECL_DEF int64_t crt__lseeki64(int fd, int64_t offset, int origin)
{
    return crt_fd_seek(fd, offset, origin);
}

static WINCDECL_DEF crt_long crt__lseek(int fd, crt_long offset, int origin)
{
    return (crt_long)crt_fd_seek(fd, offset, origin);
}

static WINCDECL_DEF int64_t crt__telli64(int fd)
{
    return crt_fd_seek(fd, 0, SEEK_CUR);
}

static WINCDECL_DEF crt_long crt__tell(int fd)
{
    return (crt_long)crt_fd_seek(fd, 0, SEEK_CUR);
}

static WINCDECL_DEF int64_t crt__filelengthi64(int fd)
{
    struct stat st;
    int host = crt_fd_host(fd);
    if (host < 0) {
        return -1;
    }
    return fstat(host, &st) == 0 ? (int64_t)st.st_size : crt_fail_from_host();
}

static WINCDECL_DEF crt_long crt__filelength(int fd)
{
    return (crt_long)crt__filelengthi64(fd);
}

static WINCDECL_DEF int crt__eof(int fd)
{
    int64_t length = crt__filelengthi64(fd);
    int64_t at = length >= 0 ? crt_fd_seek(fd, 0, SEEK_CUR) : -1;
    return at < 0 ? -1 : at >= length;
}

static WINCDECL_DEF int crt__chsize_s(int fd, int64_t size)
{
    int host = crt_fd_host(fd);
    if (host < 0) {
        return CRT_EBADF;
    }
    nt_status status =
        crt_fd_writable(fd) ? win32_fd_set_size(host, size) : (nt_status)STATUS_INVALID_HANDLE;
    if (!nt_ok(status)) {
        crt_fail_from_status(status);
        return crt_thread()->error;
    }
    return 0;
}

static WINCDECL_DEF int crt__chsize(int fd, crt_long size)
{
    return crt__chsize_s(fd, size) == 0 ? 0 : -1;
}

static WINCDECL_DEF int crt__commit(int fd)
{
    int host = crt_fd_host(fd);
    if (host < 0) {
        return -1;
    }
    return fsync(host) == 0 || errno == EINVAL ? 0 : crt_fail_from_host();
}

/* _locking: LK_UNLCK 0, LK_LOCK 1, LK_NBLCK 2, LK_RLCK 3, LK_NBRLCK 4, from the current position.
 */
static WINCDECL_DEF int crt__locking(int fd, int mode, crt_long size)
{
    struct flock lock = {
        .l_type = mode == 0 ? F_UNLCK : F_WRLCK, .l_whence = SEEK_CUR, .l_len = size};
    int host = crt_fd_host(fd);
    if (host < 0) {
        return -1;
    }
    if (size == 0) { /* to fcntl that is all the rest, which belongs to others too */
        return 0;
    }
    if (size < 0) {
        crt_invalid(CRT_EINVAL);
        return -1;
    }
    bool wait = mode == 1 || mode == 3;
    if (fcntl(host, wait ? F_OFD_SETLKW : F_OFD_SETLK, &lock) == 0) {
        return 0;
    }
    crt_fail_from_host();
    crt_set_errno(CRT_EACCES);
    return -1;
}

/* ---- properties
 * ---------------------------------------------------------------------------------------------- */

/* True for any character device, as on Windows. */
static WINCDECL_DEF int crt__isatty(int fd)
{
    struct stat st;
    int host = crt_fd_host(fd);
    return host >= 0 && fstat(host, &st) == 0 && S_ISCHR(st.st_mode) ? 0x40 : 0;
}

static WINCDECL_DEF int crt__setmode(int fd, int flags)
{
    return crt_fd_set_mode(fd, flags);
}

static WINCDECL_DEF intptr_t crt__get_osfhandle(int fd)
{
    return (intptr_t)crt_fd_handle(fd);
}

static WINCDECL_DEF int crt__open_osfhandle(intptr_t handle, int flags)
{
    return crt_fd_enter_handle((void *)handle, flags);
}

static WINCDECL_DEF int crt__umask(int mask)
{
    static int current;
    int old = current;
    current = mask & 0x180;
    return old;
}

static WINCDECL_DEF int crt__umask_s(int mask, int *old)
{
    if (old == NULL) {
        return crt_invalid(CRT_EINVAL);
    }
    *old = crt__umask(mask);
    return 0;
}

static const struct ldr_builtin_export functions[] = {
    CRT_FN(_open),
    CRT_FN(_wopen),
    CRT_FN(_sopen),
    CRT_FN(_wsopen),
    CRT_FN(_sopen_s),
    CRT_FN(_wsopen_s),
    CRT_FN(_sopen_dispatch),
    CRT_FN(_wsopen_dispatch),
    CRT_FN(_creat),
    CRT_FN(_wcreat),
    CRT_FN(_close),
    CRT_FN(_dup),
    CRT_FN(_dup2),
    CRT_FN(_pipe),
    CRT_FN(_read),
    CRT_FN(_write),
    CRT_FN(_lseek),
    CRT_FN(_lseeki64),
    CRT_FN(_tell),
    CRT_FN(_telli64),
    CRT_FN(_filelength),
    CRT_FN(_filelengthi64),
    CRT_FN(_eof),
    CRT_FN(_chsize),
    CRT_FN(_chsize_s),
    CRT_FN(_commit),
    CRT_FN(_locking),
    CRT_FN(_isatty),
    CRT_FN(_setmode),
    CRT_FN(_get_osfhandle),
    CRT_FN(_open_osfhandle),
    CRT_FN(_umask),
    CRT_FN(_umask_s),
};
CRT_FAMILY(crt_lowio_family, functions);
