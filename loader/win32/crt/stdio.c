/*
 * Narrow stdio functions over FILE objects (stream.h). printf and scanf have files of their own.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "loader/win32/crt/fd.h"
#include "loader/win32/crt/path.h"
#include "loader/win32/crt/stream.h"

enum { SH_DENYNO = 0x40 };

static bool usable(struct crt_file *file)
{
    if (file == NULL) {
        crt_invalid(CRT_EINVAL);
    } else if (file->host == NULL) {
        crt_set_errno(CRT_EBADF);
    }
    return file != NULL && file->host != NULL;
}

/* ---- opening and closing
 * ---------------------------------------------------------------------------------- */

/* Modes are ASCII. */
static void widen_mode(const char *mode, crt_wchar out[32])
{
    size_t i = 0;
    for (; mode != NULL && mode[i] != 0 && i < 31; i++) {
        out[i] = (unsigned char)mode[i];
    }
    out[i] = 0;
}

static WINCDECL_DEF struct crt_file *crt__fsopen(const char *name, const char *mode, int share)
{
    crt_wchar wide_mode[32];
    crt_wchar *wide = crt_path_widen(name);
    widen_mode(mode, wide_mode);
    struct crt_file *file = wide != NULL ? crt_stream_open(wide, wide_mode, share) : NULL;
    free(wide);
    return file;
}

static WINCDECL_DEF struct crt_file *crt_fopen(const char *name, const char *mode)
{
    return crt__fsopen(name, mode, SH_DENYNO);
}

static WINCDECL_DEF int crt_fopen_s(struct crt_file **out, const char *name, const char *mode)
{
    if (out == NULL) {
        return crt_invalid(CRT_EINVAL);
    }
    *out = crt__fsopen(name, mode, SH_DENYNO);
    return *out != NULL ? 0 : crt_thread()->error;
}

static WINCDECL_DEF struct crt_file *crt__wfsopen(const crt_wchar *name, const crt_wchar *mode,
                                                  int share)
{
    return crt_stream_open(name, mode, share);
}

static WINCDECL_DEF struct crt_file *crt__wfopen(const crt_wchar *name, const crt_wchar *mode)
{
    return crt_stream_open(name, mode, SH_DENYNO);
}

static WINCDECL_DEF int crt__wfopen_s(struct crt_file **out, const crt_wchar *name,
                                      const crt_wchar *mode)
{
    if (out == NULL) {
        return crt_invalid(CRT_EINVAL);
    }
    *out = crt_stream_open(name, mode, SH_DENYNO);
    return *out != NULL ? 0 : crt_thread()->error;
}

static WINCDECL_DEF struct crt_file *crt__fdopen(int fd, const char *mode)
{
    crt_wchar wide_mode[32];
    widen_mode(mode, wide_mode);
    return crt_stream_from_fd(fd, wide_mode);
}

static WINCDECL_DEF struct crt_file *crt__wfdopen(int fd, const crt_wchar *mode)
{
    return crt_stream_from_fd(fd, mode);
}

static WINCDECL_DEF struct crt_file *crt__wfreopen(const crt_wchar *name, const crt_wchar *mode,
                                                   struct crt_file *file)
{
    if (file == NULL || name == NULL) {
        crt_invalid(CRT_EINVAL);
        return NULL;
    }
    return crt_stream_reopen(file, name, mode) ? file : NULL;
}

static WINCDECL_DEF struct crt_file *crt_freopen(const char *name, const char *mode,
                                                 struct crt_file *file)
{
    crt_wchar wide_mode[32];
    crt_wchar *wide = crt_path_widen(name);
    widen_mode(mode, wide_mode);
    struct crt_file *result = wide != NULL ? crt__wfreopen(wide, wide_mode, file) : NULL;
    free(wide);
    return result;
}

static WINCDECL_DEF int crt_freopen_s(struct crt_file **out, const char *name, const char *mode,
                                      struct crt_file *file)
{
    if (out == NULL) {
        return crt_invalid(CRT_EINVAL);
    }
    *out = crt_freopen(name, mode, file);
    return *out != NULL ? 0 : crt_thread()->error;
}

static WINCDECL_DEF int crt__wfreopen_s(struct crt_file **out, const crt_wchar *name,
                                        const crt_wchar *mode, struct crt_file *file)
{
    if (out == NULL) {
        return crt_invalid(CRT_EINVAL);
    }
    *out = crt__wfreopen(name, mode, file);
    return *out != NULL ? 0 : crt_thread()->error;
}

static WINCDECL_DEF int crt_fclose(struct crt_file *file)
{
    return usable(file) ? crt_stream_close(file) : -1;
}

static WINCDECL_DEF int crt__fcloseall(void)
{
    return crt_stream_all(true);
}

static WINCDECL_DEF int crt__flushall(void)
{
    return crt_stream_all(false) + 3;
}

static WINCDECL_DEF int crt_fflush(struct crt_file *file)
{
    if (file == NULL) {
        crt_stream_all(false);
        return 0;
    }
    return usable(file) && fflush(file->host) == 0 ? 0 : crt_fail_from_host();
}

/* A file without a name: gone when closed. */
static WINCDECL_DEF struct crt_file *crt_tmpfile(void)
{
    static const crt_wchar mode[] = {'w', '+', 'b', 0};
    char name[] = "/tmp/peldr-XXXXXX";
    int host = mkostemp(name, O_CLOEXEC);
    if (host < 0) {
        crt_fail_from_host();
        return NULL;
    }
    unlink(name);
    int fd = crt_fd_enter(host, CRT_O_BINARY | CRT_O_RDWR);
    if (fd < 0) {
        close(host);
        return NULL;
    }
    struct crt_file *file = crt_stream_from_fd(fd, mode);
    if (file == NULL) {
        crt_fd_close(fd);
    }
    return file;
}

static WINCDECL_DEF int crt_tmpfile_s(struct crt_file **out)
{
    if (out == NULL) {
        return crt_invalid(CRT_EINVAL);
    }
    *out = crt_tmpfile();
    return *out != NULL ? 0 : crt_thread()->error;
}

/* ---- characters and blocks
 * ------------------------------------------------------------------------------------- */

static WINCDECL_DEF int crt_fgetc(struct crt_file *file)
{
    return usable(file) ? crt_stream_getc(file) : -1;
}

static WINCDECL_DEF int crt_getchar(void)
{
    return crt_stream_getc(crt_stream_std(0));
}

static WINCDECL_DEF int crt_ungetc(int c, struct crt_file *file)
{
    return usable(file) ? crt_stream_ungetc(file, c) : -1;
}

static WINCDECL_DEF int crt_fputc(int c, struct crt_file *file)
{
    char byte = (char)c;
    return usable(file) && crt_stream_write(file, &byte, 1) == 1 ? (unsigned char)c : -1;
}

static WINCDECL_DEF int crt_putchar(int c)
{
    return crt_fputc(c, crt_stream_std(1));
}

static WINCDECL_DEF char *crt_fgets(char *buffer, int size, struct crt_file *file)
{
    int used = 0, c = 0;
    if (buffer == NULL || size <= 0 || !usable(file)) {
        return NULL;
    }
    crt_stream_lock(file);
    while (used + 1 < size && c != '\n' && (c = crt_stream_getc(file)) >= 0) {
        buffer[used++] = (char)c;
    }
    crt_stream_unlock(file);
    buffer[used] = 0;
    return used > 0 || size == 1 ? buffer : NULL;
}

static char *get_line(char *buffer, size_t room)
{
    struct crt_file *file = crt_stream_std(0);
    size_t used = 0;
    int c = 0;
    if (buffer == NULL || room == 0) {
        crt_invalid(CRT_EINVAL);
        return NULL;
    }
    crt_stream_lock(file);
    while (used < room && (c = crt_stream_getc(file)) >= 0 && c != '\n') {
        buffer[used++] = (char)c;
    }
    crt_stream_unlock(file);
    if (used == room) { /* gets_s: the line is too long */
        buffer[0] = 0;
        crt_invalid(CRT_ERANGE);
        return NULL;
    }
    buffer[used] = 0;
    return c < 0 && used == 0 ? NULL : buffer;
}

static WINCDECL_DEF char *crt_gets(char *buffer)
{
    return get_line(buffer, SIZE_MAX);
}

static WINCDECL_DEF char *crt_gets_s(char *buffer, size_t size)
{
    return get_line(buffer, size);
}

static WINCDECL_DEF int crt_fputs(const char *text, struct crt_file *file)
{
    size_t length = text != NULL ? strlen(text) : 0;
    return text != NULL && usable(file) && crt_stream_write(file, text, length) == length ? 0 : -1;
}

static WINCDECL_DEF int crt_puts(const char *text)
{
    struct crt_file *file = crt_stream_std(1);
    crt_stream_lock(file);
    int result = crt_fputs(text, file) == 0 ? crt_fputc('\n', file) : -1;
    crt_stream_unlock(file);
    return result < 0 ? -1 : 0;
}

static WINCDECL_DEF size_t crt_fread(void *buffer, size_t size, size_t count, struct crt_file *file)
{
    size_t total;
    if (size == 0 || count == 0 || !usable(file)) {
        return 0;
    }
    if (buffer == NULL || __builtin_mul_overflow(size, count, &total)) {
        crt_invalid(CRT_EINVAL);
        return 0;
    }
    return crt_stream_read(file, buffer, total) / size;
}

static WINCDECL_DEF size_t crt_fread_s(void *buffer, size_t room, size_t size, size_t count,
                                       struct crt_file *file)
{
    if (size != 0 && count > room / size) {
        memset(buffer, 0, room);
        crt_invalid(CRT_ERANGE);
        return 0;
    }
    return crt_fread(buffer, size, count, file);
}

static WINCDECL_DEF size_t crt_fwrite(const void *buffer, size_t size, size_t count,
                                      struct crt_file *file)
{
    size_t total;
    if (size == 0 || count == 0 || !usable(file)) {
        return 0;
    }
    if (buffer == NULL || __builtin_mul_overflow(size, count, &total)) {
        crt_invalid(CRT_EINVAL);
        return 0;
    }
    return crt_stream_write(file, buffer, total) == total ? count : 0;
}

static WINCDECL_DEF int crt__getw(struct crt_file *file)
{
    int value;
    return usable(file) && crt_stream_read(file, &value, sizeof(value)) == sizeof(value) ? value
                                                                                         : -1;
}

static WINCDECL_DEF int crt__putw(int value, struct crt_file *file)
{
    bool ok = usable(file) && crt_stream_write(file, &value, sizeof(value)) == sizeof(value);
    return ok ? value : -1;
}

/* The getc() and putc() macros of msvcrt's stdio.h end here when their counter runs out. */
static WINCDECL_DEF int crt__filbuf(struct crt_file *file)
{
    return crt_fgetc(file);
}

static WINCDECL_DEF int crt__flsbuf(int c, struct crt_file *file)
{
    return crt_fputc(c, file);
}

/* ---- positions and state
 * ------------------------------------------------------------------------------------------ */

static WINCDECL_DEF int crt__fseeki64(struct crt_file *file, int64_t offset, int origin)
{
    if (!usable(file) || origin < 0 || origin > 2) {
        crt_set_errno(CRT_EINVAL);
        return -1;
    }
    file->flag &= ~CRT_FILE_EOF;
    file->cnt = 0;
    return fseeko(file->host, (off_t)offset, origin) == 0 ? 0 : crt_fail_from_host();
}

static WINCDECL_DEF int crt_fseek(struct crt_file *file, crt_long offset, int origin)
{
    return crt__fseeki64(file, offset, origin);
}

static WINCDECL_DEF int64_t crt__ftelli64(struct crt_file *file)
{
    off_t at = usable(file) ? ftello(file->host) : -1;
    return at >= 0 ? (int64_t)at : crt_fail_from_host();
}

static WINCDECL_DEF crt_long crt_ftell(struct crt_file *file)
{
    return (crt_long)crt__ftelli64(file);
}

static WINCDECL_DEF int crt_fgetpos(struct crt_file *file, int64_t *position)
{
    *position = crt__ftelli64(file);
    return *position < 0 ? -1 : 0;
}

static WINCDECL_DEF int crt_fsetpos(struct crt_file *file, const int64_t *position)
{
    return crt__fseeki64(file, *position, SEEK_SET);
}

static WINCDECL_DEF void crt_clearerr(struct crt_file *file)
{
    if (usable(file)) {
        file->flag &= ~(CRT_FILE_EOF | CRT_FILE_ERROR);
        clearerr(file->host);
    }
}

static WINCDECL_DEF int crt_clearerr_s(struct crt_file *file)
{
    if (!usable(file)) {
        return CRT_EINVAL;
    }
    crt_clearerr(file);
    return 0;
}

static WINCDECL_DEF void crt_rewind(struct crt_file *file)
{
    if (usable(file)) {
        crt__fseeki64(file, 0, SEEK_SET);
        crt_clearerr(file);
    }
}

static WINCDECL_DEF int crt_feof(struct crt_file *file)
{
    return file != NULL ? file->flag & CRT_FILE_EOF : 0;
}

static WINCDECL_DEF int crt_ferror(struct crt_file *file)
{
    return file != NULL ? file->flag & CRT_FILE_ERROR : 0;
}

static WINCDECL_DEF int crt__fileno(struct crt_file *file)
{
    if (file == NULL) {
        crt_invalid(CRT_EINVAL);
        return -1;
    }
    return file->fd;
}

/* _IOFBF 0, _IOLBF 0x40 (full buffering on Windows), _IONBF 4. */
static WINCDECL_DEF int crt_setvbuf(struct crt_file *file, char *buffer, int mode, size_t size)
{
    if (!usable(file) || (mode != 0 && mode != 4 && mode != 0x40)) {
        crt_set_errno(CRT_EINVAL);
        return -1;
    }
    return setvbuf(file->host, mode == 4 ? NULL : buffer, mode == 4 ? _IONBF : _IOFBF, size) == 0
               ? 0
               : -1;
}

static WINCDECL_DEF void crt_setbuf(struct crt_file *file, char *buffer)
{
    crt_setvbuf(file, buffer, buffer == NULL ? 4 : 0, 512);
}

static WINCDECL_DEF void crt__lock_file(struct crt_file *file)
{
    crt_stream_lock(file);
}

static WINCDECL_DEF void crt__unlock_file(struct crt_file *file)
{
    crt_stream_unlock(file);
}

static int stream_limit = 512;

static WINCDECL_DEF int crt__setmaxstdio(int limit)
{
    if (limit < CRT_IOB_ENTRIES || limit > 8192) {
        crt_invalid(CRT_EINVAL);
        return -1;
    }
    return stream_limit = limit;
}

static WINCDECL_DEF int crt__getmaxstdio(void)
{
    return stream_limit;
}

static WINCDECL_DEF struct crt_file *crt___iob_func(void)
{
    return crt_stream_std(0);
}

static WINCDECL_DEF struct crt_file *crt___acrt_iob_func(unsigned index)
{
    return crt_stream_std(index);
}

static const struct ldr_builtin_export functions[] = {
    CRT_FN(fopen),
    CRT_FN(fopen_s),
    CRT_FN(_fsopen),
    CRT_FN(_wfopen),
    CRT_FN(_wfopen_s),
    CRT_FN(_wfsopen),
    CRT_FN(_fdopen),
    CRT_FN(_wfdopen),
    CRT_FN(freopen),
    CRT_FN(freopen_s),
    CRT_FN(_wfreopen),
    CRT_FN(_wfreopen_s),
    CRT_FN(fclose),
    CRT_FN(_fcloseall),
    CRT_FN(_flushall),
    CRT_FN(fflush),
    CRT_FN(tmpfile),
    CRT_FN(tmpfile_s),
    CRT_FN(fgetc),
    CRT_AS(getc, crt_fgetc),
    CRT_FN(getchar),
    CRT_AS(_fgetchar, crt_getchar),
    CRT_FN(ungetc),
    CRT_FN(fputc),
    CRT_AS(putc, crt_fputc),
    CRT_FN(putchar),
    CRT_AS(_fputchar, crt_putchar),
    CRT_FN(fgets),
    CRT_FN(gets),
    CRT_FN(gets_s),
    CRT_FN(fputs),
    CRT_FN(puts),
    CRT_FN(fread),
    CRT_FN(fread_s),
    CRT_FN(fwrite),
    CRT_FN(_getw),
    CRT_FN(_putw),
    CRT_FN(_filbuf),
    CRT_FN(_flsbuf),
    CRT_FN(fseek),
    CRT_FN(_fseeki64),
    CRT_FN(ftell),
    CRT_FN(_ftelli64),
    CRT_FN(fgetpos),
    CRT_FN(fsetpos),
    CRT_FN(clearerr),
    CRT_FN(clearerr_s),
    CRT_FN(rewind),
    CRT_FN(feof),
    CRT_FN(ferror),
    CRT_FN(_fileno),
    CRT_FN(setvbuf),
    CRT_FN(setbuf),
    CRT_FN(_lock_file),
    CRT_FN(_unlock_file),
    CRT_FN(_setmaxstdio),
    CRT_FN(_getmaxstdio),
    CRT_FN(__iob_func),
    CRT_AS(__p__iob, crt___iob_func),
    CRT_FN(__acrt_iob_func),
};
CRT_FAMILY(crt_stdio_family, functions);
