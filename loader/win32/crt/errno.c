/*
 * errno: Windows's numbers and texts, the way from Linux's errno to them, invalid parameters.
 *
 * Numbers and texts are those of Microsoft's "errno Constants" and "_doserrno, errno, _sys_errlist"
 * documents. One table serves the mapping and strerror().
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "loader/state.h"
#include "loader/win32/crt/internal.h"
#include "loader/win32/crt/stream.h"
#include "loader/win32/errors.h"

struct error_row {
    int windows;
    int host;
    uint32_t win32; /* for _doserrno */
    const char *text;
};

static const struct error_row errors[] = {
    {0, 0, 0, "No error"},
    {1, EPERM, 5, "Operation not permitted"},
    {2, ENOENT, 2, "No such file or directory"},
    {3, ESRCH, 87, "No such process"},
    {4, EINTR, 995, "Interrupted function call"},
    {5, EIO, 1117, "Input/output error"},
    {6, ENXIO, 2, "No such device or address"},
    {7, E2BIG, 10, "Arg list too long"},
    {8, ENOEXEC, 193, "Exec format error"},
    {9, EBADF, 6, "Bad file descriptor"},
    {10, ECHILD, 128, "No child processes"},
    {11, EAGAIN, 89, "Resource temporarily unavailable"},
    {12, ENOMEM, 8, "Not enough space"},
    {13, EACCES, 5, "Permission denied"},
    {14, EFAULT, 998, "Bad address"},
    {16, EBUSY, 170, "Resource device"},
    {17, EEXIST, 80, "File exists"},
    {18, EXDEV, 17, "Improper link"},
    {19, ENODEV, 20, "No such device"},
    {20, ENOTDIR, 3, "Not a directory"},
    {21, EISDIR, 5, "Is a directory"},
    {22, EINVAL, 87, "Invalid argument"},
    {23, ENFILE, 4, "Too many open files in system"},
    {24, EMFILE, 4, "Too many open files"},
    {25, ENOTTY, 1, "Inappropriate I/O control operation"},
    {27, EFBIG, 223, "File too large"},
    {28, ENOSPC, 112, "No space left on device"},
    {29, ESPIPE, 131, "Invalid seek"},
    {30, EROFS, 19, "Read-only file system"},
    {31, EMLINK, 1142, "Too many links"},
    {32, EPIPE, 109, "Broken pipe"},
    {33, EDOM, 87, "Domain error"},
    {34, ERANGE, 534, "Result too large"},
    {36, EDEADLK, 1131, "Resource deadlock avoided"},
    {38, ENAMETOOLONG, 206, "Filename too long"},
    {39, ENOLCK, 33, "No locks available"},
    {40, ENOSYS, 120, "Function not implemented"},
    {41, ENOTEMPTY, 145, "Directory not empty"},
    {42, EILSEQ, 1113, "Illegal byte sequence"},
    {100, EADDRINUSE, 10048, "address in use"},
    {101, EADDRNOTAVAIL, 10049, "address not available"},
    {102, EAFNOSUPPORT, 10047, "address family not supported"},
    {103, EALREADY, 10037, "connection already in progress"},
    {105, ECANCELED, 995, "operation canceled"},
    {106, ECONNABORTED, 10053, "connection aborted"},
    {107, ECONNREFUSED, 10061, "connection refused"},
    {108, ECONNRESET, 10054, "connection reset"},
    {109, EDESTADDRREQ, 10039, "destination address required"},
    {110, EHOSTUNREACH, 10065, "host unreachable"},
    {112, EINPROGRESS, 10036, "operation in progress"},
    {113, EISCONN, 10056, "already connected"},
    {114, ELOOP, 1921, "too many symbolic link levels"},
    {115, EMSGSIZE, 10040, "message size"},
    {116, ENETDOWN, 10050, "network down"},
    {117, ENETRESET, 10052, "network reset"},
    {118, ENETUNREACH, 10051, "network unreachable"},
    {119, ENOBUFS, 10055, "no buffer space"},
    {123, ENOPROTOOPT, 10042, "no protocol option"},
    {126, ENOTCONN, 10057, "not connected"},
    {128, ENOTSOCK, 10038, "not a socket"},
    {129, ENOTSUP, 50, "not supported"},
    {132, EOVERFLOW, 534, "value too large"},
    {134, EPROTO, 87, "protocol error"},
    {135, EPROTONOSUPPORT, 10043, "protocol not supported"},
    {136, EPROTOTYPE, 10041, "wrong protocol type"},
    {138, ETIMEDOUT, 10060, "timed out"},
    {139, ETXTBSY, 32, "text file busy"},
};

typedef void(WINCDECL *invalid_parameter_handler)(const crt_wchar *expression,
                                                  const crt_wchar *function, const crt_wchar *file,
                                                  unsigned line, uintptr_t reserved);
static void *invalid_parameter_process IMAGE_STATE;

static const struct error_row *row_of_host(int host)
{
    for (size_t i = 0; i < CRT_COUNT(errors); i++) {
        if (errors[i].host == host) {
            return &errors[i];
        }
    }
    return NULL;
}

void crt_set_errno(int value)
{
    crt_thread()->error = value;
}

int crt_errno_from_host(int host)
{
    const struct error_row *row = row_of_host(host);
    return row != NULL ? row->windows : CRT_EINVAL;
}

int crt_fail_from_host(void)
{
    const struct error_row *row = row_of_host(errno);
    crt_thread()->error = row != NULL ? row->windows : CRT_EINVAL;
    crt_thread()->os_error = row != NULL ? row->win32 : 317;
    return -1;
}

/* errno of the Win32 errors that file functions meet; every other one is EINVAL. */
static const struct {
    uint32_t win32;
    int error;
} win32_errors[] = {
    {3, 2},   {15, 2},  {18, 2},   {53, 2},   {65, 13},  {67, 2},   {123, 2},  {161, 2}, {206, 2},
    {32, 13}, {33, 13}, {19, 13},  {82, 13},  {83, 13},  {108, 13}, {158, 13}, {8, 12},  {14, 12},
    {7, 12},  {9, 12},  {80, 17},  {183, 17}, {145, 41}, {109, 32}, {112, 28}, {6, 9},   {5, 13},
    {4, 24},  {17, 18}, {128, 10}, {129, 10}, {193, 8},  {2, 2},
};

int crt_fail_from_win32(uint32_t error)
{
    crt_thread()->os_error = error;
    crt_thread()->error = CRT_EINVAL;
    for (size_t i = 0; i < CRT_COUNT(win32_errors); i++) {
        if (win32_errors[i].win32 == error) {
            crt_thread()->error = win32_errors[i].error;
        }
    }
    return -1;
}

int crt_fail_from_status(uint32_t status)
{
    return crt_fail_from_win32(win32_error_of_status(status));
}

const char *crt_error_text(int value)
{
    for (size_t i = 0; i < CRT_COUNT(errors); i++) {
        if (errors[i].windows == value) {
            return errors[i].text;
        }
    }
    return "Unknown error";
}

int crt_invalid(int value)
{
    invalid_parameter_handler handler = (invalid_parameter_handler)crt_thread()->invalid_parameter;
    if (handler == NULL) {
        handler = (invalid_parameter_handler)__atomic_load_n(&invalid_parameter_process,
                                                             __ATOMIC_ACQUIRE);
    }
    crt_set_errno(value);
    if (handler != NULL) {
        handler(NULL, NULL, NULL, 0, 0);
    }
    return value;
}

/* ---- what images call
 * ---------------------------------------------------------------------------- */

static WINCDECL_DEF int *crt__errno(void)
{
    return &crt_thread()->error;
}

static WINCDECL_DEF uint32_t *crt___doserrno(void)
{
    return &crt_thread()->os_error;
}

static WINCDECL_DEF int crt__get_errno(int *value)
{
    if (value == NULL) {
        return CRT_EINVAL;
    }
    *value = crt_thread()->error;
    return 0;
}

static WINCDECL_DEF int crt__set_errno(int value)
{
    crt_set_errno(value);
    return 0;
}

static WINCDECL_DEF int crt__get_doserrno(uint32_t *value)
{
    if (value == NULL) {
        return CRT_EINVAL;
    }
    *value = crt_thread()->os_error;
    return 0;
}

static WINCDECL_DEF int crt__set_doserrno(uint32_t value)
{
    crt_thread()->os_error = value;
    return 0;
}

static WINCDECL_DEF char *crt_strerror(int value)
{
    struct crt_thread *thread = crt_thread();
    snprintf(thread->message, sizeof(thread->message), "%s", crt_error_text(value));
    return thread->message;
}

static WINCDECL_DEF int crt_strerror_s(char *buffer, size_t size, int value)
{
    if (buffer == NULL || size == 0) {
        return crt_invalid(CRT_EINVAL);
    }
    snprintf(buffer, size, "%s", crt_error_text(value));
    return 0;
}

/* _strerror("prefix") = "prefix: text of errno\n"; _strerror(NULL) = "text\n". */
static WINCDECL_DEF char *crt__strerror(const char *prefix)
{
    struct crt_thread *thread = crt_thread();
    bool with = prefix != NULL && *prefix != 0;
    snprintf(thread->message, sizeof(thread->message), "%.94s%s%s\n", with ? prefix : "",
             with ? ": " : "", crt_error_text(thread->error));
    return thread->message;
}

static crt_wchar *wide_message(const char *text)
{
    crt_wchar *out = crt_thread()->wide_message;
    size_t i = 0;
    for (; text[i] != 0 && i + 1 < CRT_COUNT(crt_thread()->wide_message); i++) {
        out[i] = (unsigned char)text[i];
    }
    out[i] = 0;
    return out;
}

static WINCDECL_DEF crt_wchar *crt__wcserror(int value)
{
    return wide_message(crt_error_text(value));
}

static WINCDECL_DEF int crt__wcserror_s(crt_wchar *buffer, size_t size, int value)
{
    if (buffer == NULL || size == 0) {
        return crt_invalid(CRT_EINVAL);
    }
    const char *text = crt_error_text(value);
    size_t i = 0;
    for (; text[i] != 0 && i + 1 < size; i++) {
        buffer[i] = (unsigned char)text[i];
    }
    buffer[i] = 0;
    return 0;
}

static WINCDECL_DEF void crt_perror(const char *prefix)
{
    bool with = prefix != NULL && *prefix != 0;
    fprintf(crt_stream_std(2)->host, "%s%s%s\n", with ? prefix : "", with ? ": " : "",
            crt_error_text(crt_thread()->error));
}

static WINCDECL_DEF void crt__wperror(const crt_wchar *prefix)
{
    char *narrow = prefix != NULL ? crt_narrow(prefix, crt_wlen(prefix), NULL) : NULL;
    crt_perror(narrow);
    free(narrow);
}

static WINCDECL_DEF void *crt__set_invalid_parameter_handler(void *handler)
{
    return __atomic_exchange_n(&invalid_parameter_process, handler, __ATOMIC_ACQ_REL);
}

static WINCDECL_DEF void *crt__get_invalid_parameter_handler(void)
{
    return __atomic_load_n(&invalid_parameter_process, __ATOMIC_ACQUIRE);
}

static WINCDECL_DEF void *crt__set_thread_local_invalid_parameter_handler(void *handler)
{
    void *old = crt_thread()->invalid_parameter;
    crt_thread()->invalid_parameter = handler;
    return old;
}

static WINCDECL_DEF void *crt__get_thread_local_invalid_parameter_handler(void)
{
    return crt_thread()->invalid_parameter;
}

static WINCDECL_DEF void crt__invalid_parameter_noinfo(void)
{
    crt_invalid(CRT_EINVAL);
}

static const struct ldr_builtin_export functions[] = {
    CRT_FN(_errno),
    CRT_FN(__doserrno),
    CRT_FN(_get_errno),
    CRT_FN(_set_errno),
    CRT_FN(_get_doserrno),
    CRT_FN(_set_doserrno),
    CRT_FN(strerror),
    CRT_FN(strerror_s),
    CRT_FN(_strerror),
    CRT_FN(_wcserror),
    CRT_FN(_wcserror_s),
    CRT_FN(perror),
    CRT_FN(_wperror),
    CRT_FN(_set_invalid_parameter_handler),
    CRT_FN(_get_invalid_parameter_handler),
    CRT_FN(_set_thread_local_invalid_parameter_handler),
    CRT_FN(_get_thread_local_invalid_parameter_handler),
    CRT_FN(_invalid_parameter_noinfo),
};
CRT_FAMILY(crt_errno_family, functions);
