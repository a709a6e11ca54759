/*
 * The C runtime's table of file descriptors (fd.h).
 *
 * 0, 1 and 2 are there from the beginning, over the Linux descriptors of the same numbers. Files
 * are opened by KERNEL32's file objects, so its sharing rules and its path grammar hold.
 */
#include "loader/win32/crt/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sys/stat.h>
#include <unistd.h>

#include "loader/ke/ke.h"
#include "loader/ke/teb.h"
#include "loader/win32/crt/data.h"
#include "loader/win32/file.h"

struct entry {
    bool open;
    bool owns_host; /* else the handle owns the Linux descriptor */
    bool standard;
    bool append;
    bool unreadable, unwritable; /* what the handle does not grant: the descriptor may be more */
    uint8_t mode;                /* enum crt_mode */
    int host;
    HANDLE handle; /* NULL until asked for */
    unsigned number;
};

static struct entry table[CRT_FD_LIMIT] = {
    [0] = {.open = true, .standard = true, .host = 0},
    [1] = {.open = true, .standard = true, .host = 1},
    [2] = {.open = true, .standard = true, .host = 2},
};
static pthread_mutex_t table_lock = PTHREAD_MUTEX_INITIALIZER;
static unsigned last_number;

/* A copy of the entry, so that nobody waits for the lock during a transfer. */
static bool find(int fd, struct entry *out)
{
    bool open = false;
    if (fd >= 0 && fd < CRT_FD_LIMIT) {
        pthread_mutex_lock(&table_lock);
        *out = table[fd];
        open = out->open;
        pthread_mutex_unlock(&table_lock);
    }
    if (!open) {
        errno = EBADF;
        crt_fail_from_host();
    }
    return open;
}

static enum crt_mode mode_of(int flags)
{
    if (flags & (CRT_O_U16TEXT | CRT_O_WTEXT)) {
        return CRT_MODE_UTF16;
    }
    if (flags & CRT_O_U8TEXT) {
        return CRT_MODE_UTF8;
    }
    if ((flags & (CRT_O_TEXT | CRT_O_BINARY)) == 0) {
        flags |= crt_default_mode();
    }
    return flags & CRT_O_BINARY ? CRT_MODE_BINARY : CRT_MODE_TEXT;
}

static int enter(const struct entry *entry)
{
    int fd = -1;
    pthread_mutex_lock(&table_lock);
    for (int i = 0; i < CRT_FD_LIMIT && fd < 0; i++) {
        if (!table[i].open) {
            table[i] = *entry;
            table[i].number = ++last_number;
            fd = i;
        }
    }
    pthread_mutex_unlock(&table_lock);
    if (fd < 0) {
        errno = EMFILE;
        crt_fail_from_host();
    }
    return fd;
}

static void release(const struct entry *entry)
{
    if (entry->handle != NULL) {
        ob_handle_close(win32_ob_handle(entry->handle));
    }
    if (entry->owns_host) {
        close(entry->host);
    }
}

static uint32_t access_of(int flags)
{
    if (flags & CRT_O_RDWR) {
        return GENERIC_READ | (uint32_t)GENERIC_WRITE;
    }
    return flags & CRT_O_WRONLY ? (uint32_t)GENERIC_WRITE : GENERIC_READ;
}

static uint32_t disposition_of(int flags)
{
    if (!(flags & CRT_O_CREAT)) {
        return flags & CRT_O_TRUNC ? TRUNCATE_EXISTING : OPEN_EXISTING;
    }
    if (flags & CRT_O_EXCL) {
        return CREATE_NEW;
    }
    return flags & CRT_O_TRUNC ? CREATE_ALWAYS : OPEN_ALWAYS;
}

/* _SH_DENYRW, _SH_DENYWR, _SH_DENYRD, _SH_DENYNO */
static uint32_t share_of(int share)
{
    switch (share) {
    case 0x10:
        return 0;
    case 0x20:
        return FILE_SHARE_READ;
    case 0x30:
        return FILE_SHARE_WRITE;
    default:
        return FILE_SHARE_READ | FILE_SHARE_WRITE;
    }
}

int crt_fd_open(const crt_wchar *name, int flags, int share, int permission)
{
    struct win32_open how = {
        .access = access_of(flags),
        .share = share_of(share),
        .disposition = disposition_of(flags),
        .flags = FILE_ATTRIBUTE_NORMAL,
        .inherit = !(flags & CRT_O_NOINHERIT),
    };
    bool existed;
    HANDLE handle;
    if ((flags & CRT_O_CREAT) && !(permission & 0x80)) { /* no _S_IWRITE */
        how.flags = FILE_ATTRIBUTE_READONLY;
    }
    if (flags & CRT_O_TEMPORARY) {
        how.flags |= FILE_FLAG_DELETE_ON_CLOSE;
        how.share |= FILE_SHARE_DELETE;
    }
    nt_status status = win32_file_open(name, &how, &handle, &existed);
    if (!nt_ok(status)) {
        return crt_fail_from_status(status);
    }
    int fd = crt_fd_enter_handle(handle, flags);
    if (fd < 0) {
        ob_handle_close(win32_ob_handle(handle));
    }
    return fd;
}

int crt_fd_enter(int host, int flags)
{
    struct entry entry = {
        .open = true,
        .owns_host = true,
        .append = flags & CRT_O_APPEND,
        .mode = mode_of(flags),
        .host = host,
    };
    return enter(&entry);
}

static bool is_readable(HANDLE handle)
{
    struct win32_file *file;
    bool yes = nt_ok(win32_file_get(handle, FILE_READ_DATA, &file));
    if (yes) {
        win32_file_put(file);
    }
    return yes;
}

static bool is_writable(HANDLE handle)
{
    struct win32_file *file;
    bool yes = nt_ok(win32_file_get_writable(handle, &file));
    if (yes) {
        win32_file_put(file);
    }
    return yes;
}

int crt_fd_enter_handle(void *handle, int flags)
{
    struct win32_file *file;
    nt_status status = win32_file_get(handle, 0, &file);
    if (!nt_ok(status)) {
        return crt_fail_from_status(status);
    }
    struct entry entry = {
        .open = true,
        .append = flags & CRT_O_APPEND,
        .mode = mode_of(flags),
        .host = file->fd,
        .handle = handle,
        .standard = file->fd <= 2,
    };
    win32_file_put(file);
    entry.unreadable = !is_readable(handle);
    entry.unwritable = !is_writable(handle);
    return enter(&entry);
}

unsigned crt_fd_last(void)
{
    return last_number;
}

void crt_fd_close_after(unsigned last)
{
    for (int fd = 0; last_number != last && fd < CRT_FD_LIMIT; fd++) {
        if (table[fd].open && table[fd].number > last) {
            crt_fd_close(fd);
        }
    }
}

int crt_fd_close(int fd)
{
    struct entry entry;
    if (!find(fd, &entry)) {
        return -1;
    }
    pthread_mutex_lock(&table_lock);
    table[fd] = (struct entry){0};
    pthread_mutex_unlock(&table_lock);
    release(&entry);
    return 0;
}

/* A second entry for what `from` names, over a duplicate of the Linux descriptor. */
static bool duplicate(int from, struct entry *out)
{
    if (!find(from, out)) {
        return false;
    }
    out->host = fcntl(out->host, F_DUPFD_CLOEXEC, 3);
    out->owns_host = true;
    out->handle = NULL;
    if (out->host < 0) {
        crt_fail_from_host();
        return false;
    }
    return true;
}

int crt_fd_duplicate(int from, int fd)
{
    struct entry entry, old = {0};
    if (fd >= CRT_FD_LIMIT) {
        errno = EBADF;
        return crt_fail_from_host();
    }
    if (!duplicate(from, &entry)) {
        return -1;
    }
    if (fd < 0) {
        fd = enter(&entry);
        if (fd < 0) {
            release(&entry);
        }
        return fd;
    }
    pthread_mutex_lock(&table_lock);
    old = table[fd];
    table[fd] = entry;
    table[fd].number = old.open ? old.number : ++last_number;
    pthread_mutex_unlock(&table_lock);
    if (old.open) {
        release(&old);
    }
    return fd;
}

/* What GetStdHandle gives for 0, 1, 2. */
static HANDLE standard_handle(int fd)
{
    struct ke_peb *peb = ke_peb();
    struct ke_process_parameters *parameters = peb != NULL ? peb->ProcessParameters : NULL;
    if (parameters == NULL) {
        return NULL;
    }
    return fd == 0   ? parameters->StandardInput
           : fd == 1 ? parameters->StandardOutput
                     : parameters->StandardError;
}

void *crt_fd_handle(int fd)
{
    struct entry entry;
    if (!find(fd, &entry)) {
        return INVALID_HANDLE_VALUE;
    }
    if (entry.handle != NULL) {
        return entry.handle;
    }
    HANDLE handle = entry.standard && fd <= 2 ? standard_handle(fd) : NULL;
    if (handle != NULL) {
        return handle;
    }
    handle = win32_file_from_fd(entry.host, GENERIC_READ | (uint32_t)GENERIC_WRITE, false);
    if (handle == INVALID_HANDLE_VALUE) {
        crt_set_errno(CRT_ENOMEM);
        return handle;
    }
    pthread_mutex_lock(&table_lock);
    table[fd].handle = handle;
    pthread_mutex_unlock(&table_lock);
    return handle;
}

int crt_fd_host(int fd)
{
    struct entry entry;
    return find(fd, &entry) ? entry.host : -1;
}

bool crt_fd_writable(int fd)
{
    struct entry entry;
    return find(fd, &entry) && !entry.unwritable;
}

enum crt_mode crt_fd_mode(int fd)
{
    return fd >= 0 && fd < CRT_FD_LIMIT ? (enum crt_mode)table[fd].mode : CRT_MODE_BINARY;
}

bool crt_fd_writes_crlf(int fd)
{
    return crt_fd_mode(fd) != CRT_MODE_BINARY && !table[fd].standard;
}

bool crt_fd_at_disk(int fd)
{
    struct stat st;
    int host = crt_fd_host(fd);
    return host >= 0 && fstat(host, &st) == 0 && S_ISREG(st.st_mode);
}

int crt_fd_set_mode(int fd, int flags)
{
    static const int names[] = {CRT_O_TEXT, CRT_O_BINARY, CRT_O_U16TEXT, CRT_O_U8TEXT};
    struct entry entry;
    if (!find(fd, &entry)) {
        return -1;
    }
    if ((flags & (CRT_O_TEXT | CRT_O_BINARY | CRT_O_WTEXT | CRT_O_U16TEXT | CRT_O_U8TEXT)) == 0) {
        crt_invalid(CRT_EINVAL);
        return -1;
    }
    pthread_mutex_lock(&table_lock);
    table[fd].mode = mode_of(flags);
    pthread_mutex_unlock(&table_lock);
    return names[entry.mode];
}

ssize_t crt_fd_read_raw(int fd, void *buffer, size_t size)
{
    struct entry entry;
    if (!find(fd, &entry)) {
        return -1;
    }
    if (entry.unreadable) {
        errno = EBADF;
        return -1;
    }
    return win32_host_read(entry.host, buffer, size);
}

ssize_t crt_fd_write_raw(int fd, const void *buffer, size_t size)
{
    struct entry entry;
    size_t done = 0;
    if (!find(fd, &entry)) {
        return -1;
    }
    if (entry.unwritable) {
        errno = EBADF;
        return -1;
    }
    if (entry.append) {
        lseek(entry.host, 0, SEEK_END); /* fails on pipes, where it does not matter */
    }
    while (done < size) {
        ssize_t put = win32_host_write(entry.host, (const char *)buffer + done, size - done);
        if (put < 0) {
            return -1;
        }
        done += (size_t)put;
    }
    return (ssize_t)done;
}

int64_t crt_fd_seek(int fd, int64_t offset, int origin)
{
    int host = crt_fd_host(fd);
    if (host < 0) {
        return -1;
    }
    if (origin < 0 || origin > 2) { /* SEEK_SET, SEEK_CUR, SEEK_END have Linux's values */
        crt_invalid(CRT_EINVAL);
        return -1;
    }
    off_t at = lseek(host, (off_t)offset, origin);
    return at < 0 ? crt_fail_from_host() : (int64_t)at;
}
